//! Limits of operations, each with its reason. Limits of the domain are in
//! `parlance_core::limits`, those of the lower layers in their crates.

use std::num::NonZeroU32;
use std::time::Duration;

use parlance_store::contacts::Reach;

/// Sizes of pages, caches and concurrent work. Parameters, so that tests and the simulation reach
/// every boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Sizes of the sessions crate.
    pub sessions: parlance_sessions::Sizes,
    /// Sizes of the rooms crate.
    pub rooms: parlance_rooms::Sizes,
    /// Sizes of the cluster crate.
    pub cluster: parlance_cluster::Sizes,
    /// Sizes of the hub crate.
    pub hub: parlance_hub::Sizes,
    /// Sizes of the inbox crate.
    pub inbox: parlance_inbox::Sizes,
    /// Events read from the store at once for a page: at most 1 MiB of the largest.
    pub page_read: usize,
    /// Events scanned for one page of messages: edits and reactions in between do not count as
    /// messages, and a page must end.
    pub max_scan: usize,
    /// Rooms of a room list or inbox page that are looked up concurrently.
    pub inbox_concurrency: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Rooms of each of two users that are searched for one where they see each other: what a few pages list. Beyond, they
    /// may count as strangers.
    pub contact_rooms: usize,
    /// Invitations that one user may have at the same time: more than anyone answers, and a call lists them all.
    pub invitations: usize,
    /// Rooms of each of two users that are searched for one they share, and once more as many behind direct rooms: what a
    /// few pages list. Beyond, they count as strangers, and an invitation does no harm.
    pub consent_rooms: usize,
    /// Rooms that one user may ask to join at the same time.
    pub join_requests: usize,
    /// Cache of users known to exist, 100 bytes each. Others are looked up in the store.
    pub known_users: usize,
}

impl Sizes {
    /// Values for production.
    pub const PRODUCTION: Self = Self {
        sessions: parlance_sessions::Sizes::PRODUCTION,
        rooms: parlance_rooms::Sizes::PRODUCTION,
        cluster: parlance_cluster::Sizes::PRODUCTION,
        hub: parlance_hub::Sizes::PRODUCTION,
        inbox: parlance_inbox::Sizes::PRODUCTION,
        page_read: 64,
        max_scan: 2_000,
        inbox_concurrency: 8,
        rooms_page: 200,
        contact_rooms: 1_000,
        invitations: 100,
        consent_rooms: 1_000,
        join_requests: 20,
        known_users: 100_000,
    };

    pub(crate) fn reach(&self) -> Reach {
        Reach { rooms: self.contact_rooms, page: self.rooms_page }
    }

    /// Three of everything, for tests.
    pub const SMALL: Self = Self {
        sessions: parlance_sessions::Sizes::SMALL,
        rooms: parlance_rooms::Sizes::SMALL,
        cluster: parlance_cluster::Sizes::SMALL,
        hub: parlance_hub::Sizes::SMALL,
        inbox: parlance_inbox::Sizes::SMALL,
        page_read: 3,
        max_scan: 9,
        inbox_concurrency: 3,
        rooms_page: 3,
        contact_rooms: 6,
        invitations: 3,
        consent_rooms: 30,
        join_requests: 2,
        known_users: 3,
    };
}

/// Default memory for rooms, in bytes: 20,000 rooms with 50 KB each, which is much of what a machine of 4 GiB has free.
pub const ROOM_MEMORY: usize = 1024 * 1024 * 1024;

/// How long a screen may take to decide about a message: the sender waits, and retries within an operation's time.
pub const SCREEN_TIMEOUT: Duration = Duration::from_secs(3);

/// When a message that could not be screened is sent again.
pub(crate) const SCREEN_AGAIN: Duration = Duration::from_secs(1);

/// Limits on one user, and on one address; `None` is no limit. Those of sessions opened, new rooms and failed tokens
/// hold for all nodes together, the others for each node.
#[derive(Debug, Clone, Copy)]
pub struct PeopleLimits {
    /// Operations a second of one user, and bursts of twice as many.
    pub operations: Option<NonZeroU32>,
    /// Sessions that one user opens in a second: each reads all of their rooms, some 7 ms of work for 1,000.
    pub hellos: Option<NonZeroU32>,
    /// Sessions of one user at the same time: each costs 0.5 kB for each of their rooms.
    pub sessions: Option<NonZeroU32>,
    /// Rooms of all sessions of one user, each counted in each session.
    pub subscriptions: Option<NonZeroU32>,
    /// Rooms that one user creates in a second.
    pub new_rooms: Option<NonZeroU32>,
    /// Users whom one user invites in a second: each is told, and the room's log and list grow.
    pub invitations: Option<NonZeroU32>,
    /// Rooms of one user, beyond which they create and join none: each is a line of every welcome.
    pub rooms: Option<NonZeroU32>,
    /// Tokens a second from one address that are not valid.
    pub failed_tokens: Option<NonZeroU32>,
}

