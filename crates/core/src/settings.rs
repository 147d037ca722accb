use crate::{Data, ImageUrl, Role, Title, Topic};

/// What a room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    /// Two people; nobody joins or leaves.
    Direct,
    /// By invitation.
    Group,
    /// Open to anyone signed in.
    Channel,
}

/// How much of the past a member may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// What happened while being a member.
    #[default]
    SinceJoined,
    /// Everything up to leaving.
    All,
}

/// What owner and admins may change.
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
    /// Which roles may do what.
    pub permissions: Permissions,
    /// Nobody but the app changes messages or membership; members may still leave.
    pub frozen: bool,
}

impl Settings {
    /// What is kept of them for someone who leaves: the names that they knew the room by.
    pub(crate) fn names(&self) -> Self {
        let (title, topic) = (self.title.clone(), self.topic.clone());
        Self { title, topic, visibility: self.visibility, ..Self::default() }
    }
}

/// What takes a role that a room's settings may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Send messages.
    Post,
    /// Add reactions.
    React,
    /// Add members.
    Invite,
    /// Change settings, but for permissions.
    Edit,
    /// Delete messages of others.
    Delete,
}

/// The lowest role that may do something; `None` where it is as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Send messages. Usually every member.
    pub post: Option<Role>,
    /// Add reactions. Usually every member.
    pub react: Option<Role>,
    /// Add members. Usually admins.
    pub invite: Option<Role>,
    /// Change settings, but for permissions. Usually admins.
    pub edit: Option<Role>,
    /// Delete messages of others. Usually admins.
    pub delete: Option<Role>,
}

impl Permissions {
    /// The lowest role that may do it.
    pub fn role_for(&self, permission: Permission) -> Role {
        match permission {
            Permission::Post => self.post.unwrap_or(Role::Member),
            Permission::React => self.react.unwrap_or(Role::Member),
            Permission::Invite => self.invite.unwrap_or(Role::Admin),
            Permission::Edit => self.edit.unwrap_or(Role::Admin),
            Permission::Delete => self.delete.unwrap_or(Role::Admin),
        }
    }

    /// These, changed where `change` names a role.
    pub(crate) fn changed(&self, change: &Self) -> Self {
        Self {
            post: change.post.or(self.post),
            react: change.react.or(self.react),
            invite: change.invite.or(self.invite),
            edit: change.edit.or(self.edit),
            delete: change.delete.or(self.delete),
        }
    }
}
