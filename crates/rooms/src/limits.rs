//! Limits of room actors, each with its reason.
use std::time::Duration;

use parlance_core::limits::RoomSizes;

/// Sizes of pages and caches: parameters, so that tests and the simulation reach every boundary with a handful of
/// rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Events read at once to recognise repeats.
    pub older_page: usize,
    /// Events read at once to catch up with the log before a decision.
    pub log_page: usize,
    /// What a loaded room keeps in memory.
    pub room: RoomSizes,
}

impl Sizes {
    /// The sizes of a production server.
    pub const PRODUCTION: Self = Self { older_page: 512, log_page: 1_024, room: RoomSizes::PRODUCTION };

    /// Three of everything.
    pub const SMALL: Self = Self { older_page: 3, log_page: 3, room: RoomSizes::SMALL };
}

/// Lists of blocked users that are read at once for a decision: as many as when a room is created.
pub(crate) const BLOCK_READS: usize = 8;

/// Commands queued for one room; when it is full, callers wait.
pub(crate) const ROOM_QUEUE: usize = 1_024;

/// How long an idle room stays loaded.
pub(crate) const ROOM_IDLE: Duration = Duration::from_secs(60);

/// The same when the memory for rooms is used up: a client that sends one message after the other finds it loaded.
pub(crate) const ROOM_IDLE_MIN: Duration = Duration::from_secs(1);

/// Attempts after a room lost the race for its head.
pub(crate) const MAX_RACES: usize = 16;

/// How long a node that lost a race for a room's head forwards to the room's home before it tries again itself.
pub(crate) const FORWARD_FOR: Duration = Duration::from_secs(5);

/// Consecutive races that the home loses before it asks the others to forward.
pub(crate) const HOME_RACES: usize = 2;

/// Users of other nodes whose last forwarded send in a room the home remembers, 100 bytes each. Forgetting one costs
/// another round of deciding.
pub(crate) const FORWARDS_KNOWN: usize = 1_024;

/// How long a node waits for the home's answer before it decides itself.
pub(crate) const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node that did not answer is not asked to decide: until its lease has ended.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(10);

/// Commands that may fail in a row because the store could not read what they need: each has waited, and so have
/// those behind it. After that all fail.
pub(crate) const FAILED_ALONE: usize = 3;
