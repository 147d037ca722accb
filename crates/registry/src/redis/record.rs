use std::fmt;

use super::keys::Keys;
use super::options::{ConnectError, Difference, RedisOptions, TokenKeys};

/// Field names.
const STORE: &str = "store";
const TOKEN_KEYS: &str = "token-keys";
const LAYOUT: &str = "layout";

/// Settings shared by all nodes under one prefix, recorded in a hash next to their leases.
///
/// | field | |
/// |---|---|
/// | `store` | the [`FleetTag`](crate::FleetTag): a digest of the store's identity and the prefix |
/// | `token-keys` | fingerprints of the keys that tokens are verified with, with commas: nodes have one in common, and add theirs |
/// | `layout` | over how many buckets and shards users are spread |
/// | `claimed` | when the fleet was recorded, in ms by the clock of Redis |
pub(super) struct FleetRecord {
    fields: [(&'static str, String); 2],
    token_keys: Option<TokenKeys>,
}

impl fmt::Debug for FleetRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetRecord").field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl FleetRecord {
    pub(super) fn new(options: &RedisOptions, keys: &Keys) -> Self {
        let fields = [(STORE, options.fleet.to_string()), (LAYOUT, keys.layout().1)];
        Self { fields, token_keys: options.token_keys.clone() }
    }

    /// Names and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let token_keys = self.token_keys.as_ref().map(|keys| (TOKEN_KEYS, keys().join(",")));
        self.fields.iter().cloned().chain(token_keys)
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
                TOKEN_KEYS => different.push(Difference::SigningKey),
                _ => layout = Some(found),
            }
        }
        if !different.is_empty() {
            let (prefix, lease) = (options.prefix.clone(), options.lease);
            return Some(ConnectError::Stranger { prefix, different, lease });
        }
        let found = layout?;
        let wanted = self.fields().find(|(name, _)| *name == LAYOUT)?.1;
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
        let both = refusal(&[LAYOUT, STORE, TOKEN_KEYS]).unwrap();
        assert!(both.contains("another store") && both.contains("another key for tokens"), "{both}");
        let key = refusal(&[TOKEN_KEYS]).unwrap();
        assert!(!key.contains("another store") && key.contains("`parlance:`"), "{key}");
        assert!(refusal(&[LAYOUT]).unwrap().contains("`other`"));
    }
}
