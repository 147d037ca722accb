use std::sync::Arc;

use parlance_registry::Registry;
use parlance_store::Store;
use parlance_stream::Parts;

/// What is put between a node and its store and registry, and between consumers and what they are made of. Nothing, but in tests of the checkers.
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
