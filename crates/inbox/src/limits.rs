//! Bounds of the inbox.

/// Events at the end of a room among which its last message is looked for. A room whose last message is
/// farther back is shown without one.
pub(crate) const LAST_MESSAGE_SCAN: usize = 50;
