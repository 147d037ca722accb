//! How a node becomes part of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parlance_registry::numbering::{Arrivals, Sent};
use parlance_registry::{Health, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::handle::NodeRegistry;
use super::state::Slot;
use super::{LEASE, Mesh, PATIENCE, REFRESH, beat, node_channel};
use crate::fence::Fence;

/// Queue length of a node's notices.
const NOTICES: usize = 4_096;

impl Mesh {
    /// Adds a new node, with a lease, and keeps it until it dies or is closed.
    pub fn join(self: &Arc<Self>, node: NodeId, fence: Arc<Fence>) -> Arc<NodeRegistry> {
        let (notices, taken) = mpsc::channel(NOTICES);
        let slot = Slot {
            notices,
            taken: Some(taken),
            health: watch::Sender::new(Health::Connected),
            fence: fence.clone(),
            sessions: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            follows: BTreeMap::new(),
            sent: Sent::default(),
            arrivals: Arrivals::new(node_channel(&node), PATIENCE),
            arriving: BTreeMap::new(),
            stall: Duration::ZERO,
            missed: false,
            refresh_in: REFRESH,
            known: BTreeMap::new(),
            connected: true,
            cut: false,
            must_recover: false,
            closed: false,
        };
        let mut state = self.state();
        state.nodes.insert(node.clone(), slot);
        state.leases.insert(node.clone(), Instant::now() + LEASE);
        drop(state);
        tokio::spawn(beat::keep(self.clone(), node.clone()));
        Arc::new(NodeRegistry::new(self.clone(), node, fence))
    }
}
