//! Limits of calls to DynamoDB, each with its reason.

use std::time::Duration;

use parlance_core::Backoff;
use parlance_core::limits::MAX_CLOCK_OFFSET_MS;

/// Timeout of one attempt. The service answers in milliseconds, a page of a megabyte in tens of them.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How long an abandoned request may still be carried out: DynamoDB refuses requests whose signature is older than
/// five minutes by its own clock.
pub(crate) const LATE_REQUEST: Duration =
    Duration::from_secs(5 * 60).saturating_add(Duration::from_millis(MAX_CLOCK_OFFSET_MS));

/// Attempts on a conflict with a transaction in progress on the same item, before the store is reported as
/// overloaded. Transactions take milliseconds; all attempts together take some two seconds.
pub(crate) const MAX_CONFLICTS: u32 = 12;

/// Delays between those attempts, randomised so that colliding nodes do not collide again.
pub(crate) const CONFLICT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(320) };

/// Keys in one batch or transactional read.
pub(crate) const BATCH_GET: usize = 100;

/// Partitions over which the directory of channels is spread. Each serves some 1,500 pages a second, and every page
/// reads all of them. Never changed: rows are found by it.
pub(crate) const DIRECTORY_PARTITIONS: u32 = 8; // format

/// Attempts to settle the identity. Nodes that start at the same time compete; each attempt that loses finds what
/// another node has written.
pub(crate) const IDENTITY_TRIES: usize = 16;

/// Interval of looks whether the tables were restored under a running process: one small read each.
pub(crate) const IDENTITY_LOOK: Duration = Duration::from_secs(10);

/// Attempts to claim the tables: a claim that expires meanwhile is retried.
pub(crate) const FLEET_TRIES: usize = 3;

/// Maximum number of chunks on the first page. Everything read is charged, and a chunk of a busy room holds as many
/// events as a page of history: the first chunks show how many more are needed.
pub(crate) const FIRST_PAGE: usize = 2;

/// Maximum number of chunks on a page; the service ends a page after a megabyte anyway.
pub(crate) const MAX_PAGE: usize = 1_024;

/// Attempts of one call, including the first. More would only add to the overload; the caller is told to retry
/// later.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// Initial backoff between attempts, before jitter. DynamoDB's throttling passes within a few hundred milliseconds
/// or takes much longer.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Timeout of all attempts together: shorter than clients wait for an answer.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// Idle connections are closed after this time, before the service closes them.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Minimum number of scanned events that makes it worthwhile to store the result.
pub(crate) const WORTH_STORING: usize = 100;

/// How long creating a table may take. Usually it is some ten seconds.
pub(crate) const CREATION_TIMEOUT: Duration = Duration::from_secs(120);

/// Minimum interval between appends to a room, so that two messages of everyday length that arrive 10 ms apart
/// share a write unit. A message after a pause is not delayed.
pub(crate) const GATHER: Duration = Duration::from_millis(20);

/// Poll interval while a table is being created.
pub(crate) const CREATION_POLL: Duration = Duration::from_millis(500);

/// Longest wait between attempts of one call.
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// Connect timeout: the service is in the same region.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Poll interval for a shard without new records: the service allows five calls a second for all readers of a
/// shard.
pub(crate) const STREAM_POLL: Duration = Duration::from_millis(500);

/// Longest interval of a reader that the service throttles: events are no later than that.
pub(crate) const SLOWEST_POLL: Duration = Duration::from_secs(4);

/// Records per call: the maximum of the service.
pub(crate) const STREAM_PAGE: i32 = 1_000;

/// Consecutive calls without records before a shard counts as read to its end: an empty page is not the end.
pub(crate) const EMPTY_PAGES: usize = 4;

/// Consecutive calls that return only records from before the wanted time.
pub(crate) const OLD_PAGES: usize = 32;

/// Maximum age of a position that is not marked by a record. The service keeps records for 24 hours, and does not
/// report what such a position has lost.
pub(crate) const STREAM_AGE: Duration = Duration::from_secs(23 * 3_600);

/// How long an unused shard reader and its pages are kept.
pub(crate) const READER_IDLE: Duration = Duration::from_secs(60);

/// Shards read concurrently.
pub(crate) const SHARDS_AT_ONCE: usize = 16;

/// How long a list of shards is cached. Shards are closed after hours.
pub(crate) const SHARDS_LISTED_FOR: Duration = Duration::from_secs(10);

/// Iterators kept per shard, for consumers at different positions.
pub(crate) const ITERATORS_KEPT: usize = 32;

/// How long an iterator is used: it expires in the service after 15 minutes.
pub(crate) const ITERATOR_AGE: Duration = Duration::from_secs(10 * 60);

/// Pages kept per shard for other consumers, some 50 KB each.
pub(crate) const PAGES_KEPT: usize = 8;

/// Maximum delay of a record. The service guarantees no bound; it is a second or less in normal operation.
pub(crate) const STREAM_DISORDER: Duration = Duration::from_secs(120);

/// Maximum difference between the clocks of a consumer and of the service.
pub(crate) const FEED_CLOCK_MARGIN: Duration = Duration::from_secs(300);

/// Items scanned by one call of a walk over all rooms.
pub(crate) const WALK_PAGE: i32 = 1_000;

/// Items in one batch write: the maximum of the service.
pub(crate) const BATCH_WRITE: usize = 25;

/// Rows of a consumer that are written at the same time, each by a call of its own.
pub(crate) const ROWS_AT_ONCE: usize = 16;

/// Rows of a consumer that one call looks at for pending ones.
pub(crate) const PENDING_SCAN: usize = 1_000;

/// Requests to the tables that are open at once by default: at 5 ms each, 100,000 a second.
pub(crate) const OPEN_REQUESTS: usize = 512;

/// Attempts to append to the list of revoked tokens, whose next place other nodes may take first.
pub(crate) const REVOKE_TRIES: usize = 20;

/// Attempts to make a report while others of the same message are made, and answered.
pub(crate) const REPORT_TRIES: usize = 8;

/// Revocations read at once to find those that are over: 300 bytes each.
pub(crate) const TRIMMED_PAGE: usize = 1_000;

/// Revocations removed at the same time.
pub(crate) const TRIMMED_AT_ONCE: usize = 8;

/// Revocations after which removing them goes on the next time: a minute or two.
pub(crate) const TRIMMED: usize = 100_000;

/// The highest characters that stand behind a prefix of names and titles for the end of its keys: some may begin with a
/// few themselves.
pub(crate) const HIGHEST: usize = 32;
