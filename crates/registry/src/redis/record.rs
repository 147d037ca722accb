use super::keys::Keys;
use super::options::{ConnectError, Difference, RedisOptions};

/// Field names.
const STORE: &str = "store";
const SIGNING_KEY: &str = "signing-key";
const LAYOUT: &str = "layout";

/// Settings shared by all nodes under one prefix, recorded in a hash next to their leases.
///
/// | field | |
/// |---|---|
/// | `store` | the [`FleetTag`](crate::FleetTag): a digest of the store's identity and the prefix |
/// | `signing-key` | fingerprint of the key that tokens are verified with |
/// | `layout` | over how many buckets and shards users are spread |
/// | `claimed` | when the fleet was recorded, in ms by the clock of Redis |
#[derive(Debug)]
pub(super) struct FleetRecord(Vec<(&'static str, String)>);

impl FleetRecord {
    pub(super) fn new(options: &RedisOptions, keys: &Keys) -> Self {
        let mut fields = vec![(STORE, options.fleet.to_string()), (LAYOUT, keys.layout().1)];
        fields.extend(options.signing_key.clone().map(|fingerprint| (SIGNING_KEY, fingerprint)));
        Self(fields)
    }

    /// Names and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Why this node may not join nodes that have recorded other values of these names.
    pub(super) fn refusal(
        &self,
        differs: Vec<(String, String)>,
        options: &RedisOptions,
    ) -> Option<ConnectError> {
        let mut different = Vec::new();
        let mut layout = None;
        for (name, found) in differs {
            match name.as_str() {
                STORE => different.push(Difference::Store),
                SIGNING_KEY => different.push(Difference::SigningKey),
                _ => layout = Some(found),
            }
        }
        if !different.is_empty() {
            let (prefix, lease) = (options.prefix.clone(), options.lease);
            return Some(ConnectError::Stranger { prefix, different, lease });
        }
        let found = layout?;
        let wanted = self.fields().find(|(name, _)| *name == LAYOUT)?.1.to_owned();
        Some(ConnectError::Layout { wanted, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_what_differs() {
        let options = RedisOptions::new("redis://127.0.0.1");
        let record = FleetRecord::new(&options, &Keys::new(&options, 1));
        let refusal = |names: &[&str]| {
            let differs = names.iter().map(|name| ((*name).to_owned(), "other".to_owned())).collect();
            record.refusal(differs, &options).map(|error| error.to_string())
        };
        assert_eq!(refusal(&[]), None);
        let both = refusal(&[LAYOUT, STORE, SIGNING_KEY]).unwrap();
        assert!(both.contains("another store") && both.contains("another key for tokens"), "{both}");
        let key = refusal(&[SIGNING_KEY]).unwrap();
        assert!(!key.contains("another store") && key.contains("`parlance:`"), "{key}");
        assert!(refusal(&[LAYOUT]).unwrap().contains("`other`"));
    }
}
