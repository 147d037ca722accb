use std::sync::Arc;

use parlance_registry::Registry;
use parlance_store::Store;

/// What is put between a node and its store and registry. Nothing, but in tests of the checkers.
#[derive(Debug, Clone, Copy)]
pub struct Seams {
    /// Wraps the store.
    pub store: fn(Arc<dyn Store>) -> Arc<dyn Store>,
    /// Wraps the registry.
    pub registry: fn(Arc<dyn Registry>) -> Arc<dyn Registry>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { store: |store| store, registry: |registry| registry }
    }
}
