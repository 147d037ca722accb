use parlance_core::Member;
use parlance_hub::Fetched;

/// What a room's stream needs of the store before it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Needs {
    /// The log after its position, up to `to`; of who is no longer a member as of `until`.
    Log { to: u64, until: Option<u64> },
    /// The row of the user: when they were a member.
    Membership,
}

/// What the store says.
pub(crate) enum Found {
    Log {
        to: u64,
        until: Option<u64>,
        fetched: Option<Fetched>,
    },
    /// As of the membership that the stream knows of, or a later one.
    Membership(Member),
}
