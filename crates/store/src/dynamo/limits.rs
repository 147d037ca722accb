//! Bounds of calls to DynamoDB, each with its reason.

use std::time::Duration;

use parlance_core::Backoff;
use parlance_core::limits::MAX_CLOCK_OFFSET_MS;

/// One try of a call to DynamoDB. The service answers in milliseconds, a page of a megabyte in tens of them.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How long a request that was given up may still be carried out: DynamoDB refuses one whose signature is
/// older than five minutes, by its own clock.
pub(crate) const LATE_REQUEST: Duration =
    Duration::from_secs(5 * 60).saturating_add(Duration::from_millis(MAX_CLOCK_OFFSET_MS));

/// Tries of what meets a transaction under way on the same item, before the caller is told that the store is
/// overloaded: they pass in milliseconds, some two seconds are spent here.
pub(crate) const MAX_CONFLICTS: u32 = 12;

/// Delays between those tries, each anything up to a bound, so that those who collided do not do so again.
pub(crate) const CONFLICT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(320) };

/// Keys that one batch or transaction may ask for.
pub(crate) const BATCH_GET: usize = 100;

/// Nodes that start at the same time settle the identity together. Each try that loses meets
/// what another has written.
pub(crate) const IDENTITY_TRIES: usize = 16;

/// A claim that ends while another is made is looked at once more.
pub(crate) const FLEET_TRIES: usize = 3;

/// Chunks of a first page at most. What is read is charged whether it is wanted or not, and
/// a chunk of a busy room holds as many events as a page of history: the first ones show how
/// many more it takes.
pub(crate) const FIRST_PAGE: usize = 2;

/// Chunks of a page at most; the service ends one after a megabyte in any case.
pub(crate) const MAX_PAGE: usize = 1_024;

/// Tries of one call, the first included. More would only add to what the service has
/// too much of; the caller is told to come back later.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// What the wait between tries begins at, before jitter. DynamoDB's throttles pass
/// within a few hundred milliseconds or not soon.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(50);

/// All tries together: shorter than what a client waits for its answer.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// Connections that nothing was sent on for so long are closed, before the service does.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Events after which the result of a look is worth a write.
pub(crate) const WORTH_STORING: usize = 100;

/// How long a new table may take to become usable. Mostly it is some ten seconds.
pub(crate) const CREATION_TIMEOUT: Duration = Duration::from_secs(120);

/// Two messages of everyday length that come 10 ms apart then share a write unit. What is
/// said after a pause does not wait.
pub(crate) const GATHER: Duration = Duration::from_millis(20);

/// And how often it is looked at meanwhile.
pub(crate) const CREATION_POLL: Duration = Duration::from_millis(500);

/// Longest wait between tries of one call.
pub(crate) const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// For a new connection: the service is in the same region.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Between calls that find nothing in a shard: the service takes five a second from all readers of it.
pub(crate) const STREAM_POLL: Duration = Duration::from_millis(500);

/// Records of one call: as many as the service gives.
pub(crate) const STREAM_PAGE: i32 = 1_000;

/// Calls in a row that bring no records before a shard counts as read: an empty page is not its end.
pub(crate) const EMPTY_PAGES: usize = 4;

/// Calls in a row that bring only records from before the moment that is looked for.
pub(crate) const OLD_PAGES: usize = 32;

/// How long a place in a stream is read from that no record marks. The service keeps records for 24 hours, and does
/// not tell what such a place has lost.
pub(crate) const STREAM_AGE: Duration = Duration::from_secs(23 * 3_600);

/// How long the reader of a shard is kept, with what it has read, when nobody uses it.
pub(crate) const READER_IDLE: Duration = Duration::from_secs(60);

/// Shards that are read at the same time.
pub(crate) const SHARDS_AT_ONCE: usize = 16;

/// How long a list of shards is used. Shards are closed after hours.
pub(crate) const SHARDS_LISTED_FOR: Duration = Duration::from_secs(10);

/// Iterators of a shard that are kept, for consumers that are at different places of it.
pub(crate) const ITERATORS_KEPT: usize = 32;

/// How long an iterator is used: the service forgets it after 15 minutes.
pub(crate) const ITERATOR_AGE: Duration = Duration::from_secs(10 * 60);

/// Pages of a shard that are kept for other consumers, some 50 KB each.
pub(crate) const PAGES_KEPT: usize = 8;

/// By how much a record may be late. The service names no bound; it is a second or less unless something is wrong.
pub(crate) const STREAM_DISORDER: Duration = Duration::from_secs(120);

/// By how much the clocks of a consumer and of the service may differ.
pub(crate) const FEED_CLOCK_MARGIN: Duration = Duration::from_secs(300);

/// Items that one call of a walk over all rooms looks at.
pub(crate) const WALK_PAGE: i32 = 1_000;

/// Items of one batch of writes: as many as the service takes.
pub(crate) const BATCH_WRITE: usize = 25;

/// Rows of a consumer that are written at the same time, each by a call of its own.
pub(crate) const ROWS_AT_ONCE: usize = 16;

/// Rows of a consumer that one call looks at for pending ones.
pub(crate) const PENDING_SCAN: usize = 1_000;

/// How often a place in the list of revoked tokens may be lost to another node.
pub(crate) const REVOKE_TRIES: usize = 20;
