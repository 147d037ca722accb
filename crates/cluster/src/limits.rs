//! Limits of the cluster, each with its reason.

use std::time::Duration;

use parlance_core::Backoff;

/// Sizes of pages and of concurrent work: parameters, so that tests and the simulation reach every boundary with a
/// handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rooms followed up concurrently because of hints.
    pub head_hints: usize,
    /// Of these, rooms that are stalled on the store and no longer block others.
    pub stalled_hints: usize,
    /// Members' rows read concurrently for one hint.
    pub hint_concurrency: usize,
    /// Members of a room read at once.
    pub members_page: usize,
    /// Rooms of a user read at once.
    pub rooms_page: usize,
    /// Concurrent reads while a node compares with the store: at 10 ms each, they reach `RECOVERY_READS`.
    pub recovery_concurrency: usize,
}

impl Sizes {
    /// The sizes of a production server.
    pub const PRODUCTION: Self = Self {
        head_hints: 64,
        stalled_hints: 512,
        hint_concurrency: 16,
        members_page: 1_000,
        rooms_page: 200,
        recovery_concurrency: 32,
    };

    /// Three of everything.
    pub const SMALL: Self = Self {
        head_hints: 3,
        stalled_hints: 3,
        hint_concurrency: 3,
        members_page: 3,
        rooms_page: 3,
        recovery_concurrency: 3,
    };
}

/// Users whose block lists are cached: those who were recently written to. Most lists are empty.
pub(crate) const KNOWN_BLOCKS: usize = 20_000;

/// Time after which work no longer blocks other work: the store usually answers within a hundredth of it.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Reads per second that a node spends on comparing with the store after a failure: 10,000 active rooms in five
/// seconds. On DynamoDB each is one read unit.
pub const RECOVERY_READS: u32 = 2_000;

/// Burst of these reads.
pub(crate) const RECOVERY_BURST: u32 = 200;

/// Pause between comparisons while the registry is unavailable.
pub(crate) const RECOVERY_AGAIN: Duration = Duration::from_secs(1);

/// Timeout of one read when a room or a user is compared: longer than a slow store takes.
pub(crate) const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// Delays before a room that could not be compared is retried: a room that becomes readable waits at most 16 s,
/// and one that stays unreadable costs little.
pub(crate) const COMPARE_BACKOFF: Backoff =
    Backoff { first: RECOVERY_AGAIN, longest: Duration::from_secs(16) };

/// How long publishing may fail before other nodes are informed: a single failure is repaired within a second or
/// two.
pub(crate) const REPORT_UNPUBLISHED: Duration = Duration::from_secs(3);

/// Delays before a node checks the outcome of a write without an answer. The first is longer than an abandoned
/// write usually stays in flight; a late write is delivered within the longest. Each check is one read.
pub(crate) const FIND_OUT_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(3), longest: Duration::from_secs(60) };

/// How long it keeps checking if the store does not answer.
pub(crate) const FIND_OUT_FOR: Duration = Duration::from_secs(60);

/// How long a node that alone is cut off from the registry keeps its sessions: meanwhile others read all of their
/// rooms repeatedly.
pub const ISOLATION: Duration = Duration::from_secs(45);

/// How long others keep looking for writes of a lost node, beyond the time after which an isolated node has sent
/// its clients away: it notices its isolation a few heartbeats later.
pub(crate) const LOST_NODE_SLACK: Duration = Duration::from_secs(10);

/// How often the note changes by which an isolated node knows that others are connected. On DynamoDB, one read
/// unit of each node, and one write unit of a single one.
pub(crate) const NOTE_EVERY: Duration = Duration::from_secs(5);

/// Minimum number of note changes within the isolation time of a node.
pub(crate) const NOTES_IN_ISOLATION: u32 = 9;

/// Consecutive reads of an unchanged note after which no other node counts as connected. Two nodes that alternate
/// may need two.
pub(crate) const QUIET_LOOKS: u32 = 3;

/// Timeout of reading the recipients of a chunk. After that, the head is sent to all nodes, which costs more but
/// needs no such read: the sender waits for it.
pub(crate) const AUDIENCE_WITHIN: Duration = Duration::from_secs(2);

/// Time until a node with sessions is known to all others: several heartbeats.
pub(crate) const NODES_KNOWN_AFTER: Duration = Duration::from_secs(3);

/// How long rooms written here are remembered, to be announced again after a failure: longer than failures take to
/// be noticed.
pub(crate) const WRITTEN_KEPT: Duration = Duration::from_secs(60);

/// Timeout of sending unpublished changes to other nodes on shutdown: some lookups in a slow Redis.
pub(crate) const LAST_WORDS_WITHIN: Duration = Duration::from_secs(3);

/// Users of a room remembered because their change of membership could not be published. Beyond that, other nodes
/// are asked to read the store.
pub(crate) const MAX_UNANNOUNCED_USERS: usize = 256;

/// How long the members of an idle room stay cached: 500 rooms with 256 members take some 10 MB.
pub(crate) const AUDIENCE_IDLE: Duration = Duration::from_secs(60);

/// Largest chunk that is published as a whole. For larger ones, only the head is published.
pub(crate) const MAX_HINT_BYTES: usize = 64 * 1024;

/// How long a user stays online after their last session has ended: longer than reloading a page, reconnecting, or
/// moving a session to another node takes.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(5);

/// Rooms that are notified of one user's presence.
pub const PRESENCE_ROOMS: usize = 50;

/// Direct rooms that are read at once to find whether a user has answered there, of those not known yet: for one who
/// comes online, all that are notified.
pub(crate) const ANSWERS_READ: usize = 200;

/// Direct rooms and users known to have answered there: some 10 MB.
pub(crate) const KNOWN_ANSWERS: usize = 100_000;

/// Users of lost nodes whose rooms are read concurrently to notify those rooms: as much of the recovery budget as
/// a few rooms take, which matter more.
pub(crate) const GONE_AT_ONCE: usize = 8;

/// Users per registry query after an outage: a lookup of a few milliseconds.
pub(crate) const USERS_AT_ONCE: usize = 500;

/// How long a session stays beyond the time at which its client was told to leave: clients that leave on their own
/// are faster, others are disconnected.
pub const LEAVE_SLACK: Duration = Duration::from_millis(500);

/// How long operations in flight may take after that.
pub const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// When a room under comparison is due again if its attempt never reports: longer than an attempt takes.
pub(crate) const COMPARE_UNDER_WAY: Duration = Duration::from_secs(3_600);
