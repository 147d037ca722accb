use std::collections::BTreeMap;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use parlance_registry::NodeId;

/// Everything that clients sent and received.
#[derive(Default)]
pub struct History {
    /// Every session after its hello.
    pub sessions: Vec<Session>,
    /// Every operation, by number.
    pub asked: Vec<Asked>,
}

/// One stream of one client.
pub struct Session {
    /// The user.
    pub user: UserId,
    /// The index of the client.
    pub client: usize,
    /// The node.
    pub node: NodeId,
    /// The time of hello, in milliseconds.
    pub opened: u64,
    /// When the stream ended.
    pub closed: Option<u64>,
    /// The cursors in hello.
    pub cursors: BTreeMap<RoomId, u64>,
    /// Whether it reads slowly.
    pub slow: bool,
    /// The position reached in each room.
    pub reached: BTreeMap<RoomId, u64>,
    /// What was received, with times.
    pub seen: Vec<(u64, Seen)>,
}

/// An item that a client received on a stream.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "most are events")]
pub enum Seen {
    /// The session is open.
    Welcome,
    /// The next event of a room.
    Event(v1::Event),
    /// A gap.
    Gap(v1::Gap),
}

/// One operation.
pub struct Asked {
    /// The caller.
    pub user: UserId,
    /// The operation.
    pub operation: v1::client_frame::Operation,
    /// When it was first sent.
    pub first_sent: Option<u64>,
    /// Whether it is retried until it is answered.
    pub retries: bool,
    /// The number of attempts.
    pub attempts: u32,
    /// The final answer; `None` while it is unknown.
    pub answer: Option<Answer>,
}

/// The last answer to an operation.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it was received.
    pub at: u64,
    /// The answering node.
    pub node: NodeId,
    /// The result.
    pub result: v1::reply::Result,
}

impl Asked {
    /// The error, if it was rejected.
    pub fn error(&self) -> Option<&v1::Error> {
        match &self.answer.as_ref()?.result {
            v1::reply::Result::Error(error) => Some(error),
            _ => None,
        }
    }
}

impl Session {
    /// Whether it is open now.
    pub fn is_open(&self) -> bool {
        self.closed.is_none() && !self.seen.is_empty()
    }

    /// The position of its client in a room.
    pub fn has(&self, room: &RoomId) -> u64 {
        let reached = self.reached.get(room).or_else(|| self.cursors.get(room));
        reached.copied().unwrap_or(0)
    }
}

/// Whether an error with this reason may disappear on a retry.
pub(crate) fn is_passing(reason: &str) -> bool {
    ["overloaded", "unavailable", "contention", "draining", "operation_timeout"].contains(&reason)
}
