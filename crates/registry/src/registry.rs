use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use tokio::sync::{mpsc, watch};

/// A node of the fleet: an id that is new at every start. Short, since it is kept in
/// Redis for everyone who is online.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The node of this id: 1 to 16 bytes of `A-Z a-z 0-9`.
    pub fn parse(id: &str) -> Option<Self> {
        let fits = (1..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(id.into()))
    }

    /// A node id out of 40 random bits: 8 characters, the same for two of a thousand
    /// starts once in two million fleets.
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

/// Why the registry could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached now, or did not answer in time. Nothing is lost by that: who
    /// is online is a hint, and [`Notice::Missed`] follows once it is back.
    #[error("the registry is out of reach")]
    Unavailable,
}

/// Whom something is published to.
#[derive(Debug, Clone, Copy, Default)]
pub struct To<'a> {
    /// The nodes where one of these is online at this moment.
    pub users: &'a [UserId],
    /// The nodes that follow this room.
    pub room: Option<&'a RoomId>,
}

/// What reaches a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another node published it to this one.
    Payload(Bytes),
    /// A node published it that does not say which fleet it is of: one of an earlier version, or of
    /// another fleet.
    Unverified(Bytes),
    /// What was published to this node, or by it, up to now may have gone missing: the
    /// connection was lost, or the lease, or the process was paused. Said once
    /// everything is subscribed and registered again: what comes after this, arrives.
    Missed,
    /// A node is gone, or cut off. What it wrote last it may not have published.
    NodeLost(NodeId),
    /// Nodes have ended without a goodbye, and these users are on no other. Some at a time, each
    /// to one node.
    UsersGone(Vec<UserId>),
    /// This node was taken for dead: others may have been told that its users are gone.
    Swept,
}

/// Whether what is published arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Connected,
    /// It does not: whoever needs to know of others' writes has to look in the store.
    Away,
}

/// Who is online where, and delivery between nodes.
///
/// Sessions are counted on each node, so that closing an old one while a new one opens
/// never makes a user seem gone. Calls for one user may overlap; they take effect in
/// the order in which they were made.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// This node.
    fn node(&self) -> &NodeId;

    /// Whether there can be other nodes.
    fn is_shared(&self) -> bool {
        true
    }

    /// A session of `user` opened here. Returns whether they were offline before, on
    /// every node. Once it has returned, what is published to the user reaches this node.
    ///
    /// # Errors
    /// The session counts all the same, and is registered as soon as that is possible.
    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// A session of `user` closed here. Returns whether they are offline now, on every
    /// node.
    ///
    /// # Errors
    /// The session is no longer counted all the same.
    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError>;

    /// Whether each of `users` is online, in that order.
    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError>;

    /// Sends `payload` to other nodes, each once: one lookup per shard for the users, made
    /// now and not from memory, one message per node, one for the room. Never to this node.
    ///
    /// # Errors
    /// It may have reached some of them, or none.
    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError>;

    /// Sends `payload` to one other node.
    ///
    /// # Errors
    /// It may have arrived or not.
    async fn tell(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError>;

    /// Something could not be published for a while. Other nodes get [`Notice::Missed`] with the
    /// next heartbeat, if that gets through.
    fn report_unpublished(&self) {}

    /// Has what is published to `room` reach this node, from when this returns. Counted:
    /// ends with as many calls of [`Self::unfollow`].
    ///
    /// # Errors
    /// It counts all the same, and is subscribed as soon as that is possible.
    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError>;

    /// Undoes one [`Self::follow`].
    async fn unfollow(&self, room: &RoomId);

    /// The nodes that are alive, this one among them, by rising id: as of a second or
    /// so ago.
    fn nodes(&self) -> Vec<NodeId>;

    /// What reaches this node. To be taken once; a second call gets a channel on which
    /// nothing comes.
    fn notices(&self) -> mpsc::Receiver<Notice>;

    /// Whether what is published arrives.
    fn health(&self) -> watch::Receiver<Health>;

    /// What is to be changed in the settings of the registry, for the operator, and each change.
    fn warning(&self) -> watch::Receiver<Option<String>> {
        watch::Sender::new(None).subscribe()
    }

    /// Takes this node and its users out, and ends what runs here.
    async fn close(&self);
}
