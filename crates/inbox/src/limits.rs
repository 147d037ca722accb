//! Limits of the inbox.

/// Events at the end of a room that are searched for its last message. A room whose last message is further back is
/// shown without one, and has its place among the latest by the first of these events.
pub(crate) const LAST_MESSAGE_SCAN: usize = 50;

/// Sizes of what reads all rooms of a user, the unread total and the order of the latest: parameters, so that tests reach
/// every boundary with a handful of rooms.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rows that are read at once.
    pub total_page: usize,
    /// Rooms beyond which the result is partial: each costs some reads, a badge shows "99+", and a list of the latest is
    /// read from its beginning.
    pub total_rooms: usize,
    /// Pages after which it is partial whatever is in them: rooms that were left or deleted are listed, too.
    pub total_pages: usize,
}

impl Sizes {
    /// Values for production.
    pub const PRODUCTION: Self = Self { total_page: 200, total_rooms: 2_000, total_pages: 50 };

    /// Three of everything, for tests.
    pub const SMALL: Self = Self { total_page: 3, total_rooms: 3, total_pages: 3 };
}
