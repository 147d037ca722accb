//! Limits of the inbox.

/// Events at the end of a room that are searched for its last message. A room whose last message is further back is
/// shown without one.
pub(crate) const LAST_MESSAGE_SCAN: usize = 50;
