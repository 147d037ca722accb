use parlance_core::Member;
use parlance_hub::Fetched;

/// Data that a room's stream needs from the store before it can continue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Needs {
    /// The log after its position, up to `to`; for a former member, as of `until`.
    Log { to: u64, until: Option<u64> },
    /// The user's row: when they were a member.
    Membership,
}

/// The data read from the store.
pub(crate) enum Found {
    Log {
        to: u64,
        until: Option<u64>,
        fetched: Option<Fetched>,
    },
    /// As of the membership that the stream knows, or a later one.
    Membership(Member),
}
