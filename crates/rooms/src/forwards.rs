use std::sync::atomic::AtomicU64;

use parlance_core::RoomId;
use parlance_proto::cluster::v1::Forwarded;
use parlance_registry::NodeId;
use parlance_runtime::map::Map;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::home::home;
use crate::limits::SILENT_FOR;

/// Sends that wait for another node's answer.
#[derive(Default)]
pub(crate) struct Forwards {
    pub(crate) waiting: Map<u64, oneshot::Sender<Forwarded>>,
    /// The next id.
    pub(crate) next: AtomicU64,
    /// Nodes that did not answer, and since when.
    pub(crate) silent: Map<NodeId, Instant>,
}

impl Forwards {
    /// The number of sends waiting for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The home of `room`, among the nodes that answer.
    pub(crate) fn home(&self, room: &RoomId, nodes: Vec<NodeId>) -> Option<NodeId> {
        self.silent.retain(|_, since| since.elapsed() < SILENT_FOR);
        let nodes: Vec<_> = nodes.into_iter().filter(|node| !self.silent.contains_key(node)).collect();
        home(room, &nodes).cloned()
    }
}
