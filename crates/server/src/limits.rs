//! Bounds and periods of the server, with their reasons. Those between bridges and nodes are in
//! `edge/limits.rs`.

use std::time::Duration;

use parlance_http2::KeepAlive;

// Connections of clients.

/// How long a connection may take to say what it speaks, and an HTTP/1 request its
/// headers.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams at the same time on one HTTP/2 connection. An app uses one or two; a proxy
/// in front of many clients opens more connections. What a stream may hold, a connection may hold so
/// many times.
pub(crate) const MAX_STREAMS: u32 = 256;

/// Streams that a peer may reset before they were looked at, and that we may reset for
/// its errors: the two ways of making a server work for nothing.
pub(crate) const MAX_RESETS: usize = 64;

/// HTTP/2 pings, to notice peers that are gone.
pub(crate) static KEEPALIVE: KeepAlive =
    KeepAlive { after: Duration::from_secs(30), timeout: Duration::from_secs(20) };

/// Bytes that one stream gives to the connection before they are written: two of HTTP/2's frames. Beyond
/// it, what waits is charged to the peer.
pub(crate) const SEND_BUFFER: usize = 32 * 1024;

/// Bytes that one stream may send before they are looked at: half of the largest frame.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes that all streams of a connection share: it takes 16 that are not taken from to stop
/// the others.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Size of all headers of a request, bytes: a token of 8 KiB and the usual rest.
pub(crate) const MAX_HEADERS: u32 = 16 * 1024;

/// How long until a listener that cannot be opened again is tried again.
pub(crate) const REOPEN_AGAIN: Duration = Duration::from_secs(1);

/// How long until a connection is accepted again where that failed.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Between lines in the log about connections that cannot be accepted.
pub(crate) const COMPLAIN_AGAIN: Duration = Duration::from_secs(10);

/// How long a connection of HTTP/1 may take to end, once it was asked to for want of an identity.
pub(crate) const HTTP1_ENDING: Duration = Duration::from_secs(10);

/// From a request's headers to the head of its answer, the request's body included. Longer than an
/// operation may take by itself.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a browser may remember that it may call, rather than ask each time.
pub(crate) const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// Largest message of health and reflection, bytes: the name of a service or a symbol.
pub(crate) const PROBE_BYTES: usize = 4 * 1024;

/// Between looks at the files of the TLS certificate. Certificates are renewed days before they end.
pub(crate) const CERTIFICATE_LOOK_EVERY: Duration = Duration::from_secs(5);

// The process.

/// File descriptors kept from clients where there are few, for the store, the admin listener, Redis and DynamoDB.
pub(crate) const LEAST_DESCRIPTOR_RESERVE: usize = 128;

/// File descriptors kept from clients where there are many: more than a busy store has open.
pub(crate) const MOST_DESCRIPTOR_RESERVE: usize = 1_024;

/// Connections where file descriptors are not the limit.
pub(crate) const MAX_CONNECTIONS: usize = 100_000;

/// Connections of operators at a time: they look, and go.
pub(crate) const OPERATORS: usize = 64;

/// How long connections of operators may take to end, when everything else has.
pub(crate) const OPERATORS_DEADLINE: Duration = Duration::from_secs(1);

/// How often what is held for peers is measured: listing descriptors takes a millisecond for thousands.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How long the rooms of a node may take to end, once the clients are gone.
pub(crate) const ROOMS_DEADLINE: Duration = Duration::from_secs(10);

/// How often the runtime shows the watchdog that it runs, and the watchdog's thread looks.
pub(crate) const WATCHDOG_TICK: Duration = Duration::from_secs(1);

/// Seconds without progress until the watchdog aborts, unless configured. Longer than anything that is waited for at a busy start, shorter than a person's patience.
pub(crate) const WATCHDOG_SECONDS: u32 = 30;

/// Threads for reading the store; more would only queue for the disk.
pub(crate) const BLOCKING_THREADS: usize = 32;

// Store, registry and readiness.

/// How long tables stay claimed after the last node has crashed.
pub(crate) const TABLES_LEASE: Duration = Duration::from_secs(60);

/// How often each node looks at the claim; the first one after a quarter of the lease writes.
pub(crate) const TABLES_RENEW_EVERY: Duration = Duration::from_secs(15);

/// Questions to the store in a row without an answer before the node is not ready.
pub(crate) const UNANSWERED: u32 = 2;

/// How long every answer of the store may be "too busy" before the node is not ready.
pub(crate) const BUSY_FOR: Duration = Duration::from_secs(10);

/// Between looks at how far the clock is off.
pub(crate) const CLOCK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the registry may be away before the node is not ready: a reconnect is over by then.
pub(crate) const MISSING_AT: Duration = Duration::from_secs(4);

/// Time away that counts at most, so that the registry counts as back soon after a long outage.
pub(crate) const MISSING_AT_MOST: Duration = Duration::from_secs(5);

/// Time away that is left when the registry counts as back.
pub(crate) const THERE_AT: Duration = Duration::from_secs(2);

/// How many times as long the registry has to be there to make up for its time away.
pub(crate) const MAKES_UP: u32 = 2;

/// How long an absent registry may keep this node from taking new clients. If it is away for this node
/// alone, its clients have gone elsewhere by then; if it is away for all, somebody has to
/// take them, and a node serves without it.
pub(crate) const MISSING_FOR: Duration = Duration::from_secs(20);

/// How often the registry is looked at while it has been away of late.
pub(crate) const REGISTRY_LOOK_EVERY: Duration = Duration::from_millis(500);

/// Between questions to the store, each to another of its tables.
pub(crate) const STORE_ASK_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take to answer; its own retries fit in.
pub(crate) const STORE_ANSWER_WITHIN: Duration = Duration::from_secs(4);
