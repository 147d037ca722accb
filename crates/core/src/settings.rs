use crate::{Title, Topic};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// What happened while being a member.
    SinceJoined,
    /// Everything up to leaving.
    All,
}

/// What owner and admins may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Title.
    pub title: Title,
    /// Topic.
    pub topic: Topic,
    /// How much of the past members may read.
    pub visibility: Visibility,
}
