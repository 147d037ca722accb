use std::collections::BTreeMap;
use std::sync::Arc;

/// A map that is cloned for every append and changes little: clones share settled entries, and each has its own
/// recent changes.
#[derive(Debug, Clone)]
pub(super) struct Layered<K, V> {
    settled: Arc<BTreeMap<K, V>>,
    recent: BTreeMap<K, V>,
}

impl<K: Ord + Clone, V: Clone> Layered<K, V> {
    pub(super) fn new() -> Self {
        Self { settled: Arc::default(), recent: BTreeMap::new() }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.recent.get(key).or_else(|| self.settled.get(key))
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.recent.contains_key(key) {
            self.recent.insert(key.clone(), self.settled.get(key)?.clone());
        }
        self.recent.get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.recent.insert(key, value);
    }

    /// The number of entries, counting one that was changed since it was settled twice.
    pub(super) fn len(&self) -> usize {
        self.settled.len() + self.recent.len()
    }

    /// All values, in any order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        let settled = self.settled.iter().filter(|(key, _)| !self.recent.contains_key(key));
        self.recent.values().chain(settled.map(|(_, value)| value))
    }

    /// Settles recent changes, and lets `trim` enforce limits. Copies everything if another clone exists.
    pub(super) fn settle(&mut self, trim: impl FnOnce(&mut BTreeMap<K, V>)) {
        if self.recent.is_empty() {
            return;
        }
        let settled = Arc::make_mut(&mut self.settled);
        // One by one: `append` would rebuild the whole map.
        while let Some((key, value)) = self.recent.pop_first() {
            settled.insert(key, value);
        }
        trim(settled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_copy_are_private_until_settled() {
        let mut first = Layered::new();
        first.insert(1, "one");
        first.insert(2, "two");
        first.settle(|_| {});
        let mut second = first.clone();
        *second.get_mut(&1).unwrap() = "uno";
        second.insert(3, "tre");
        assert_eq!(second.get_mut(&4), None);
        assert_eq!([1, 2, 3].map(|key| first.get(&key).copied()), [Some("one"), Some("two"), None]);
        let all = [Some("uno"), Some("two"), Some("tre")];
        assert_eq!([1, 2, 3].map(|key| second.get(&key).copied()), all);
        second.settle(|_| {});
        assert_eq!([1, 2, 3].map(|key| second.get(&key).copied()), all);
        assert_eq!([1, 2, 3].map(|key| first.get(&key).copied()), [Some("one"), Some("two"), None]);
    }

    #[test]
    fn unshared_map_is_settled_in_place() {
        let mut map = Layered::new();
        map.insert(1, ());
        map.settle(|_| {});
        let settled = Arc::as_ptr(&map.settled);
        let draft = map.clone();
        drop(draft);
        map.insert(2, ());
        map.settle(|all| all.retain(|key, ()| *key > 1));
        assert_eq!((Arc::as_ptr(&map.settled), map.get(&1), map.get(&2)), (settled, None, Some(&())));
    }
}
