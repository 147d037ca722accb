//! The history of a run, as compact as possible: a million messages with all their deliveries take a
//! few hundred megabytes. The checker reads nothing else.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use parlance_proto::v1;
use parlance_proto::v1::event::Body;

use super::world::{OpId, User};

/// Milliseconds since the run began, by this process's clock.
pub(super) type At = u32;

/// A room, as an index into the world.
pub(super) type RoomIndex = u16;

/// The complete history of a run.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) rooms: Vec<RoomHistory>,
    /// By client, each of which is a user of its own.
    pub(super) clients: Vec<ClientHistory>,
    pub(super) faults: Vec<FaultRecord>,
}

/// A room as read back at the end.
#[derive(Debug, Default)]
pub(super) struct RoomHistory {
    pub(super) id: String,
    /// Whether members may read the whole history, not only their own intervals.
    pub(super) open_past: bool,
    /// The seq of its last event before the run began.
    pub(super) setup_head: u64,
    /// The head named by the read-back.
    pub(super) head: u64,
    /// The events of the read-back, unmodified.
    pub(super) log: Vec<LogEvent>,
}

/// An event of the read-back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogEvent {
    pub(super) seq: u64,
    /// By the server's clock, nanoseconds.
    pub(super) at: i128,
    pub(super) actor: Option<User>,
    /// The operation that caused it; `None` for events from before the run.
    pub(super) op: Option<OpId>,
    pub(super) print: u64,
    pub(super) message_count: u64,
    pub(super) body: LogBody,
}

/// The content, as far as the rules need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LogBody {
    Message { text: Text, deleted: bool, reactions: Vec<(u8, User)> },
    Edited { target: u64, text: Text },
    Deleted { target: u64 },
    Reacted { target: u64, emoji: u8 },
    Unreacted { target: u64, emoji: u8 },
    Added(User),
    Removed(User),
    Other,
}

/// A text, identified by the operation that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Empty,
    Of(OpId),
    /// A text that was never sent.
    Foreign,
}

/// One client's actions and observations.
#[derive(Debug, Default)]
pub(super) struct ClientHistory {
    pub(super) sessions: Vec<SessionRecord>,
    pub(super) ops: Vec<OpRecord>,
    pub(super) pages: Vec<PageRecord>,
    /// The user's inbox at the end.
    pub(super) inbox: Vec<InboxRecord>,
    /// Events of rooms that the user was never in: room and seq.
    pub(super) strange: Vec<(String, u64)>,
    /// Failed attempts to connect.
    pub(super) failed_connects: u32,
}

/// One connection, from the welcome to its end.
#[derive(Debug, Default)]
pub(super) struct SessionRecord {
    pub(super) node: u8,
    pub(super) opened: At,
    /// When all heads named by the welcome had been reached.
    pub(super) caught_up: Option<At>,
    /// `None`: still open when the run ended.
    pub(super) ended: Option<At>,
    /// Periods in which the client did not read: from, to.
    pub(super) stalls: Vec<(At, At)>,
    /// Cursors in hello, by room.
    pub(super) cursors: HashMap<RoomIndex, u64>,
    /// Heads in the welcome.
    pub(super) heads: HashMap<RoomIndex, u64>,
    /// Received frames, by room, in order.
    pub(super) rooms: HashMap<RoomIndex, Vec<Frame>>,
    /// Messages and edits that differ from what their own operation wrote.
    pub(super) changed: Vec<ChangedText>,
    /// The reason for which the server refused to resume.
    pub(super) refused: Option<String>,
}

/// An item received on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Event { seq: u32, at: At, print: u64 },
    Gap { from: u32, to: u32, at: At, reason: v1::GapReason },
}

/// A message or an edit received in another form than it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChangedText {
    pub(super) room: RoomIndex,
    pub(super) seq: u32,
    pub(super) at: At,
    pub(super) text: Text,
}

impl Text {
    /// The text of an event that differs from what its operation wrote; `None` if it is equal, or if
    /// the event has no text or is from before the run.
    pub(super) fn changed(event: &v1::Event) -> Option<Self> {
        let text = match &event.body {
            Some(Body::Message(message)) => Self::read(&message.text),
            Some(Body::MessageEdited(edited)) => Self::read(&edited.text),
            _ => return None,
        };
        let written = Self::Of(OpId::parse(&event.request_id)?);
        (text != written).then_some(text)
    }
}

/// An operation that has an id, and its answers.
#[derive(Debug, Clone)]
pub(super) struct OpRecord {
    pub(super) id: OpId,
    pub(super) kind: OpKind,
    pub(super) room: RoomIndex,
    /// The message or mark that it refers to, if any.
    pub(super) target: u32,
    pub(super) first_sent: At,
    pub(super) attempts: u16,
    pub(super) outcome: Outcome,
    /// Answers to repeats of an answered operation.
    pub(super) repeats: Vec<Answer>,
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// No answer yet.
    Open,
    /// The client gave up, as the contract requires; it may or may not have been carried out.
    Unknown,
    Done(Answer),
    /// Refused permanently: the reason, and whether it may have been carried out before.
    Refused {
        reason: String,
        at: At,
    },
}

