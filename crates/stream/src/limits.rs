//! Limits of delivery to other services, each with its reason. Those of which rooms to work on are in
//! `tracker/limits.rs`.

use std::time::Duration;

// Consumers.

/// Records read at once. A page ends after a megabyte in any case.
pub(crate) const RECORDS_PAGE: usize = 256;

/// Pending rooms read at once: 100 bytes each.
pub(crate) const PENDING_PAGE: usize = 500;

/// Parked rooms that are counted, at some 100 bytes each: with so many, the exact number does not matter.
pub(crate) const COUNTED_PARKED: usize = 100_000;

/// The attempt at an event, while others are accepted, that is logged, and the interval of later ones that are: what a
/// retry mends is not worth a line.
pub(crate) const LOGGED_ATTEMPT: u32 = 3;
pub(crate) const LOGGED_ATTEMPTS: u32 = 5;

/// Retry interval while the store does not answer: it has retried on its own by then.
pub(crate) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long the feed cannot be read before that counts as lag: throttling and restarts pass within seconds.
pub(crate) const UNREAD_AFTER: Duration = Duration::from_secs(10);

/// How long work in progress may take on shutdown. What is given up is delivered again after the next start.
pub(crate) const LAST_WORK: Duration = Duration::from_secs(5);

/// The same while the sink is away: long enough for an answer that is on its way.
pub(crate) const LAST_WORK_AWAY: Duration = Duration::from_millis(250);

/// How long a lease is waited for that has to be free, in times after which it expires: one of a killed process, and
/// calls that fail meanwhile.
pub(crate) const FREE_EXPIRIES: u32 = 3;

/// Interval of checks whether the sink is away meanwhile.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(100);

/// Interval of log entries about a sink that stays away: an operator who looks into today's log finds the reason.
pub(crate) const AWAY_REMINDER: Duration = Duration::from_secs(3_600);

/// Rooms per step of a walk, which is one write of some 25 KB.
pub(crate) const WALK_PAGE: usize = 500;

/// Steps of a walk that fail before it goes past rooms that cannot be read: each of them costs a write, and is read
/// again every minute.
pub(crate) const WALK_FAILURES: u32 = 3;

/// Rooms read at a time to save them as pending: operators wait for them.
pub(crate) const LOADED_ROOMS: usize = 256;

/// Rooms read at once by a walk or to save them: they mostly wait for the store, which has other readers.
pub(crate) const ROOMS_AT_ONCE: usize = 32;

/// Maximum drift of a clock between two checks that does not count as a jump. Clocks that are kept in time drift by
/// milliseconds.
pub(crate) const CLOCK_DRIFT: Duration = Duration::from_secs(60);

/// Commands queued for a consumer: they are an operator's, one at a time.
pub(crate) const COMMANDS: usize = 16;

/// Rows in one write: some 100 KB.
pub(crate) const MAX_ROWS: usize = 2_000;

/// Records passed since the checkpoint, none of which names a room, after which it is written: each costs the memory
/// of a position.
pub(crate) const MAX_POSITIONS: usize = 4_096;

/// Events read at once to find a moment in the past, backwards from the end: usually the first read has it.
pub(crate) const COLD_PAGE: usize = 256;

/// Tolerated clock difference between nodes and a consumer when only a time is known: twenty times what nodes accept of
/// their own. It costs repeats, never events.
pub(crate) const CLOCK_MARGIN: Duration = Duration::from_secs(600);

// Webhooks.

/// Timeout of connecting to an address, with TLS: with several addresses, the next one is tried within an attempt.
pub(crate) const WEBHOOK_CONNECT: Duration = Duration::from_secs(5);

/// Idle connections kept for later posts: posts to one endpoint that are in flight, most of the time.
pub(crate) const WEBHOOK_IDLE: usize = 16;

/// How long an idle connection is kept: something in between may forget it without saying so.
pub(crate) const WEBHOOK_IDLE_FOR: Duration = Duration::from_secs(30);

/// How long a connection is used: with an event now and then it would never be idle, and an endpoint that has moved to
/// another address would not be found.
pub(crate) const WEBHOOK_CONNECTION_AGE: Duration = Duration::from_secs(120);

/// How long the body of an answer may take before the connection is given up. The status has been judged by then.
pub(crate) const WEBHOOK_BODY: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read and dropped, so that its connection can be used again. A larger one costs a new
/// connection.
pub(crate) const WEBHOOK_ANSWER: usize = 64 * 1024;

/// The longest delay that an endpoint may ask for. A longer one would hide that it is down.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Timeout of one attempt: the specification asks for 15 to 30 seconds.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(20);

// Streams of events (`StreamEvents`).

/// Records read at once. Smaller than a consumer's page: each stream holds its own.
pub(crate) const TAIL_PAGE: usize = 128;

/// Rooms listed at once in a walk, which reads their logs one after the other.
pub(crate) const TAIL_ROOMS: usize = 100;

/// Maximum number of events in a batch, which is one message of the stream.
pub(crate) const TAIL_BATCH: usize = 200;

/// Encoded bytes after which a batch ends, regardless of its number of events: readers accept 4 MiB by default, and
/// a refused batch would be sent again forever.
pub(crate) const TAIL_BATCH_BYTES: usize = 1 << 20;

/// Rooms whose progress is remembered, to leave out repeats: some 3 MB for each stream that reads all rooms.
pub(crate) const TAIL_REMEMBERED: usize = 20_000;

/// Encoded bytes after which the events of one delivery end: many rooms are delivered concurrently.
pub(crate) const BATCH_BYTES: usize = 256 * 1_024;
