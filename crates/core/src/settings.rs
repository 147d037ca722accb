use crate::{Data, ImageUrl, Role, Title, Topic};

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    /// Two users; membership never changes.
    Direct,
    /// Members are added by others.
    Group,
    /// Open to anyone signed in.
    Channel,
}

/// How much of the past a member may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Events during their membership.
    #[default]
    SinceJoined,
    /// Everything until they leave.
    All,
}

/// How users become members, besides being added and by links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joining {
    /// As is usual for the kind of room: see [`Settings::joining`].
    #[default]
    Usual,
    /// By joining. Channels only.
    Open,
    /// By asking.
    ByRequest,
    /// By being invited.
    ByInvitation,
}

/// Settings that owner and admins may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Title.
    pub title: Title,
    /// Topic.
    pub topic: Topic,
    /// How much of the past members may read.
    pub visibility: Visibility,
    /// Address of a picture.
    pub image: ImageUrl,
    /// The app's own data.
    pub data: Data,
    /// Roles required for certain actions.
    pub permissions: Permissions,
    /// Whether only the app may change messages and membership; members may still leave.
    pub frozen: bool,
    /// Whether nobody may, not even the app, until this is taken back: the room is only read.
    pub archived: bool,
    /// Seconds between two messages of one member, except owner and admins; 0 for no such limit.
    pub slow_mode: u32,
    /// Whether the directory has it; channels only.
    pub listed: bool,
    /// How users become members.
    pub joining: Joining,
}

impl Settings {
    /// How users become members of a room of this kind.
    pub fn joining(&self, kind: RoomKind) -> Joining {
        match (self.joining, kind) {
            (_, RoomKind::Direct) => Joining::ByInvitation,
            (Joining::Usual, RoomKind::Channel) => Joining::Open,
            (Joining::Usual | Joining::Open, RoomKind::Group) => Joining::ByInvitation,
            (joining, _) => joining,
        }
    }

    /// The settings kept for a former member: the names that they knew the room by.
    pub(crate) fn names(&self) -> Self {
        let (title, topic) = (self.title.clone(), self.topic.clone());
        Self { title, topic, visibility: self.visibility, ..Self::default() }
    }
}

/// Actions whose required role is configurable per room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Send messages.
    Post,
    /// Add reactions.
    React,
    /// Add members.
    Invite,
    /// Change settings other than permissions.
    Edit,
    /// Delete messages of others.
    Delete,
    /// Mention everyone in a message.
    MentionAll,
}

/// The lowest role for each action; `None` for the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Send messages. Default: every member.
    pub post: Option<Role>,
    /// Add reactions. Default: every member.
    pub react: Option<Role>,
    /// Add members. Default: admins.
    pub invite: Option<Role>,
    /// Change settings other than permissions. Default: admins.
    pub edit: Option<Role>,
    /// Delete messages of others. Default: admins.
    pub delete: Option<Role>,
    /// Mention everyone in a message. Default: admins.
    pub mention_all: Option<Role>,
}

/// Permissions of rooms that have not set their own, by kind. A direct room has none: its two members are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DefaultPermissions {
    /// Of groups.
    pub group: Permissions,
    /// Of channels.
    pub channel: Permissions,
}

impl DefaultPermissions {
    /// Those of rooms of this kind.
    pub fn of(&self, kind: RoomKind) -> Permissions {
        match kind {
            RoomKind::Direct => Permissions::default(),
            RoomKind::Group => self.group,
            RoomKind::Channel => self.channel,
        }
    }
}

impl Permissions {
    /// These permissions, with every role set: what is not set is as in `defaults`.
    #[must_use]
    pub fn in_force(&self, defaults: &Self) -> Self {
        let merged = defaults.changed(self);
        let role = |permission| Some(merged.role_for(permission));
        Self {
            post: role(Permission::Post),
            react: role(Permission::React),
            invite: role(Permission::Invite),
            edit: role(Permission::Edit),
            delete: role(Permission::Delete),
            mention_all: role(Permission::MentionAll),
        }
    }

    /// The lowest role with this permission.
    pub fn role_for(&self, permission: Permission) -> Role {
        match permission {
            Permission::Post => self.post.unwrap_or(Role::Member),
            Permission::React => self.react.unwrap_or(Role::Member),
            Permission::Invite => self.invite.unwrap_or(Role::Admin),
            Permission::Edit => self.edit.unwrap_or(Role::Admin),
            Permission::Delete => self.delete.unwrap_or(Role::Admin),
            Permission::MentionAll => self.mention_all.unwrap_or(Role::Admin),
        }
    }

    /// Whether the role for it is set.
    pub fn is_set(&self, permission: Permission) -> bool {
        self.without(&[permission]) != *self
    }

    /// Returns these permissions without the roles of `unset`.
    #[must_use]
    pub(crate) fn without(&self, unset: &[Permission]) -> Self {
        let mut kept = *self;
        for permission in unset {
            match permission {
                Permission::Post => kept.post = None,
                Permission::React => kept.react = None,
                Permission::Invite => kept.invite = None,
                Permission::Edit => kept.edit = None,
                Permission::Delete => kept.delete = None,
                Permission::MentionAll => kept.mention_all = None,
            }
        }
        kept
    }

    /// Returns these permissions with the roles set in `change` replaced.
    pub(crate) fn changed(&self, change: &Self) -> Self {
        Self {
            post: change.post.or(self.post),
            react: change.react.or(self.react),
            invite: change.invite.or(self.invite),
            edit: change.edit.or(self.edit),
            delete: change.delete.or(self.delete),
            mention_all: change.mention_all.or(self.mention_all),
        }
    }
}
