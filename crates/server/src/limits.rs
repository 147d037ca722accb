//! Limits and periods of the server, with their reasons. Those between bridges and nodes are in `bridge/limits.rs`.

use std::time::Duration;

use parlance_core::Backoff;
use parlance_http2::KeepAlive;
use parlance_runtime::rate::Rate;

// Connections of clients.

/// How long a connection may take to show its protocol, and an HTTP/1 request its headers.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Concurrent streams per HTTP/2 connection. An app uses one or two; a proxy in front of many clients opens more
/// connections. The memory of a connection is bounded by this times that of a stream.
pub(crate) const MAX_STREAMS: u32 = 256;

/// Streams that a peer may reset before they were handled, and that the server may reset for its errors: the two ways
/// to cause useless work.
pub(crate) const MAX_RESETS: usize = 64;

/// HTTP/2 pings, to detect peers that are gone.
pub(crate) static KEEPALIVE: KeepAlive =
    KeepAlive { after: Duration::from_secs(30), timeout: Duration::from_secs(20) };

/// Bytes that one stream passes to the connection before they are written: two HTTP/2 frames. Further waiting data is
/// charged to the peer.
pub(crate) const SEND_BUFFER: usize = 32 * 1024;

/// Receive window of a stream, in bytes: half of the largest frame.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// Receive window shared by all streams of a client's connection: it takes 16 unread streams to block its others.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The same on connections of proxies, which carry the streams of many users. All streams fit in, so that one user's unread
/// streams do not block the others'.
pub(crate) const PROXY_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Maximum size of a request's headers, in bytes: a token of 8 KiB and the usual rest.
pub(crate) const MAX_HEADERS: u32 = 16 * 1024;

/// Largest header of the PROXY protocol, in bytes: addresses, and fields such as the name of a TLS certificate.
pub(crate) const MAX_PROXY_HEADER: usize = 4 * 1024;

/// How long browsers that came with TLS ask for nothing else by default, in seconds: a year.
pub(crate) const HSTS_SECONDS: u32 = 31_536_000;

/// Delay before reopening a listener is retried.
pub(crate) const REOPEN_AGAIN: Duration = Duration::from_secs(1);

/// Delay before accepting is retried after a failure.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Log lines about failures to accept: one for each shortage, which may last for hours.
pub(crate) const COMPLAINTS: Rate = Rate::every(Duration::from_secs(10), 1);

/// How long an HTTP/1 connection may take to end when it is closed for lack of authentication: it is idle, or a slow
/// network loads the web page, of 200 KB.
pub(crate) const HTTP1_ENDING: Duration = Duration::from_secs(240);

/// From a request's headers to the head of its answer, including the request's body. Longer than an operation may
/// take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a browser may cache a preflight response.
pub(crate) const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// Largest message of calls without a caller, in bytes: the name of a service or a symbol.
pub(crate) const PROBE_BYTES: usize = 4 * 1024;

/// Interval of checks of the files with keys for tokens.
pub(crate) const KEYS_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Interval of checks of the TLS certificate files. Certificates are renewed days before they expire.
pub(crate) const CERTIFICATE_LOOK_EVERY: Duration = Duration::from_secs(5);

// People: defaults of the options of the same names, for each user of a node, and for each address.

/// Operations per second: ten times what a busy person does.
pub(crate) const USER_RATE: u32 = 100;

/// Sessions opened per second: an app opens one per device and reconnect.
pub(crate) const HELLO_RATE: u32 = 5;

/// Concurrent sessions: every device and tab of one person, and those whose network is gone for the 75 s until that
/// is noticed.
pub(crate) const USER_SESSIONS: u32 = 100;

/// Rooms of all of those sessions, each counted in each session: 20 with as many rooms as a user may have, 70 MB.
pub(crate) const USER_SUBSCRIPTIONS: u32 = 100_000;

/// Rooms created per second.
pub(crate) const NEW_ROOM_RATE: u32 = 2;

/// Users whom one user invites per second: somebody who sets up a team has done so with the burst.
pub(crate) const INVITATION_RATE: u32 = 1;

/// Rooms of one user. Their welcome has 350 kB then, which opens in a second.
pub(crate) const USER_ROOMS: u32 = 5_000;

/// Invalid tokens per second from one address: those of an office whose tokens were signed with an old key.
pub(crate) const FAILED_TOKEN_RATE: u32 = 10;

