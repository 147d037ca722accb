use crate::{Timestamp, UserId};

/// The position of a command's events in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its first event; 0 if nothing had to change.
    pub first: u64,
    /// Its last event.
    pub last: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Messages in the room up to its last event; 0 if nothing had to change.
    pub message_count: u64,
    /// Whether the command had been carried out before.
    pub is_repeat: bool,
}

/// The result of deciding a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Decided: new events are in the draft, or the command was a repeat, or nothing had to change.
    Done(Outcome),
    /// Data must be loaded first; then decide again.
    Need(Need),
}

/// Data that a room needs before it can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The row of this user: [`crate::Room::load_member`].
    Member(UserId),
    /// The rows of all members: [`crate::Room::load_all_members`].
    Members,
    /// The invitations to the room: [`crate::Room::load_invitations`].
    Invitations,
    /// The message at this seq with its overlay: [`crate::Room::load_message`].
    Message(u64),
    /// Which of these users block another one: [`crate::Room::load_blocks`]. Asked for with each draft, since
    /// blocks are not in the log.
    Blocks {
        /// Who may block them.
        by: Vec<UserId>,
        /// The other one.
        of: UserId,
    },
    /// Older events than those remembered: call [`crate::Room::load_older`] with the chunks that
    /// end right before this seq.
    Older {
        /// First seq that is already remembered.
        before: u64,
    },
    /// Older events, for a request of a former member: call [`crate::Room::load_past`] with those
    /// that end right before this seq.
    Past {
        /// The former member.
        user: UserId,
        /// The end of their membership.
        left: u64,
        /// First seq that is already remembered; initially right after `left`.
        before: u64,
    },
}
