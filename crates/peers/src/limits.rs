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
    /// How long a connection may stay unauthenticated. Probes and the web page need seconds.
    pub anonymous_age: Duration,
    /// Unauthenticated connections of all addresses together. Beyond that, each may stay for
    /// [`Limits::anonymous_age_when_crowded`]: the addresses of an attacker are many, and who signs in does so at once.
    pub anonymous_in_all: usize,
    /// How long a connection may stay unauthenticated while there are many of them.
    pub anonymous_age_when_crowded: Duration,
    /// Answers to requests of one address that belong to no caller, such as unknown paths. `None`: no limit.
    pub anonymous_answers: Option<Rate>,
    /// Concurrent streams on an unauthenticated connection: as many as most clients allow themselves, and all of them
    /// small.
    pub anonymous_streams: usize,
    /// Bytes of responses that one connection holds for a peer that does not read. Beyond that, new requests on it
    /// are refused. Eight pages of history.
    pub held_by_connection: usize,
    /// Bytes of responses that the connections of one user hold together: what eight of them may. Beyond that, those that
    /// hold more than [`Limits::held_share`] are refused new requests, and have [`Limits::stalled_when_full`] to make
    /// progress.
    pub held_by_user: usize,
    /// The same for the connections of one address: an office, and no more than a quarter of all.
    pub held_by_address: usize,
    /// Bytes of responses that all connections hold. Beyond that, connections that hold more than
    /// [`Limits::held_share`] are refused new requests, and have [`Limits::stalled_when_full`] to make progress.
    pub held_by_all: usize,
    /// Bytes that a connection may hold whatever others hold: half a page of history. Slow readers must not suffer
    /// from peers that do not read.
    pub held_share: usize,
    /// How long a peer may read nothing of what waits for it, as for WebSockets: a phone in a tunnel.
    pub stalled: Duration,
    /// The same for unauthenticated peers.
    pub stalled_anonymous: Duration,
    /// The same while the user, the address or all connections hold more than they may.
    pub stalled_when_full: Duration,
    /// Bytes that a peer must read within the times above to count as reading. A window that opens byte by byte is an
    /// attack.
    pub progress: usize,
}

impl Limits {
    /// The limits of a production server that accepts `max_connections`.
    pub fn production(max_connections: usize) -> Self {
        Self {
            anonymous_connections: (max_connections / 4).max(16),
            connections_of_address: max_connections,
            anonymous_age: Duration::from_secs(60),
            anonymous_in_all: max_connections / 2,
            anonymous_age_when_crowded: Duration::from_secs(5),
            anonymous_answers: None,
            anonymous_streams: 100,
            held_by_connection: 1024 * 1024,
            held_by_user: 96 * 1024 * 1024,
            held_by_address: 96 * 1024 * 1024,
            held_by_all: 128 * 1024 * 1024,
            held_share: 64 * 1024,
            stalled: Duration::from_secs(60),
            stalled_anonymous: Duration::from_secs(10),
            stalled_when_full: Duration::from_secs(5),
            progress: 4 * 1024,
        }
    }
}

/// Prefix length by which IPv6 addresses are counted: every client has a whole /64.
pub(crate) const IPV6_PREFIX: u32 = 64;

/// Entries of `x-forwarded-for` that are examined: more proxies in a row than anyone has.
pub(crate) const MAX_FORWARDED: usize = 16;
