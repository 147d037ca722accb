//! Known bugs, planted to prove that the checkers find them.
//!
//! Each is implemented by a wrapper between a node and its store or registry ([`store`], [`registry`]), between a
//! consumer and what it is made of ([`events`]), or by the simulated network. The server itself contains no code for them: torture starts `parlance-planted` instead of
//! `parlance`.
#![warn(missing_docs)]

mod events;
mod plant;
mod registry;
mod store;

use std::sync::Arc;

use parlance_registry::Registry;
use parlance_store::Store;
use parlance_stream::Parts;

pub use self::events::mistaken;
pub use plant::{Plant, VARIABLE, is, plant};

use self::registry::PlantedRegistry;
use self::store::PlantedStore;

/// Wraps the store with the planted bug, if it concerns the store.
pub fn store(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    let bugs = [
        Plant::AckBeforeCommit,
        Plant::SkipFence,
        Plant::MiddleOfChunk,
        Plant::ForgetRepeatCheck,
        Plant::ReadPastHead,
        Plant::FromTheFuture,
    ];
    match bugs.into_iter().find(|bug| is(*bug)) {
        Some(bug) => Arc::new(PlantedStore::new(inner, bug)),
        None => inner,
    }
}

/// Wraps the registry with the planted bug, if it concerns the registry.
pub fn registry(inner: Arc<dyn Registry>) -> Arc<dyn Registry> {
    let bugs = [Plant::DropPublish, Plant::IgnoreLostLease, Plant::AckBeforePublish];
    match bugs.into_iter().find(|bug| is(*bug)) {
        Some(bug) => Arc::new(PlantedRegistry::new(inner, bug)),
        None => inner,
    }
}

/// Wraps the parts of a consumer with the planted bug, if it concerns consumers.
pub fn events(parts: Parts) -> Parts {
    match Plant::EVENTS.into_iter().find(|bug| is(*bug)) {
        Some(bug) => mistaken(parts, bug),
        None => parts,
    }
}
