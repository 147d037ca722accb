//! Limits of the inbox.

/// Events at the end of a room that are searched for its last message. A room whose last message is further back is
/// shown without one.
pub(crate) const LAST_MESSAGE_SCAN: usize = 50;

/// Rooms that are read at once for the unread total.
pub(crate) const UNREAD_TOTAL_PAGE: usize = 200;

/// Pages after which the unread total is partial: each room costs some reads, and a badge shows "99+".
pub(crate) const UNREAD_TOTAL_PAGES: usize = 10;
