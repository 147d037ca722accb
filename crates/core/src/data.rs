//! The app's own data: keys with values that are opaque to the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::MAX_DATA_BYTES;

/// Data of more than [`MAX_DATA_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be at most {MAX_DATA_BYTES} bytes")]
pub struct DataTooLarge;

/// Values by key, each an encoded `google.protobuf.Value`. One word in size and without an
/// allocation when empty; clones share the map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Data(Option<Arc<BTreeMap<String, Vec<u8>>>>);

/// Encoding overhead of an entry besides key and value: tags and lengths.
const ENTRY_BYTES: usize = 8; // format

impl Data {
    /// Checks the size.
    ///
    /// # Errors
    /// If it is too large.
    pub fn new(entries: BTreeMap<String, Vec<u8>>) -> Result<Self, DataTooLarge> {
        let data = Self::stored(entries);
        if data.bytes() > MAX_DATA_BYTES { Err(DataTooLarge) } else { Ok(data) }
    }

    /// Data as stored, possibly by a version with another limit.
    pub fn stored(entries: BTreeMap<String, Vec<u8>>) -> Self {
        Self((!entries.is_empty()).then(|| Arc::new(entries)))
    }

    /// The values by key, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().flat_map(|entries| entries.iter()).map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The size that counts towards the limit.
    pub fn bytes(&self) -> usize {
        self.entries().map(|(key, value)| key.len() + value.len() + ENTRY_BYTES).sum()
    }

    /// The data after `change`.
    ///
    /// # Errors
    /// If it would be too large.
    pub fn changed(&self, change: &DataChange) -> Result<Self, DataTooLarge> {
        let mut entries = self.0.as_deref().cloned().unwrap_or_default();
        for key in &change.unset {
            entries.remove(key);
        }
        entries.extend(change.set.entries().map(|(key, value)| (key.to_owned(), value.to_owned())));
        Self::new(entries)
    }
}

/// Keys to set and keys to remove; other keys stay as they are. A key that is in both is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataChange {
    /// Keys to set.
    pub set: Data,
    /// Keys to remove.
    pub unset: Vec<String>,
}

impl DataChange {
    /// Whether it changes nothing in any data.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &str)]) -> Data {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
        Data::new(entries.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn changes_merge_keys() {
        let before = data(&[("color", "red"), ("size", "s")]);
        let change = DataChange { set: data(&[("size", "m"), ("new", "1")]), unset: vec!["color".into()] };
        assert_eq!(before.changed(&change), Ok(data(&[("new", "1"), ("size", "m")])));
        let all = DataChange { unset: vec!["color".into(), "size".into()], ..DataChange::default() };
        assert_eq!(before.changed(&all), Ok(Data::default()));
        assert!(before.changed(&all).unwrap().is_empty());
        assert_eq!(before.changed(&DataChange::default()), Ok(before));
    }

    #[test]
    fn size_is_bounded_after_a_change_too() {
        let half = "x".repeat(MAX_DATA_BYTES / 2);
        let first = data(&[("a", &half)]);
        let change = DataChange { set: data(&[("b", &half)]), ..DataChange::default() };
        assert_eq!(first.changed(&change), Err(DataTooLarge));
        let replaced = DataChange { unset: vec!["a".into()], ..change };
        assert_eq!(first.changed(&replaced), Ok(data(&[("b", &half)])));
    }
}