/// Requests per second from one address that belong to no caller: an app asks once when it connects.
pub(crate) const ANONYMOUS_RATE: u32 = 50;

/// A burst of them, seconds of the rate: an office whose clients connect again.
pub(crate) const ANONYMOUS_BURST: u32 = 20;

/// Requests from one address that no other rate counts (probes, files of the web app, refusals), for each one that belongs to
/// no caller: an office that opens the app anew, or a CI. They cost tens of microseconds each.
pub(crate) const OTHER_RATE: u32 = 20;

/// The same on one connection: a browser loads the app with some fifty.
pub(crate) const OTHER_RATE_OF_CONNECTION: u32 = 10;

/// Bytes of a MiB, the unit of the option for memory.
pub(crate) const MIB: usize = 1024 * 1024;

// The process.

/// Minimum number of file descriptors reserved for the store, the admin listener, Redis and DynamoDB.
pub(crate) const LEAST_DESCRIPTOR_RESERVE: usize = 128;

/// Maximum reserve of file descriptors: more than a busy store has open.
pub(crate) const MOST_DESCRIPTOR_RESERVE: usize = 1_024;

/// Maximum number of connections if file descriptors are not the limit.
pub(crate) const MAX_CONNECTIONS: usize = 100_000;

/// Concurrent admin connections, which are short-lived.
pub(crate) const OPERATORS: usize = 64;

/// How long blocking calls may take to end after everything else has.
pub(crate) const LAST_CALLS: Duration = Duration::from_secs(1);

/// How long admin connections may take to end after everything else has.
pub(crate) const OPERATORS_DEADLINE: Duration = Duration::from_secs(1);

/// Interval of measuring resources held for peers: listing thousands of descriptors takes a millisecond.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long the rooms of a node may take to end after the clients are gone.
pub(crate) const ROOMS_DEADLINE: Duration = Duration::from_secs(10);

/// Interval of the runtime's pulse, and of the watchdog's checks.
pub(crate) const WATCHDOG_TICK: Duration = Duration::from_secs(1);

/// Default number of seconds without progress after which the watchdog aborts. Longer than anything at a busy start,
/// shorter than a user's patience.
pub(crate) const WATCHDOG_SECONDS: u32 = 30;

/// Threads for reading the store; more would only queue for the disk.
pub(crate) const BLOCKING_THREADS: usize = 32;

// Store, registry and readiness.

/// How long tables stay claimed after the last node has crashed.
#[cfg(feature = "cluster")]
pub(crate) const TABLES_LEASE: Duration = Duration::from_secs(60);

/// How often each node checks the claim; the first one after a quarter of the lease writes.
#[cfg(feature = "cluster")]
pub(crate) const TABLES_RENEW_EVERY: Duration = Duration::from_secs(15);

/// Consecutive unanswered requests to the store before the node is not ready.
pub(crate) const UNANSWERED: u32 = 2;

/// How long all of the store's answers may be "busy" before the node is not ready.
pub(crate) const BUSY_FOR: Duration = Duration::from_secs(10);

/// Interval of clock checks.
pub(crate) const CLOCK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the registry may be away before the node is not ready: a reconnect is faster.
pub(crate) const MISSING_AT: Duration = Duration::from_secs(4);

/// Maximum accounted time away, so that the registry counts as available soon after a long outage.
pub(crate) const MISSING_AT_MOST: Duration = Duration::from_secs(5);

/// Remaining time away at which the registry counts as available again.
pub(crate) const THERE_AT: Duration = Duration::from_secs(2);

/// How many times as long the registry has to be available to compensate for its time away.
pub(crate) const MAKES_UP: u32 = 2;

/// How long an absent registry may keep this node from accepting new clients. If only this node is affected, its
/// clients have gone elsewhere by then; if all are, somebody has to accept them, and a node works without it.
pub(crate) const MISSING_FOR: Duration = Duration::from_secs(20);

/// Interval of registry checks while it has recently been away.
pub(crate) const REGISTRY_LOOK_EVERY: Duration = Duration::from_millis(500);

/// Interval of requests to the store, each to another table.
pub(crate) const STORE_ASK_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take to answer, including its own retries.
pub(crate) const STORE_ANSWER_WITHIN: Duration = Duration::from_secs(4);

