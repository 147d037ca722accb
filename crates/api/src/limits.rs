//! Numbers that bound sessions, the hub and the rooms, each with its reason. Those of
//! the domain are in `parlance_core::limits`.

use std::time::Duration;

/// Operations of one session that are under way; further frames wait in the socket.
/// Deep enough to fill a commit group from one connection.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// How long a connection may stay silent before `hello`.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Signals that wait for one session; the oldest is dropped for the newest. At 100
/// bytes each, 6 KiB for a session that does not read.
pub(crate) const MAX_SIGNALS: usize = 64;

/// Frames that a session takes from one room before it looks at the next.
pub(crate) const ROOM_BATCH: usize = 64;

/// Events that a room keeps encoded for sessions that are a little behind. Those
/// further behind read the store.
pub(crate) const RING_EVENTS: usize = 1_024;

/// And bytes of them.
pub(crate) const RING_BYTES: usize = 256 * 1024;

/// How long an idle room keeps its ring: 500,000 rooms with 50 KB each would be 25 GB.
pub(crate) const RING_IDLE: Duration = Duration::from_secs(15);

/// Events that are read from the store at once for sessions that are further behind.
pub(crate) const STORE_PAGE: usize = 200;

/// Bytes of such pages that a room keeps: some 3,000 events of usual size, so that a
/// thousand sessions that are behind share what is read, wherever each of them is. At
/// least one page.
pub(crate) const PAGES_BYTES: usize = 1024 * 1024;

/// Commands that wait for one room; whoever comes when it is full waits too.
pub(crate) const ROOM_QUEUE: usize = 1_024;

/// How long a room stays loaded with nothing to do.
pub(crate) const ROOM_IDLE: Duration = Duration::from_secs(60);

/// How often a room tries again after it lost the race for its head.
pub(crate) const MAX_RACES: usize = 16;

/// Operations before an answer that are carried out in a session that repeats
/// malformed or refused frames: a burst of this many, refilled once a second.
pub(crate) const BAD_FRAMES: u32 = 50;

/// Bytes after which a page ends, however many entries were asked for. 200 messages of
/// everyday length fit. A session may have [`MAX_IN_FLIGHT`] pages that wait for a client
/// that does not read: 8 MiB.
pub(crate) const MAX_PAGE_BYTES: usize = 128 * 1024;

/// Events that a page reads from the store at once: at most 1 MiB of the largest.
pub(crate) const PAGE_READ: usize = 64;

/// Events that one page of messages looks through: edits and reactions in between do
/// not count as messages, and a page must end.
pub(crate) const MAX_SCAN: usize = 2_000;

/// Rooms that an inbox page looks up at the same time.
pub(crate) const INBOX_CONCURRENCY: usize = 8;

/// How long typing is shown unless it is repeated.
pub(crate) const TYPING: Duration = Duration::from_secs(6);

/// Longest a unary call or an operation may take.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a token from `CreateUser` holds, in local mode.
pub(crate) const LOCAL_TOKEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Over which time a draining node spreads the reconnects of its sessions.
pub(crate) const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// How long a session goes on after it said `draining`, for what is in flight.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(3);
