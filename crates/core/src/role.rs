/// What a member may do. Each role includes the permissions of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read and write.
    Member,
    /// In addition: manage members, settings and messages.
    Admin,
    /// In addition: assign roles. A group or channel has exactly one owner.
    Owner,
}
