use std::time::Duration;

pub use super::refusal::Refusal;
use crate::{
    DataChange, Emoji, ImageUrl, Imported, Joining, LinkHash, Message, Permission, Permissions, Reason,
    RequestId, Role, Text, Title, Topic, UserId, Visibility,
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
            Action::Remove { user }
            | Action::Ban { user, .. }
            | Action::SetRole { user, .. }
            | Action::Approve { user } => std::slice::from_ref(user),
            Action::Invite { added, .. } => added.as_slice(),
            Action::Join
            | Action::Accept
            | Action::JoinByLink { .. }
            | Action::Request { .. }
            | Action::Leave => std::slice::from_ref(&self.actor),
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
    /// Make a link by which users join.
    CreateLink {
        /// The hash of its secret.
        hash: LinkHash,
        /// How long it can be used.
        lasts: Duration,
        /// How many may join by it; 0 for any number.
        max_uses: u32,
    },
    /// Take back a link.
    RevokeLink {
        /// The event that made it.
        link: u64,
    },
    /// Become a member by a link.
    JoinByLink {
        /// The hash of its secret.
        hash: LinkHash,
    },
    /// Ask to become a member.
    Request {
        /// A note to those who answer.
        note: Reason,
    },
    /// Withdraw that.
    Withdraw,
    /// Make a user a member who asks.
    Approve {
        /// Who.
        user: UserId,
    },
    /// Reject a user who asks.
    Reject {
        /// Who.
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
    /// Change what the app keeps about a member.
    UpdateMember {
        /// The member.
        user: UserId,
        /// The change of the data.
        data: DataChange,
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
    /// Permissions that follow the default again.
    pub unset_permissions: Vec<Permission>,
    /// Whether only the app may send, edit, react, join or add members.
    pub frozen: Option<bool>,
    /// Whether nobody may, and the room is out of the way.
    pub archived: Option<bool>,
    /// Seconds between two messages of one member; 0 lifts the limit.
    pub slow_mode: Option<u32>,
    /// Whether the directory has it; channels only.
    pub listed: Option<bool>,
    /// How users become members.
    pub joining: Option<Joining>,
}
