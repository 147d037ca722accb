//! Bounds on what peers may consume, each with its reason.

use std::time::Duration;

/// Bounds on connections and on what is held for them: parameters, so that tests meet each of them with
/// a handful of requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of one address on which nobody has been identified. Those who sign in at once need
    /// a place here for a moment only, so that a proxy that is not configured as one is no hindrance.
    pub anonymous_connections: usize,
    /// Connections of one address in all.
    pub connections_of_address: usize,
    /// How long a connection may be used without an identity. Probes and the web page need seconds.
    pub anonymous_age: Duration,
    /// Streams at the same time on a connection without an identity: as many as most clients allow
    /// themselves, and all of them small.
    pub anonymous_streams: usize,
    /// Bytes of responses that one connection holds for a peer that does not take them. Beyond, new
    /// requests on it are refused. Eight pages of history.
    pub held_by_connection: usize,
    /// Bytes of responses that all connections hold. Beyond, connections that hold more than
    /// [`Limits::held_share`] are refused more, and have [`Limits::stalled_when_full`] while they take nothing.
    pub held_by_all: usize,
    /// Bytes that a connection may hold whatever others hold: half a page of history. Who reads slowly is not
    /// to pay for those who do not read.
    pub held_share: usize,
    /// How long a peer may take nothing of what waits for it, as for WebSockets: a phone in a tunnel.
    pub stalled: Duration,
    /// The same without an identity.
    pub stalled_anonymous: Duration,
    /// The same while [`Limits::held_by_all`] is exceeded.
    pub stalled_when_full: Duration,
    /// Bytes that a peer must take within the times above to count as reading. A window that opens byte
    /// by byte is an attack.
    pub progress: usize,
}

impl Limits {
    /// What a server runs with that takes `max_connections`.
    pub fn production(max_connections: usize) -> Self {
        Self {
            anonymous_connections: (max_connections / 4).max(16),
            connections_of_address: max_connections,
            anonymous_age: Duration::from_secs(60),
            anonymous_streams: 100,
            held_by_connection: 1024 * 1024,
            held_by_all: 128 * 1024 * 1024,
            held_share: 64 * 1024,
            stalled: Duration::from_secs(60),
            stalled_anonymous: Duration::from_secs(10),
            stalled_when_full: Duration::from_secs(5),
            progress: 4 * 1024,
        }
    }
}

/// Addresses of which a number of connections is kept for IPv6: whoever has one has all of a /64.
pub(crate) const IPV6_PREFIX: u32 = 64;

/// Entries of `x-forwarded-for` that are looked at: more proxies in a row than anyone has.
pub(crate) const MAX_FORWARDED: usize = 16;