impl PeopleLimits {
    /// No limits.
    pub const NONE: Self = Self {
        operations: None,
        hellos: None,
        sessions: None,
        subscriptions: None,
        new_rooms: None,
        invitations: None,
        rooms: None,
        failed_tokens: None,
    };
}

/// A burst of operations, seconds of the rate.
pub(crate) const OPERATIONS_BURST: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// What is sent counts as one operation more for each started piece of this many bytes beyond the first. Reading 120 KB of
/// JSON costs some 8 ms; a message of everyday length, or a long one, is one operation.
pub(crate) const WEIGHED_BYTES: usize = 8 * 1024;

/// How long a user's large requests may keep them from further ones: the largest possible ones of all of their sessions at
/// once would otherwise be minutes.
pub(crate) const LONGEST_DEBT: Duration = Duration::from_secs(10);

/// A burst of hellos, seconds of the rate: every tab of a browser that wakes up.
pub(crate) const HELLOS_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// A burst of new rooms, seconds of the rate: somebody who sets up a workspace.
pub(crate) const NEW_ROOMS_BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// A burst of invitations, seconds of the rate: two requests that add as many members as may be.
pub(crate) const INVITATIONS_BURST: NonZeroU32 = NonZeroU32::new(80).unwrap();

/// Rooms that two users share and that are read to find a group among them. Each is read once for a request.
pub(crate) const CONSENT_GROUPS: usize = 200;

/// First events of a direct room that are searched for the message it was opened with: it comes after three others, and
/// may have been edited at once.
pub(crate) const CONSENT_FIRST_EVENTS: usize = 8;

/// Pages of a user's list of invitations that are read to count them: some may be over, or hidden.
pub(crate) const INVITED_PAGES: usize = 10;

/// Rooms of a list of invitations and requests that are looked up for one operation: each takes the reads of a call of its
/// own, some 10 units on DynamoDB.
pub(crate) const INVITED_FOR_ONE: usize = 4;

/// Rooms that a session reads to open, for one operation: with as many as a user may have, half of a burst of the default
/// rate, so that two devices may connect at once.
pub(crate) const ROOMS_FOR_ONE: usize = 50;

/// Notes of those who ask to join a room that are read for one operation: a unit each on DynamoDB.
pub(crate) const NOTES_FOR_ONE: usize = 20;

/// How long the deleted rooms of a user with too many rooms are not counted again, which reads up to 5,000 of them.
pub(crate) const DELETED_COUNTED_FOR: Duration = Duration::from_secs(60);

/// How long a count of a user's rooms is trusted. Other nodes may add some.
pub(crate) const ROOMS_COUNTED_FOR: Duration = Duration::from_secs(600);

/// Timeout of a question to the registry about a shared rate: a hundred times what it takes.
pub(crate) const SHARED_RATE_TIMEOUT: Duration = Duration::from_millis(200);

/// How long the registry is not asked about a rate after it did not answer. Meanwhile each node limits it by itself.
pub(crate) const SHARED_RATE_AGAIN: Duration = Duration::from_secs(1);

/// A burst of failed tokens, seconds of the rate: an office behind one address after a change of keys.
pub(crate) const FAILED_TOKENS_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Shortest time for which tokens of an address over its rate are not looked at.
pub(crate) const FAILED_TOKENS_PAUSE: Duration = Duration::from_secs(1);

/// When to try again for who has too many sessions: idle ones end within 75 s.
pub(crate) const SESSIONS_AGAIN: Duration = Duration::from_secs(30);

/// Messages of one import request, which is a call of 128 KiB at most: texts of 200 bytes fill it.
pub(crate) const MAX_IMPORTED_AT_ONCE: usize = 500;

/// Bytes of texts and data that are read for one page of messages, most of them of edits: 64 of the largest.
pub(crate) const MAX_SCAN_BYTES: usize = 1024 * 1024;

/// Bytes after which a page ends, regardless of the requested page size. 200 messages of everyday
/// length fit. A session can queue 64 pages for a client that does not read: 8 MiB.
pub(crate) const MAX_PAGE_BYTES: usize = 128 * 1024;

/// How long typing is shown unless it is refreshed.
pub(crate) const TYPING: Duration = Duration::from_secs(6);

/// Typing of one user in one room that is passed on per second, with a burst for who sends several short messages: it is
/// shown for longer, and each reaches all sessions of the room.
pub(crate) const TYPING_RATE: NonZeroU32 = NonZeroU32::MIN;
pub(crate) const TYPING_BURST: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// How long the next piece of a message of more than [`UNCHARGED_BYTES`](parlance_peers::limits::UNCHARGED_BYTES) may take
/// in `Chat`, and all of it: as for the bodies of calls.
pub(crate) const MESSAGE_PROGRESS: Duration = Duration::from_secs(10);
pub(crate) const MESSAGE_TIME: Duration = Duration::from_secs(30);

/// How long the next piece may take while too much is held: as long as what waits to be read.
pub(crate) const MESSAGE_PROGRESS_WHEN_FULL: Duration = Duration::from_secs(5);

