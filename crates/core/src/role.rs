/// What a member may do; later ones may do all that earlier ones may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read and write.
    Member,
    /// And manage members, settings and messages.
    Admin,
    /// And give roles. A group or channel has exactly one.
    Owner,
}
