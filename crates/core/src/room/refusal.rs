use std::time::Duration;

use crate::{DataTooLarge, Role, Timestamp, UserId};

/// Why a command is refused. A refusal changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The actor is not a member, or may not know of the room.
    #[error("not a member of this room")]
    NotMember,
    /// The role does not suffice.
    #[error("requires the role {0}")]
    NeedsRole(&'static str),
    /// Only the app may do this.
    #[error("requires the {0} scope")]
    NeedsScope(&'static str),
    /// The room was deleted.
    #[error("this room was deleted")]
    RoomDeleted,
    /// The room is archived.
    #[error("this room is archived")]
    Archived,
    /// The room is frozen.
    #[error("this room is frozen")]
    Frozen,
    /// The actor is muted in this room.
    #[error("muted in this room")]
    Muted {
        /// When that ends by itself; `None` if it does not.
        until: Option<Timestamp>,
    },
    /// The actor has sent a message a moment ago, in a room in slow mode.
    #[error("this room is in slow mode")]
    SlowMode {
        /// How long to wait.
        wait: Duration,
    },
    /// A message of kind `text` must have a text.
    #[error("must not be blank")]
    BlankText,
    /// The data would be too large.
    #[error(transparent)]
    DataTooLarge(#[from] DataTooLarge),
    /// Only the sender may do this to a message.
    #[error("only its sender may edit a message")]
    NotSender,
    /// Members of a direct room never change.
    #[error("a direct room has no members or settings to change")]
    DirectRoom,
    /// Only channels are in the directory.
    #[error("only channels are in the directory")]
    NotListable,
    /// Only channels can be joined.
    #[error("this room cannot be joined without being invited or added")]
    NotJoinable,
    /// The actor was removed by another member, and cannot rejoin on their own.
    #[error("removed from this room; ask to be added")]
    Removed,
    /// The actor is banned from the room.
    #[error("banned from this room")]
    Banned {
        /// When that ends by itself; `None` if it does not.
        until: Option<Timestamp>,
    },
    /// The target user is banned from the room.
    #[error("{0} is banned from this room")]
    TargetBanned(UserId),
    /// The actor is not invited to the room, or no longer.
    #[error("not invited to this room")]
    NotInvited,
    /// There is no such link by which somebody can join, or no such room.
    #[error("no such link, or it has expired, was taken back or is used up")]
    LinkInvalid,
    /// The room has as many links as may be.
    #[error("{0} links to this room can be used")]
    TooManyLinks(usize),
    /// The room has to be asked.
    #[error("joining this room takes a request")]
    ByRequest,
    /// The room is not one that is asked.
    #[error("this room takes no requests to join")]
    NotByRequest,
    /// The actor has asked before, and was rejected.
    #[error("the request to join was rejected")]
    RequestRejected {
        /// When they may ask again.
        until: Timestamp,
    },
    /// The actor has asked and withdrawn that again and again.
    #[error("requests to join were withdrawn too often")]
    RequestWithdrawn {
        /// When they may ask again.
        until: Timestamp,
    },
    /// The target user does not ask to join, or no longer.
    #[error("{0} does not ask to join this room")]
    NoJoinRequest(UserId),
    /// As many users as may be ask to join the room.
    #[error("{0} requests to join this room wait for an answer")]
    TooManyJoinRequests(usize),
    /// Only channels may be open.
    #[error("a group is not open to everyone")]
    NotOpen,
    /// As many users as may be are invited to the room.
    #[error("{0} invitations to this room wait for an answer")]
    TooManyInvitations(usize),
    /// Messages before the first of these have not been imported yet.
    #[error("{imported} messages were imported, and these begin at number {first}")]
    ImportGap {
        /// The number of messages that were imported.
        imported: u64,
        /// The number of the first one to import.
        first: u64,
    },
    /// This user has blocked the actor.
    #[error("{0} does not accept this")]
    NotAccepted(UserId),
    /// The owner cannot give up ownership without passing it on.
    #[error("make another member the owner instead")]
    OwnerLeaves,
    /// The target user is not a member.
    #[error("{0} is not a member of this room")]
    TargetNotMember(UserId),
    /// There is no such message that the actor may see.
    #[error("no message at seq {0}")]
    MessageNotFound(u64),
    /// The message was deleted.
    #[error("the message at seq {0} was deleted")]
    MessageDeleted(u64),
    /// The message has the maximum number of reactions.
    #[error("the message has too many reactions")]
    TooManyReactions,
    /// The room has the maximum number of members.
    #[error("the room is full")]
    RoomFull,
    /// `after_seq` is beyond the room's head.
    #[error("after_seq {after} is beyond the room's head {head}")]
    CursorAhead {
        /// The client's value.
        after: u64,
        /// The head.
        head: u64,
    },
    /// `seq` is beyond the room's head.
    #[error("seq {seq} is beyond the room's head {head}")]
    SeqAhead {
        /// The client's value.
        seq: u64,
        /// The head.
        head: u64,
    },
    /// Too many events since `after_seq` to search for a repeat.
    #[error("too much has happened since after_seq; page the room and try again with a later one")]
    CatchUpFirst {
        /// The head; for a former member, the end of their membership.
        head: u64,
    },
    /// The part of the log that would contain the outcome was trimmed.
    #[error("the log since after_seq is no longer kept: whether this was carried out is unknown")]
    OutcomeUnknown {
        /// First seq kept; for a former member at most the one after the end of their membership.
        floor: u64,
    },
    /// The request id was used for another operation.
    #[error("this request id was used for something else")]
    RequestIdReused,
}

impl Role {
    /// Refuses a role below `least`.
    pub fn at_least(self, least: Self) -> Result<(), Refusal> {
        if self >= least {
            return Ok(());
        }
        Err(Refusal::NeedsRole(match least {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }))
    }
}