/// An acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) at: At,
    /// The first event; 0 if nothing had to change. For a mark: its position.
    pub(super) seq: u32,
    /// For a message: the count including it.
    pub(super) message_count: u32,
    pub(super) is_repeat: bool,
    /// Whether the answer names the right room.
    pub(super) right_room: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OpKind {
    Send,
    Edit,
    Delete,
    React,
    Unreact,
    MarkRead,
    Delivered,
    Join,
    Leave,
    Add,
    Remove,
}

impl OpKind {
    /// Whether its answer names an event of the log.
    pub(super) fn is_logged(self) -> bool {
        !matches!(self, Self::MarkRead | Self::Delivered)
    }
}

/// A page of history read by a client during the run.
#[derive(Debug, Clone)]
pub(super) struct PageRecord {
    pub(super) room: RoomIndex,
    pub(super) asked: At,
    pub(super) answered: At,
    pub(super) head: u64,
    pub(super) from: u64,
    /// Whether it contains messages only, instead of all events.
    pub(super) messages: bool,
    /// Seq and fingerprint.
    pub(super) events: Vec<(u32, u64)>,
}

/// A room of an inbox at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InboxRecord {
    pub(super) room: RoomIndex,
    pub(super) head: u64,
    pub(super) message_count: u64,
    pub(super) unread: u64,
    pub(super) read_seq: u64,
    pub(super) read_count: u64,
}

/// An injected fault.
#[derive(Debug, Clone)]
pub(super) struct FaultRecord {
    pub(super) name: &'static str,
    pub(super) from: At,
    pub(super) to: At,
    /// Whether hints between nodes or the store are impaired: deliveries may take until it ends.
    pub(super) delays_all: bool,
}

/// A fingerprint of an event that is independent of its form.
pub(super) fn print(event: &v1::Event) -> u64 {
    let mut hash = DefaultHasher::new();
    (event.seq, &event.actor_id, &event.request_id, event.message_count).hash(&mut hash);
    if let Some(at) = &event.at {
        (at.seconds, at.nanos).hash(&mut hash);
    }
    match &event.body {
        None => 0.hash(&mut hash),
        Some(Body::Message(message)) => (1, message.reply_to_seq).hash(&mut hash),
        Some(Body::MessageEdited(edited)) => (2, edited.target_seq).hash(&mut hash),
        Some(Body::MessageDeleted(deleted)) => (3, deleted.target_seq).hash(&mut hash),
        Some(Body::ReactionAdded(added)) => (4, added.target_seq).hash(&mut hash),
        Some(Body::ReactionRemoved(removed)) => (5, removed.target_seq).hash(&mut hash),
        Some(Body::MemberAdded(added)) => (6, &added.user_id, added.role).hash(&mut hash),
        Some(Body::MemberRemoved(removed)) => (7, &removed.user_id).hash(&mut hash),
        Some(Body::RoleChanged(changed)) => (8, &changed.user_id, changed.role).hash(&mut hash),
        Some(Body::RoomCreated(created)) => (9, created.kind).hash(&mut hash),
        Some(Body::RoomChanged(_)) => 10.hash(&mut hash),
        Some(Body::MemberBanned(banned)) => (11, &banned.user_id).hash(&mut hash),
        Some(Body::MemberUnbanned(unbanned)) => (12, &unbanned.user_id).hash(&mut hash),
        Some(Body::RoomDeleted(_)) => 13.hash(&mut hash),
        Some(Body::MemberMuted(muted)) => (14, &muted.user_id).hash(&mut hash),
        Some(Body::MemberUnmuted(unmuted)) => (15, &unmuted.user_id).hash(&mut hash),
        Some(Body::MemberInvited(invited)) => (16, &invited.user_id).hash(&mut hash),
        Some(Body::InvitationEnded(ended)) => (17, &ended.user_id).hash(&mut hash),
        Some(Body::InvitationLinkCreated(made)) => (18, made.max_uses).hash(&mut hash),
        Some(Body::InvitationLinkRevoked(revoked)) => (19, revoked.link_seq).hash(&mut hash),
        Some(Body::JoinRequested(asked)) => (20, &asked.user_id).hash(&mut hash),
        Some(Body::JoinRequestEnded(ended)) => (21, &ended.user_id).hash(&mut hash),
        Some(Body::MemberUpdated(updated)) => (22, &updated.user_id).hash(&mut hash),
    }
    hash.finish()
}