/// Interval of looking at that.
pub(crate) const MESSAGE_CHECK: Duration = Duration::from_secs(1);

/// Maximum duration of a unary call or an operation.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// How long what a call has begun may take to be committed after its caller has gone.
pub(crate) const COMMIT_TIME: Duration = Duration::from_secs(3);

/// Lifetime of a token from `CreateUser` in local mode.
pub(crate) const LOCAL_TOKEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Minimum interval between announcements of one user's profile: one costs half a second of work
/// in a room with 100,000 users online.
pub(crate) const PROFILE_EVERY: Duration = Duration::from_secs(2);

/// Rooms of one user in which a profile change is announced: 25 reads, and a hint of 150 kB to
/// each node.
pub(crate) const MAX_PROFILE_ROOMS: usize = 5_000;

/// Retry interval while no key of the token issuer is known.
pub(crate) const KEYS_AGAIN: Duration = Duration::from_secs(5);

/// Interval for dropping idle state.
pub(crate) const TRIM_EVERY: Duration = Duration::from_secs(10);

/// How long `StreamEvents` may be idle before an empty response is sent: less than the idle timeout of load balancers.
pub(crate) const EVENTS_HEARTBEAT: Duration = Duration::from_secs(15);

/// Streams of events (`StreamEvents`) of a user on a node: each takes up to 3 MB. A service opens one in each of its
/// processes.
pub(crate) const EVENT_STREAMS: u32 = 32;

/// Random bytes of the secret of a link: nobody guesses 128 bits.
pub(crate) const SECRET_BYTES: usize = 16; // format

/// Largest secret that is looked at, bytes: longer than the server makes them.
pub(crate) const MAX_SECRET_BYTES: usize = 64;

/// Maximum number of data keys that one request may remove: all data of a message has 4 KiB.
pub(crate) const MAX_UNSET: usize = 64;

/// Rows read for one page of a list of which the caller sees a part: banned members, for example, or those of a channel
/// that many have left. In a room of everyday size they are all that there are.
pub(crate) const FILTERED_ROWS: usize = 2_000;

/// Bytes below space among the tags and lengths of an everyday entry of a page, which JSON does not escape.
pub(crate) const ENTRY_TAGS: usize = 128;

/// Operations that an id costs of which there is no user: who tries ids learns some 5 a second instead of 100.
pub(crate) const UNKNOWN_ID_COST: usize = 20;

/// When a change of blocks is announced once more: nodes are known a second or two after they have started. Longer than
/// the store takes, since the first announcement comes after it.
pub(crate) const BLOCKS_AGAIN: Duration = Duration::from_secs(10);

/// How long one call works on deleting or exporting a user: well within the time of an operation, so that its answer
/// says where the next one continues.
pub(crate) const WALK_TIME: Duration = Duration::from_secs(5);

/// Reports that one user makes within [`REPORT_WINDOW_MS`]: more than anyone writes by hand, and few enough for somebody
/// to read. Calls at the same moment may exceed it by their number.
pub(crate) const MAX_REPORTS_A_DAY: usize = 50;

/// The time in which a user's reports are counted, milliseconds: a day.
pub(crate) const REPORT_WINDOW_MS: u64 = 24 * 3600 * 1000;

/// Reports that are counted for one operation: their places are some 100 bytes each.
pub(crate) const PLACES_FOR_ONE: usize = 100;

/// Open reports of messages in one room that its moderators see, which are counted for each new one: some 50 KB to read on
/// DynamoDB, and more than they can be expected to have left unread. Further ones are for the app only.
pub(crate) const MAX_OPEN_REPORTS: usize = 500;

/// Rows of members that are read to find those who are told of a report: some 100 KB on DynamoDB. In larger rooms only
/// moderators among the first by id are told; the others find it in the list.
pub(crate) const MAX_REPORT_MEMBERS: usize = 1_000;

/// Attempts to change a report that others change at the same moment.
pub(crate) const REPORT_TRIES: usize = 8;

/// Messages of a user that are removed at the same time: a room decides those that wait together.
pub(crate) const ERASED_AT_ONCE: usize = 16;

/// When to connect again while this node shuts down: others are ready, and the balancer knows within a second or two.
pub(crate) const DRAINING_AGAIN: Duration = Duration::from_secs(1);

/// When to ask for presence again while Redis is away: as often as everybody asking costs little, on recovery.
pub(crate) const REGISTRY_AGAIN: Duration = Duration::from_secs(5);

/// When to try again with more work queued for the store than it can do: it catches up within fractions of a second, or not at all.
pub(crate) const OVERLOAD_AGAIN: Duration = Duration::from_millis(500);

/// The same while the store cannot be reached. Clients make it longer at each further attempt.
pub(crate) const STORE_AGAIN: Duration = Duration::from_secs(1);

/// The same after many nodes have written to one room at once: each round of writes lets one of them through.
pub(crate) const CONTENTION_AGAIN: Duration = Duration::from_millis(200);
