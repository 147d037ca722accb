//! Bounds of rooms' actors, each with its reason.
use std::time::Duration;

use parlance_core::limits::RoomSizes;

/// Sizes of pages and caches: parameters, so that tests and the simulation meet every boundary
/// with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Events that are read at once to recognise repeats.
    pub older_page: usize,
    /// Events that are read at once to catch up with the log before a decision.
    pub log_page: usize,
    /// What a loaded room keeps in memory.
    pub room: RoomSizes,
}

impl Sizes {
    /// What a server runs with.
    pub const PRODUCTION: Self = Self { older_page: 512, log_page: 1_024, room: RoomSizes::PRODUCTION };

    /// Three of everything.
    pub const SMALL: Self = Self { older_page: 3, log_page: 3, room: RoomSizes::SMALL };
}

/// Commands that wait for one room; whoever comes when it is full waits too.
pub(crate) const ROOM_QUEUE: usize = 1_024;

/// How long a room stays loaded with nothing to do.
pub(crate) const ROOM_IDLE: Duration = Duration::from_secs(60);

/// How often a room tries again after it lost the race for its head.
pub(crate) const MAX_RACES: usize = 16;

/// How long a node that lost a race for a room's head lets the room's home decide, before
/// it tries by itself again.
pub(crate) const FORWARD_FOR: Duration = Duration::from_secs(5);

/// Races in a row that the home itself loses before it asks the others to hand on.
pub(crate) const HOME_RACES: usize = 2;

/// Users of other nodes whose last forwarded send in a room is remembered by its home, 100 bytes
/// each. What is forgotten costs another round of deciding.
pub(crate) const FORWARDS_KNOWN: usize = 1_024;

/// How long a node waits for the home's answer before it decides by itself after all.
pub(crate) const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node that did not answer is not asked to decide: until its lease has ended.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(10);

/// Commands that may fail one after the other because of what each of them needs from the store: each has
/// waited for it, and so have those behind it. After that all fail.
pub(crate) const FAILED_ALONE: usize = 3;
