//! Numbers that bound sessions, the hub and the rooms, each with its reason. Those of
//! the domain are in `parlance_core::limits`.

use std::time::Duration;

use parlance_core::limits::{MAX_CATCH_UP, RoomSizes};

/// Sizes of pages, caches and concurrent work: parameters, so that tests and the simulation meet
/// every boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Sessions that are opened at the same time; the others wait in line. When a node dies,
    /// thousands come to the next one at once: all together they would ask more of the store
    /// than it has connections for, and each would wait for the last. At 5 ms for the few
    /// reads that each takes, 20,000 a second.
    pub opening: usize,
    /// Frames that a session takes from one room before it looks at the next.
    pub room_batch: usize,
    /// Events that a room keeps encoded for sessions that are a little behind. Those
    /// further behind read the store.
    pub ring_events: usize,
    /// And bytes of them.
    pub ring_bytes: usize,
    /// Events that are read from the store at once for sessions that are further behind.
    pub store_page: usize,
    /// Bytes of such pages that a room keeps: some 3,000 events of usual size, so that a
    /// thousand sessions that are behind share what is read, wherever each of them is. At
    /// least one page.
    pub pages_bytes: usize,
    /// Events that a page reads from the store at once: at most 1 MiB of the largest.
    pub page_read: usize,
    /// Events that one page of messages looks through: edits and reactions in between do
    /// not count as messages, and a page must end.
    pub max_scan: usize,
    /// Rooms that a page of rooms or of the inbox looks up at the same time.
    pub inbox_concurrency: usize,
    /// Rooms that an opening session subscribes to at the same time: 1,000 rooms at 5 ms each are
    /// 0.3 s.
    pub subscribe_concurrency: usize,
    /// Events that a look at the store reads of one room, behind what is known here: a few
    /// chunks, or it goes to the head.
    pub refresh_events: usize,
    /// Reads that are under way at once while a node compares with the store: at 10 ms each they
    /// keep to `RECOVERY_READS`.
    pub recovery_concurrency: usize,
    /// Rooms that are followed up at the same time on the word that they have gone on.
    pub head_hints: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Members of a room that are read at once.
    pub members_page: usize,
    /// Events that are read at once to recognise repeats.
    pub older_page: usize,
    /// Events that are read at once to catch up with the log before a decision.
    pub log_page: usize,
    /// Events that are pushed for one room on hello; before them a gap says what to page.
    pub max_catch_up: u64,
    /// Users that are known to exist, kept in memory: 100 bytes each. The others are looked up.
    pub known_users: usize,
    /// What a loaded room keeps in memory.
    pub room: RoomSizes,
}

impl Sizes {
    /// What a server runs with.
    pub const PRODUCTION: Self = Self {
        opening: 128,
        room_batch: 64,
        ring_events: 1_024,
        ring_bytes: 256 * 1024,
        store_page: 200,
        pages_bytes: 1024 * 1024,
        page_read: 64,
        max_scan: 2_000,
        inbox_concurrency: 8,
        subscribe_concurrency: 16,
        refresh_events: 64,
        recovery_concurrency: 32,
        head_hints: 64,
        rooms_page: 200,
        members_page: 1_000,
        older_page: 512,
        log_page: 1_024,
        max_catch_up: MAX_CATCH_UP,
        known_users: 100_000,
        room: RoomSizes::PRODUCTION,
    };

    /// Three of everything.
    pub const SMALL: Self = Self {
        opening: 3,
        room_batch: 3,
        ring_events: 3,
        ring_bytes: 1_024,
        store_page: 3,
        pages_bytes: 1_024,
        page_read: 3,
        max_scan: 9,
        inbox_concurrency: 3,
        subscribe_concurrency: 3,
        refresh_events: 3,
        recovery_concurrency: 3,
        head_hints: 3,
        rooms_page: 3,
        members_page: 3,
        older_page: 3,
        log_page: 3,
        max_catch_up: 3,
        known_users: 3,
        room: RoomSizes::SMALL,
    };
}

/// Operations of one session that are under way; further frames wait in the socket.
/// Deep enough to fill a commit group from one connection.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// How long a connection may stay silent before `hello`.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Signals that wait for one session; the oldest is dropped for the newest. At 100
/// bytes each, 6 KiB for a session that does not read.
pub(crate) const MAX_SIGNALS: usize = 64;

/// A queue of a session that has grown past this gives all of its memory back once it is empty:
/// catching up, or many who come at once, may have filled hundreds, and rarely do so again.
pub(crate) const QUEUE_KEPT: usize = 4;

/// Connections that one task pushes a room's news to: at 5 us each, 1.3 ms. A larger room is
/// spread over the processors.
pub(crate) const PUSHES: usize = 256;

