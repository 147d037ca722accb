use crate::{
    DataChange, DataTooLarge, Emoji, ImageUrl, Message, Permissions, RequestId, Role, Text, Timestamp, Title,
    Topic, UserId, Visibility,
};

/// By what right something is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authority {
    /// That which the actor has in the room.
    #[default]
    Member,
    /// The same. The app's own backend asks on behalf of the actor.
    OnBehalf {
        /// The backend's user.
        service: UserId,
    },
    /// That of the app's own backend, in every room: a member or not.
    App {
        /// It may also ban.
        moderates: bool,
    },
}

/// What one user asks of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Who asks.
    pub actor: UserId,
    /// By what right.
    pub authority: Authority,
    /// Their id for the request; a repeat is recognised by it.
    pub request: RequestId,
    /// The highest head of the room that the client knew when it first sent this.
    pub after: Option<u64>,
    /// What is asked.
    pub action: Action,
}

impl Command {
    /// Whose membership this may change.
    pub fn concerned(&self) -> impl Iterator<Item = &UserId> {
        let named = match &self.action {
            Action::Add { users } => users.as_slice(),
            Action::Remove { user } | Action::Ban { user } | Action::SetRole { user, .. } => {
                std::slice::from_ref(user)
            }
            Action::Join | Action::Leave => std::slice::from_ref(&self.actor),
            _ => &[],
        };
        named.iter()
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(Message),
    /// Replace the text of one's own message, and change its data.
    Edit {
        /// The message.
        target: u64,
        /// The new text.
        text: Text,
        /// What becomes of its data.
        data: DataChange,
    },
    /// Delete a message.
    Delete {
        /// The message.
        target: u64,
    },
    /// React to a message.
    React {
        /// The message.
        target: u64,
        /// With what.
        emoji: Emoji,
    },
    /// Take a reaction back.
    Unreact {
        /// The message.
        target: u64,
        /// Which.
        emoji: Emoji,
    },
    /// Add members.
    Add {
        /// Whom.
        users: Vec<UserId>,
    },
    /// Remove a member.
    Remove {
        /// Whom.
        user: UserId,
    },
    /// Remove someone, and keep them from coming back.
    Ban {
        /// Whom.
        user: UserId,
    },
    /// Lift a ban.
    Unban {
        /// Whose.
        user: UserId,
    },
    /// Give a role.
    SetRole {
        /// To whom.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// Become a member of a channel.
    Join,
    /// Stop being a member.
    Leave,
    /// Change settings.
    Update(SettingsChange),
    /// Delete the room.
    DeleteRoom,
}

/// Settings to change; `None` leaves one as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsChange {
    /// Title.
    pub title: Option<Title>,
    /// Topic.
    pub topic: Option<Topic>,
    /// Visibility of history.
    pub visibility: Option<Visibility>,
    /// Address of a picture.
    pub image: Option<ImageUrl>,
    /// The app's own data.
    pub data: DataChange,
    /// Roles to set; those that are `None` stay as they are.
    pub permissions: Permissions,
    /// Whether nobody but the app sends, edits, reacts, joins or adds members.
    pub frozen: Option<bool>,
}

/// Where a command stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Its first event; 0 where nothing had to change.
    pub first: u64,
    /// Its last event.
    pub last: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// Messages in the room up to its last event; 0 where nothing had to change.
    pub message_count: u64,
    /// It was carried out before, and this is where.
    pub is_repeat: bool,
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is decided: new events are in the draft, or it had been carried out before,
    /// or there was nothing to change.
    Done(Outcome),
    /// Something must be loaded first; then ask again.
    Need(Need),
}

/// What a room must be given before it can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The row of this user: [`crate::Room::load_member`].
    Member(UserId),
    /// The rows of all members: [`crate::Room::load_all_members`].
    Members,
    /// The message at this seq with its overlay: [`crate::Room::load_message`].
    Message(u64),
    /// Older events than those remembered: [`crate::Room::load_older`] with the chunks
    /// that end right before this seq.
    Older {
        /// First seq that is remembered already.
        before: u64,
    },
    /// Older events, for what a former member asked: [`crate::Room::load_past`] with those that end
    /// right before this seq.
    Past {
        /// The former member.
        user: UserId,
        /// The end of their membership.
        left: u64,
        /// First seq that is remembered already; right after `left` at first.
        before: u64,
    },
}

/// Why a command is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The actor is not a member, or the room is not theirs to know.
    #[error("not a member of this room")]
    NotMember,
    /// The role does not suffice.
    #[error("this takes the role of {0}")]
    NeedsRole(&'static str),
    /// Only the app may do this.
    #[error("this takes the {0} scope")]
    NeedsScope(&'static str),
    /// The room was deleted.
    #[error("this room was deleted")]
    RoomDeleted,
    /// The room is frozen.
    #[error("this room is frozen")]
    Frozen,
    /// A message of text alone must have one.
    #[error("must not be blank")]
    BlankText,
    /// The data would be too large.
    #[error(transparent)]
    DataTooLarge(#[from] DataTooLarge),
    /// Only the sender may do this to a message.
    #[error("only its sender may edit a message")]
    NotSender,
    /// Nobody joins, leaves or changes a direct room.
    #[error("a direct room has no members or settings to change")]
    DirectRoom,
    /// One joins channels only.
    #[error("only channels can be joined; ask to be added")]
    NotJoinable,
    /// The actor was removed by another, and cannot join on their own.
    #[error("removed from this room; ask to be added")]
    Removed,
    /// The actor is banned from the room.
    #[error("banned from this room")]
    Banned,
    /// The person concerned is banned from the room.
    #[error("{0} is banned from this room")]
    TargetBanned(UserId),
    /// The owner's role passes to someone else only together with theirs.
    #[error("make another member the owner instead")]
    OwnerLeaves,
    /// The person concerned is not a member.
    #[error("{0} is not a member of this room")]
    TargetNotMember(UserId),
    /// There is no such message that the actor may see.
    #[error("no message at seq {0}")]
    MessageNotFound(u64),
    /// The message was deleted.
    #[error("the message at seq {0} was deleted")]
    MessageDeleted(u64),
    /// The message has all the reactions it may have.
    #[error("the message has too many reactions")]
    TooManyReactions,
    /// The room has all the members it may have.
    #[error("the room is full")]
    RoomFull,
    /// `after_seq` lies beyond the room's head.
    #[error("after_seq {after} lies beyond the room's head {head}")]
    CursorAhead {
        /// What the client said.
        after: u64,
        /// The head.
        head: u64,
    },
    /// `seq` lies beyond the room's head.
    #[error("seq {seq} lies beyond the room's head {head}")]
    SeqAhead {
        /// What the client said.
        seq: u64,
        /// The head.
        head: u64,
    },
    /// More has happened since `after_seq` than a repeat is looked for in.
    #[error("too much has happened since after_seq; page the room and try again with a later one")]
    CatchUpFirst {
        /// The head; for a former member, the end of their membership.
        head: u64,
    },
    /// The part of the log that would tell is gone.
    #[error("the log since after_seq is no longer kept: whether this was carried out is unknown")]
    OutcomeUnknown {
        /// First seq kept; for a former member at most the one after the end of their membership.
        floor: u64,
    },
    /// The id stands for something else already.
    #[error("this request id was used for something else")]
    RequestIdReused,
}
