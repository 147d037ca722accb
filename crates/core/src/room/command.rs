use std::time::Duration;

use crate::{
    DataChange, DataTooLarge, Emoji, ImageUrl, Imported, Message, Permissions, Reason, RequestId, Role, Text,
    Timestamp, Title, Topic, UserId, Visibility,
};

/// The authority under which a command is submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Authority {
    /// That of the actor's membership in the room.
    #[default]
    Member,
    /// The same, but submitted by the app's own backend on behalf of the actor.
    OnBehalf {
        /// The backend's user id.
        service: UserId,
    },
    /// That of the app's own backend, in every room, whether or not it is a member.
    App {
        /// It may also ban and mute.
        moderates: bool,
    },
    /// The same, as the actor: what a deleted user has left in the room is removed, whether or not they are still a
    /// member, and in a frozen room, too.
    Erasure {
        /// The backend's user id.
        service: UserId,
    },
}

/// One user's command to one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The user who submits it.
    pub actor: UserId,
    /// The authority it is decided under.
    pub authority: Authority,
    /// The actor's id for the request; repeats are recognised by it.
    pub request: RequestId,
    /// The highest head of the room that the client knew when it first sent this.
    pub after: Option<u64>,
    /// The requested change.
    pub action: Action,
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

impl Authority {
    /// The backend that submits a command in the name of its actor.
    pub fn service(&self) -> Option<&UserId> {
        match self {
            Self::OnBehalf { service } | Self::Erasure { service } => Some(service),
            Self::Member | Self::App { .. } => None,
        }
    }
}

impl Command {
    /// The users whose membership this may change.
    pub fn concerned(&self) -> impl Iterator<Item = &UserId> {
        let named = match &self.action {
            Action::Add { users } => users.as_slice(),
            Action::Remove { user } | Action::Ban { user, .. } | Action::SetRole { user, .. } => {
                std::slice::from_ref(user)
            }
            Action::Invite { added, .. } => added.as_slice(),
            Action::Join | Action::Accept | Action::Leave => std::slice::from_ref(&self.actor),
            _ => &[],
        };
        named.iter()
    }
}

/// A requested change of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(Message),
    /// Append messages of an earlier system, with their own senders and dates.
    Import {
        /// The messages, numbered without gaps.
        messages: Vec<ImportedMessage>,
    },
    /// Replace the text of the actor's own message, and change its data.
    Edit {
        /// The message.
        target: u64,
        /// The new text.
        text: Text,
        /// The change of its data.
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
        /// The emoji.
        emoji: Emoji,
    },
    /// Remove a reaction.
    Unreact {
        /// The message.
        target: u64,
        /// The emoji.
        emoji: Emoji,
    },
    /// Add members.
    Add {
        /// The new members.
        users: Vec<UserId>,
    },
    /// Invite users to become members, and add others.
    Invite {
        /// Those who are invited.
        users: Vec<UserId>,
        /// Those who are added.
        added: Vec<UserId>,
        /// How long the invitations can be accepted.
        lasts: Duration,
    },
    /// Become a member by an invitation.
    Accept,
    /// Decline an invitation.
    Decline,
    /// Take back an invitation.
    Revoke {
        /// Whose.
        user: UserId,
    },
    /// Remove a member.
    Remove {
        /// The member.
        user: UserId,
    },
    /// Remove a user, and keep them from returning.
    Ban {
        /// The user.
        user: UserId,
        /// For how long; `None` until it is lifted.
        lasts: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// Lift a ban.
    Unban {
        /// The user.
        user: UserId,
    },
    /// Keep someone from sending, editing and reacting.
    Mute {
        /// Whom.
        user: UserId,
        /// For how long; `None` until it is lifted.
        lasts: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// Lift a mute.
    Unmute {
        /// Whose.
        user: UserId,
    },
    /// Assign a role.
    SetRole {
        /// The member.
        user: UserId,
        /// The role.
        role: Role,
    },
    /// Join a channel.
    Join,
    /// Leave the room.
    Leave,
    /// Change settings.
    Update(SettingsChange),
    /// Delete the room.
    DeleteRoom,
}

/// A message to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedMessage {
    /// Who sent it.
    pub sender: UserId,
    /// The sender's id for it.
    pub request: RequestId,
    /// Its place in the imported history.
    pub imported: Imported,
    /// The rest of it.
    pub message: Message,
}

/// Settings to change; `None` leaves a setting unchanged.
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
    /// Roles to set; `None` leaves a role unchanged.
    pub permissions: Permissions,
    /// Whether only the app may send, edit, react, join or add members.
    pub frozen: Option<bool>,
    /// Whether nobody may, and the room is out of the way.
    pub archived: Option<bool>,
    /// Seconds between two messages of one member; 0 lifts the limit.
    pub slow_mode: Option<u32>,
    /// Whether the directory has it; channels only.
    pub listed: Option<bool>,
}

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
    #[error("only channels can be joined; ask to be added")]
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
