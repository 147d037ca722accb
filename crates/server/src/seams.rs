use std::sync::Arc;

use parlance_registry::Registry;
use parlance_store::Store;
use parlance_stream::Parts;

/// Wrappers around a node's store, its registry and the parts of its consumers. Empty in the product; the tests of the
/// checkers plant faults through them.
#[derive(Debug, Clone, Copy)]
pub struct Seams {
    /// Wraps the store.
    pub store: fn(Arc<dyn Store>) -> Arc<dyn Store>,
    /// Wraps the registry.
    pub registry: fn(Arc<dyn Registry>) -> Arc<dyn Registry>,
    /// Wraps the parts of a consumer of events.
    pub events: fn(Parts) -> Parts,
}

impl Default for Seams {
    fn default() -> Self {
        Self { store: |store| store, registry: |registry| registry, events: |parts| parts }
    }
}
