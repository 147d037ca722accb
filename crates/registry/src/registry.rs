use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_runtime::rate::Rate;
use tokio::sync::{mpsc, watch};

/// A node of the fleet: an id that is new at every start. Short, since Redis stores it for every online user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Parses an id: 1 to 16 bytes of `A-Z a-z 0-9`.
    pub fn parse(id: &str) -> Option<Self> {
        let fits = (1..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(id.into()))
    }

    /// An id made of 40 random bits: 8 characters. Among a thousand starts two are equal once in two million fleets.
    pub fn from_random(bits: u64) -> Self {
        let digits = b"abcdefghijkmnpqrstuvwxyz23456789";
        let id: String = (0..8).map(|at| char::from(digits[(bits >> (5 * at)) as usize % 32])).collect();
        Self(id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a registry call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It is unreachable, or did not answer in time. Nothing is lost: presence is a hint, and [`Notice::Missed`]
    /// follows once it is back.
    #[error("the registry is unreachable")]
    Unavailable,
}

/// The recipients of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct To<'a> {
    /// The nodes where any of these users is online at this moment.
    pub users: &'a [UserId],
    /// The nodes that follow this room.
    pub room: Option<&'a RoomId>,
}

/// A notification to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A message published by another node.
    Payload(Bytes),
    /// A message without a fleet: from a node of an earlier version, or of another fleet.
    Unverified(Bytes),
    /// Messages published to this node, or by it, may have been lost until now: the connection or the lease was lost,
    /// or the process was paused. Sent once everything is subscribed and registered again: later messages arrive.
    Missed,
    /// A node is gone or cut off. Its last writes may not have been published.
    NodeLost(NodeId),
    /// Nodes have ended without deregistering, and these users are on no other. In batches, each to one node.
    UsersGone(Vec<UserId>),
    /// This node was considered dead: its users may have been reported offline.
    Swept,
}

/// Whether published messages arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// They arrive.
    Connected,
    /// They do not: other nodes' writes have to be read from the store.
    Away,
}

/// Whether permits were taken, or the time until they are available.
pub type Taken = Result<(), Duration>;

/// Rates that all nodes share.
#[async_trait]
pub trait Rates: Send + Sync + 'static {
    /// Takes `permits` of `key` at `rate`, which is the same on every node: all of them, or none. Never waits for
    /// permits; may wait for the registry.
    ///
    /// # Errors
    /// It is not known. They may have been taken.
    async fn take(&self, _key: &str, _permits: u32, _rate: Rate) -> Result<Taken, RegistryError> {
        Err(RegistryError::Unavailable)
    }
}

/// Presence, delivery between nodes, and shared [`Rates`].
///
/// Sessions are counted on each node, so closing an old one while a new one opens never makes a user seem offline.
/// Calls for one user may overlap; they take effect in the order in which they were made.
#[async_trait]
pub trait Registry: Rates {
    /// This node.
    fn node(&self) -> &NodeId;

    /// Whether there can be other nodes.
    fn is_shared(&self) -> bool {
        true
    }

    /// Registers a session of `user` here. Returns whether they were offline before, on every node. After it has
    /// returned, messages to the user reach this node.
    /// # Errors
    /// The session counts nevertheless, and is registered as soon as possible.
    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// Deregisters a session of `user` here. Returns whether they are offline now, on every node.
    ///
    /// # Errors
    /// The session is no longer counted nevertheless.
    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// Whether each of `users` is online, in the same order.
    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError>;

    /// Sends `payload` to other nodes, to each once: one lookup per shard for the users, never cached, one message
    /// per node, one for the room. Never to this node.
    ///
    /// # Errors
    /// Any number of nodes may have received it.
    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError>;

    /// Sends `payload` to one other node.
    ///
    /// # Errors
    /// It may or may not have arrived.
    async fn send_to(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError>;

    /// Reports that publishing failed for a while. Other nodes get [`Notice::Missed`] with the next heartbeat, if
    /// that arrives.
    fn report_unpublished(&self) {}

    /// Subscribes this node to messages for `room`, from when this returns. Counted: ends with as many calls of
    /// [`Self::unfollow`].
    ///
    /// # Errors
    /// It counts nevertheless, and is subscribed as soon as possible.
    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError>;

    /// Undoes one [`Self::follow`].
    async fn unfollow(&self, room: &RoomId);

    /// The nodes that are alive, including this one, by ascending id: as of about a second ago.
    fn nodes(&self) -> Vec<NodeId>;

    /// This node's notices. To be taken once; later calls return an empty channel.
    fn notices(&self) -> mpsc::Receiver<Notice>;

    /// Whether published messages arrive.
    fn health(&self) -> watch::Receiver<Health>;

    /// A setting of the registry that the operator should change, with notifications of changes.
    fn warning(&self) -> watch::Receiver<Option<String>> {
        watch::Sender::new(None).subscribe()
    }

    /// Deregisters this node and its users, and stops its tasks.
    async fn close(&self);
}
