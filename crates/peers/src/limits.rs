//! Limits on the resources of peers, each with its reason.

use std::time::Duration;

use parlance_runtime::rate::Rate;

/// Limits on connections and on what is held for them: parameters, so that tests reach each of them with a handful of
/// requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Unauthenticated connections per address. Clients that sign in at once occupy one only briefly, so an
    /// unconfigured proxy works too.
    pub anonymous_connections: usize,
    /// Connections per address in total.
    pub connections_of_address: usize,
    /// Connections of one user, with every token of theirs: more devices and pages than a person has. Not of proxies.
    pub connections_of_user: usize,
    /// How long a connection may stay unauthenticated. Probes and the web page need seconds.
    pub anonymous_age: Duration,
    /// Unauthenticated connections of all addresses together. Beyond that, each may stay for
    /// [`Limits::anonymous_age_when_crowded`]: the addresses of an attacker are many, and who signs in does so at once.
    pub anonymous_in_all: usize,
    /// How long a connection may stay unauthenticated while there are many of them.
    pub anonymous_age_when_crowded: Duration,
    /// How long an HTTP/2 connection may stay open without a request. It may outlive the token that was used on it, and
    /// clients open another one when they need it.
    pub idle: Duration,
    /// Answers to requests of one address that belong to no caller, such as unknown paths. `None`: no limit.
    pub anonymous_answers: Option<Rate>,
    /// Requests of one address that no other rate counts: probes, files, preflights, and those that are refused before anything
    /// is read for them. `None`: no limit.
    pub other_requests: Option<Rate>,
    /// The same on one connection, whose next answers wait meanwhile.
    pub other_requests_of_connection: Option<Rate>,
    /// Concurrent streams on an unauthenticated connection: as many as most clients allow themselves, and all of them
    /// small.
    pub anonymous_streams: usize,
    /// Bytes of responses that one connection holds for a peer that does not read. Beyond that, new requests on it
    /// are refused. Eight pages of history.
    pub held_by_connection: usize,
    /// Bytes that one user behind proxies holds, in place of a connection: as much as four of them.
    pub held_behind_proxies: usize,
    /// Bytes that the connections of one user hold together: three quarters of all. With less, many who read slowly with
    /// one account are cut off. Beyond it, those that hold more than [`Limits::held_share`] are refused new requests, and
    /// have [`Limits::stalled_when_full`] to make progress.
    pub held_by_user: usize,
    /// The same for the connections of one address: an office.
    pub held_by_address: usize,
    /// The same for all connections, with what is reserved for answers.
    pub held_by_all: usize,
    /// Bytes that all connections hold at most: beyond that, nobody is made large answers, or sends large requests; who
    /// holds no more than [`UNCHARGED_BYTES`] goes on with small ones.
    pub held_at_most: usize,
    /// Bytes that a connection may hold whatever others hold: half a page of history. Slow readers must not suffer
    /// from peers that do not read.
    pub held_share: usize,
    /// How long a peer may read nothing of what waits for it, as for WebSockets: a phone in a tunnel.
    pub stalled: Duration,
    /// The same for unauthenticated peers.
    pub stalled_anonymous: Duration,
    /// The same while the user, the address or all connections hold more than they may, see
    /// [`Budget::is_hastened`](crate::Budget::is_hastened).
    pub stalled_when_full: Duration,
    /// Bytes that a peer must read within the times above to count as reading. A window that opens byte by byte is an
    /// attack.
    pub progress: usize,
    /// The same while the user, the address or all connections hold more than they may: what a slow phone reads.
    pub progress_when_full: usize,
}

impl Limits {
    /// The limits of a production server that accepts `max_connections`.
    pub fn production(max_connections: usize) -> Self {
        Self {
            anonymous_connections: (max_connections / 4).max(16),
            connections_of_address: max_connections,
            connections_of_user: (max_connections / 4).clamp(16, 512),
            anonymous_age: Duration::from_secs(60),
            anonymous_in_all: max_connections / 2,
            anonymous_age_when_crowded: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            anonymous_answers: None,
            other_requests: None,
            other_requests_of_connection: None,
            anonymous_streams: 100,
            held_behind_proxies: 4 * 1024 * 1024,
            held_by_connection: 1024 * 1024,
            held_by_user: 96 * 1024 * 1024,
            held_by_address: 96 * 1024 * 1024,
            held_by_all: 128 * 1024 * 1024,
            held_at_most: 192 * 1024 * 1024,
            held_share: 64 * 1024,
            stalled: Duration::from_secs(60),
            stalled_anonymous: Duration::from_secs(10),
            stalled_when_full: Duration::from_secs(5),
            progress: 4 * 1024,
            progress_when_full: 32 * 1024,
        }
    }
}

/// Bytes of a request that are not charged: most messages.
pub const UNCHARGED_BYTES: usize = 4 * 1024;

/// Bytes that what opens a session may have, whatever others hold: a hello with the cursors of 230 rooms.
pub(crate) const HELLO_BYTES: usize = 16 * 1024;

/// First messages of a stream that may be hellos: one that was refused is sent again.
pub const HELLO_TRIES: usize = 4;

/// How long an answer waits at most because of the rate of [`Limits::other_requests`]: as long as a browser, which would
/// rather wait, and no longer than others do.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often an answer that waits for what others hold looks whether there is room.
pub(crate) const TOTAL_CHECK: Duration = Duration::from_millis(250);

/// Prefix length by which IPv6 addresses are counted: every client has a whole /64.
pub(crate) const IPV6_PREFIX: u32 = 64;

/// Entries of `x-forwarded-for` that are examined: more proxies in a row than anyone has.
pub(crate) const MAX_FORWARDED: usize = 16;
