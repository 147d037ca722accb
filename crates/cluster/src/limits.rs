//! Bounds of what nodes do for each other, each with its reason.

use std::time::Duration;

use parlance_core::Backoff;

/// Sizes of pages and of concurrent work: parameters, so that tests and the simulation meet every
/// boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rooms that are followed up at the same time on the word that they have gone on.
    pub head_hints: usize,
    /// Those among them that the store keeps waiting, and that no others wait for.
    pub stalled_hints: usize,
    /// Members' rows that are read at the same time on one such word.
    pub hint_concurrency: usize,
    /// Members of a room that are read at once.
    pub members_page: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Reads that are under way at once while a node compares with the store: at 10 ms each they
    /// keep to `RECOVERY_READS`.
    pub recovery_concurrency: usize,
}

impl Sizes {
    /// What a server runs with.
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

/// After what time work does not keep other work waiting any longer: the store usually answers
/// within a hundredth of it.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Reads a second that a node spends on comparing with the store after trouble: 10,000
/// active rooms in five seconds. On DynamoDB each is one read unit.
pub const RECOVERY_READS: u32 = 2_000;

/// Of these, at once.
pub(crate) const RECOVERY_BURST: u32 = 200;

/// How long it rests before it compares again, while the registry is away.
pub(crate) const RECOVERY_AGAIN: Duration = Duration::from_secs(1);

/// How long one read may take when a room or a user is compared: longer than a slow store does.
pub(crate) const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// Delays before a room that could not be compared is compared again: a room that can be read again waits no
/// longer than 16 s, and one that cannot costs little.
pub(crate) const COMPARE_BACKOFF: Backoff =
    Backoff { first: RECOVERY_AGAIN, longest: Duration::from_secs(16) };

/// How long publishing may fail before other nodes are informed: a single failure is made up for
/// within a second or two.
pub(crate) const REPORT_UNPUBLISHED: Duration = Duration::from_secs(3);

/// How long after a write without an answer a node looks what became of it, and how often at least while the
/// write may still arrive. The first is longer than a write that is given up stays under way. What arrives late is
/// delivered within the longest; each look is one read.
pub(crate) const FIND_OUT_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(3), longest: Duration::from_secs(60) };

/// How long it goes on if the store does not answer then either.
pub(crate) const FIND_OUT_FOR: Duration = Duration::from_secs(60);

/// How long a node that alone is cut off from the registry keeps its sessions: others read all of
/// their rooms again and again meanwhile.
pub const ISOLATION: Duration = Duration::from_secs(45);

/// How long others keep looking after a node that is gone, beyond the time after which a node that
/// was cut off has sent its clients away: it notices a few heartbeats later that it is.
pub(crate) const LOST_NODE_SLACK: Duration = Duration::from_secs(10);

/// How often the note changes by which a node that is cut off knows that others are not. On
/// DynamoDB a read unit of each node, and a write unit of one.
pub(crate) const NOTE_EVERY: Duration = Duration::from_secs(5);

/// And at least so often within the time that a node stays with its clients when it is cut off.
pub(crate) const NOTES_IN_ISOLATION: u32 = 9;

/// Looks at a note that does not change, after which no other node is taken for connected. Two
/// nodes that leave notes by turns may take two.
pub(crate) const QUIET_LOOKS: u32 = 3;

/// How long reading who is to be told of a chunk may take. After that every node is told where the room
/// is, which costs more and needs no such read: the sender waits for it.
pub(crate) const AUDIENCE_WITHIN: Duration = Duration::from_secs(2);

/// After how long every node that held sessions is known to all others: several heartbeats.
pub(crate) const NODES_KNOWN_AFTER: Duration = Duration::from_secs(3);

/// How long the rooms written here are remembered, to be announced again after trouble:
/// longer than trouble takes to be noticed.
pub(crate) const WRITTEN_KEPT: Duration = Duration::from_secs(60);

/// For telling other nodes, at a node's end, what they could not be told before: some lookups in
/// a slow Redis.
pub(crate) const LAST_WORDS_WITHIN: Duration = Duration::from_secs(3);

/// Users of a room whose change of membership could not be published, and who are remembered to
/// be told of it. With more, other nodes are asked to read the store.
pub(crate) const MAX_UNTOLD_USERS: usize = 256;

/// How long the members of an idle room are remembered: 500 rooms with 256 of them take
/// some 10 MB.
pub(crate) const AUDIENCE_IDLE: Duration = Duration::from_secs(60);

/// Largest chunk that is published as such. Of larger ones other nodes are told that they
/// exist.
pub(crate) const MAX_HINT_BYTES: usize = 64 * 1024;

/// How long someone counts as online after their last session has ended: longer than a page takes
/// to reload, a client to reconnect, or a session to move to another node.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(5);

/// Rooms that hear of someone's coming and going.
pub const PRESENCE_ROOMS: usize = 50;

/// Users whose nodes are gone whose rooms are read at the same time, to tell those who are in
/// them: as much of the budget for recovery as a few rooms take, which matter more.
pub(crate) const GONE_AT_ONCE: usize = 8;

/// Users whom the registry is asked about at once after an outage: a lookup of a few milliseconds.
pub(crate) const USERS_AT_ONCE: usize = 500;

/// How long a session stays behind the time at which its client was told to leave: a
/// client that leaves by itself is quicker, and one that does not is ended.
pub const LEAVE_SLACK: Duration = Duration::from_millis(500);

/// How long what is in flight then may still take.
pub const DRAIN_GRACE: Duration = Duration::from_secs(3);
