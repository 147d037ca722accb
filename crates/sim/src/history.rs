use std::collections::BTreeMap;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use parlance_registry::NodeId;

/// Everything that clients asked and saw.
#[derive(Default)]
pub struct History {
    /// Every session that said hello.
    pub sessions: Vec<Session>,
    /// Every operation, by its number.
    pub asked: Vec<Asked>,
}

/// One stream of one client.
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// Which of all clients.
    pub client: usize,
    /// Where.
    pub node: NodeId,
    /// When hello was said, milliseconds.
    pub opened: u64,
    /// When the stream was over.
    pub closed: Option<u64>,
    /// The cursors in hello.
    pub cursors: BTreeMap<RoomId, u64>,
    /// It reads slowly.
    pub slow: bool,
    /// How far it came in each room.
    pub reached: BTreeMap<RoomId, u64>,
    /// What came, each with its time.
    pub seen: Vec<(u64, Seen)>,
}

/// What a client saw on a stream.
#[derive(Debug, Clone)]
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
    /// Who asks.
    pub user: UserId,
    /// What.
    pub operation: v1::client_frame::Operation,
    /// When it was first sent.
    pub first_sent: Option<u64>,
    /// It is asked until it is answered.
    pub retries: bool,
    /// How often it was sent.
    pub attempts: u32,
    /// What came of it in the end; `None` while that is not known.
    pub answer: Option<Answer>,
}

/// The last answer to an operation.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it came.
    pub at: u64,
    /// Who gave it.
    pub node: NodeId,
    /// Which.
    pub result: v1::reply::Result,
}

impl Asked {
    /// The error it was answered with.
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

    /// How far its client has a room.
    pub fn has(&self, room: &RoomId) -> u64 {
        let reached = self.reached.get(room).or_else(|| self.cursors.get(room));
        reached.copied().unwrap_or(0)
    }
}