/// And how many of them before others get a turn.
pub(crate) const PUSHES_PER_TURN: usize = 32;

/// How long an idle room keeps its ring: 500,000 rooms with 50 KB each would be 25 GB.
pub(crate) const RING_IDLE: Duration = Duration::from_secs(15);

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

/// Events read at once to fold a message's earlier form: a megabyte or two.
pub(crate) const PAST_PAGE: usize = 512;

/// Events that are folded for the earlier forms of the messages of one page: 20 reads. Messages that
/// lie further back are withheld: a page must end in time, however long the room.
pub(crate) const MAX_PAST_EVENTS: u64 = 10_000;

/// How long acknowledgements of a session in one room share a write. A device that goes on
/// elsewhere after a crash gets what came in this time once more.
pub(crate) const ACK_WINDOW: Duration = Duration::from_secs(5);

/// Acknowledgements of one session that are stored at the same time, at the end of a window.
pub(crate) const ACK_WRITES: usize = 8;

/// How often acknowledgements that an ended session leaves behind are tried: with a doubled
/// [`ACK_RETRY`] in between, over 15 seconds.
pub(crate) const ACK_TRIES: usize = 6;

/// How long they wait after the first try that fails.
pub(crate) const ACK_RETRY: Duration = Duration::from_millis(500);

/// How long typing is shown unless it is repeated.
pub(crate) const TYPING: Duration = Duration::from_secs(6);

/// Longest a unary call or an operation may take.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a token from `CreateUser` holds, in local mode.
pub(crate) const LOCAL_TOKEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long a session stays behind the time at which its client was told to leave: a
/// client that leaves by itself is quicker, and one that does not is ended.
pub(crate) const LEAVE_SLACK: Duration = Duration::from_millis(500);

/// How long what is in flight then may still take.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// Reads a second that a node spends on comparing with the store after trouble: 10,000
/// active rooms in five seconds. On DynamoDB each is one read unit.
pub(crate) const RECOVERY_READS: u32 = 2_000;

/// Of these, at once.
pub(crate) const RECOVERY_BURST: u32 = 200;

/// How long it rests before it compares again, while the registry is away.
pub(crate) const RECOVERY_AGAIN: Duration = Duration::from_secs(1);

/// How long publishing may fail before other nodes are informed: a single failure is made up for
/// within a second or two.
pub(crate) const REPORT_UNPUBLISHED: Duration = Duration::from_secs(3);

/// How long after a write without an answer a node looks what became of it: longer than
/// one that is given up stays under way.
pub(crate) const FIND_OUT_AFTER: Duration = Duration::from_secs(3);

/// How often it does so if the store does not answer then either.
pub(crate) const FIND_OUT_TRIES: usize = 20;

/// How long a node that alone is cut off from the registry keeps its sessions: others read all of
/// their rooms again and again meanwhile.
pub(crate) const ISOLATION: Duration = Duration::from_secs(45);

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

/// How often one user's changed profile is announced: in a room of 100,000 who are online, half a
/// second of work.
pub(crate) const PROFILE_EVERY: Duration = Duration::from_secs(2);

/// Rooms of one user whose members are told of a changed profile: 25 reads, and a hint of 150 kB
/// to each node.
pub(crate) const MAX_PROFILE_ROOMS: usize = 5_000;

/// How long someone counts as online after their last session has ended: longer than a page takes
/// to reload, a client to reconnect, or a session to move to another node.
pub(crate) const PRESENCE_GRACE: Duration = Duration::from_secs(5);

/// Rooms that hear of someone's coming and going.
pub(crate) const PRESENCE_ROOMS: usize = 50;

/// Users whose nodes are gone whose rooms are read at the same time, to tell those who are in
/// them: as much of the budget for recovery as a few rooms take, which matter more.
pub(crate) const GONE_AT_ONCE: usize = 8;

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

/// How long a node waits after the store has failed before it looks at a room again.
pub(crate) const REFRESH_AGAIN: Duration = Duration::from_millis(500);

/// And how often: a store that is away for longer is away for everything.
pub(crate) const REFRESH_TRIES: usize = 60;

/// How long a node that did not answer is not asked to decide: until its lease has ended.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(10);

/// Refused tokens that are logged in a second: enough to find a mistake, while anyone may send
/// as many as they like.
pub(crate) const REFUSED_TOKENS_LOGGED: u64 = 20;

/// How long a session waits before it first retries rooms that could not be read; doubled each
/// time.
pub(crate) const UNREADABLE_RETRY: Duration = Duration::from_secs(1);

/// And at most: damage stays until an operator repairs it, and each retry costs a few reads.
pub(crate) const UNREADABLE_RETRY_MAX: Duration = Duration::from_secs(60);
