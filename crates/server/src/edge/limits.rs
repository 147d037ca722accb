//! Numbers of the way between edges and nodes, for both ends of it.
//!
//! A socket on an edge is a stream to a node. Its cost on the edge, beside the socket
//! itself: the stream in h2 and tonic, some 6 KiB, and up to [`STREAM_WINDOW`] of what
//! came for a client that does not read.

use std::time::Duration;

/// Connections from an edge to each node: one task drives a connection, and two keep
/// two cores busy. Streams go where there are fewest.
pub(crate) const LINKS_PER_NODE: usize = 2;

/// Streams that a node takes on one connection of an edge: more than an edge has
/// sockets. An edge is trusted; that it sends no nonsense is its own limits' business.
pub(crate) const STREAMS_PER_LINK: u32 = 100_000;

/// Streams that an edge may open and drop before the node has looked at them: all of its
/// sockets may go at once.
pub(crate) const RESETS_PER_LINK: usize = 100_000;

/// Bytes that are on the way to one client, over what the edge was quick to pass on.
pub(crate) const STREAM_WINDOW: u32 = 32 * 1024;

/// Bytes on the way on one connection: as many as HTTP/2 can say. Each stream counts
/// against it until its client has read, so any less, and the clients that do not read
/// would in the end stop those that do.
pub(crate) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A node that vanished without a word is noticed within the sum of these.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(5);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// For a connection to be made.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Between tries to connect to a node that is away: soon, since its restart takes a
/// second, and one try costs nothing.
pub(crate) const CONNECT_AGAIN: Duration = Duration::from_millis(500);

/// How often names are looked up.
pub(crate) const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long a request waits for a node where there is none.
pub(crate) const NODE_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of frames that are remembered, to be recognised on further streams. A node
/// sends a message to all streams within moments: 8 MiB are some 20,000 messages.
pub(crate) const SHARED_BYTES: usize = 8 * 1024 * 1024;

/// Longest time over which clients of a lost node spread their reconnects.
pub(crate) const LOST_SPREAD: Duration = Duration::from_secs(1);