// Consumers and revocations.

/// Time without a success after which an endpoint is disabled until the server restarts: longer than a long weekend.
pub(crate) const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// Parked rooms per page: some 200 KB.
pub(crate) const PARKED_PAGE: usize = 500;

/// Interval of reading revocations made through other nodes: sessions must end within five seconds.
pub(crate) const REVOCATIONS_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long until every node has read one: the interval, and the store's time for an answer, twice.
pub(crate) const ENDED_EVERYWHERE: Duration = Duration::from_secs(5);

/// How long the change of a user's state stays in the list of revocations. A node that has not read the list for half of
/// that ends all of its sessions.
pub(crate) const CHANGES_KEPT: Duration = Duration::from_secs(3_600);

/// Interval of removing revocations that are over.
pub(crate) const REVOCATIONS_TRIMMED_EVERY: Duration = Duration::from_secs(1_800);

/// How far ahead a node without a limit to the life of tokens records that: until it does so again, and as far as
/// [`ISSUED_AHEAD`].
pub(crate) const UNLIMITED_AHEAD: Duration = Duration::from_secs(25 * 3_600);

/// How far ahead the time may be up to which tokens were issued that are revoked: further than the clock of any issuer.
/// Later ones are mistaken, and could not be taken back.
pub(crate) const ISSUED_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of revocations per read: 300 bytes each.
pub(crate) const REVOCATIONS_PAGE: usize = 1_000;

/// Longest time for which sessions may last after their tokens were revoked: whoever revokes for longer can wait for
/// the tokens to expire.
pub(crate) const MAX_GRACE: Duration = Duration::from_secs(3_600);

/// Maximum size of a request to revoke, in bytes: a few ids.
pub(crate) const MAX_REVOCATION_ORDER: usize = 4 * 1024;

/// How much longer than Kafka's own timeout a batch may take before it counts as failed: the client reports at its
/// timeout what the brokers have not confirmed, and then looks at the topic.
#[cfg(feature = "kafka")]
pub(crate) const KAFKA_EFFECT_SLACK: Duration = Duration::from_secs(40);

// The command line.

/// Backoff of `parlance events` before it continues a stream that has ended.
pub(crate) const RECONNECT: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(5) };

/// How often it does so without getting anything: for half a minute, longer than a restart takes.
pub(crate) const RECONNECTS: u32 = 8;

/// Timeout of a command on consumers: a replay first scans every room.
pub(crate) const CONSUMERS_WITHIN: Duration = Duration::from_secs(600);

/// Largest answer to it, in bytes: a page of parked rooms has some 200 KB.
pub(crate) const CONSUMERS_ANSWER: usize = 4 << 20;

/// Timeout of a node's answer to a revocation: a write to the store, with its retries.
pub(crate) const REVOKE_WITHIN: Duration = Duration::from_secs(30);

/// Largest answer to it, in bytes: a line of JSON.
pub(crate) const REVOKE_ANSWER: usize = 16 * 1024;

/// Number of earlier messages that `parlance chat` shows at first: a screen.
pub(crate) const CHAT_HISTORY: u32 = 20;

/// Timeout for the echo of its last message.
pub(crate) const CHAT_LAST_WORDS: Duration = Duration::from_secs(2);

/// Maximum number of rooms searched for a title: a page.
pub(crate) const CHAT_ROOMS_PAGE: u32 = 200;

/// Lines read ahead from the terminal by it: somebody pastes.
pub(crate) const TYPED_LINES: usize = 16;

/// Unknown files in the data directory that a warning names: enough to recognise what they belong to.
pub(crate) const NAMED_FILES: usize = 5;

/// Maximum clock difference that can be configured, in seconds: an expired token stays valid for that long.
pub(crate) const MAX_SKEW: u32 = 600;

/// Streams of reflection at once. Each holds three answers of 30 KiB; developers ask for a few.
pub(crate) const REFLECTIONS: usize = 32;

/// How long one may last: a tool asks for a dozen files.
pub(crate) const REFLECTION_TIME: Duration = Duration::from_secs(30);

/// Bytes of unwritten answers on one, beyond which no further one is made.
pub(crate) const REFLECTION_BYTES: usize = 16 * 1024;

/// How often it is looked whether they are written.
pub(crate) const REFLECTION_CHECK: Duration = Duration::from_millis(50);
