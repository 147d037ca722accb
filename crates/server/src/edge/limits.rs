//! Numbers of the way between bridges and nodes, for both ends of it.
//!
//! A socket on a bridge is a stream to a node. Its cost on the bridge, beside the socket
//! itself: the stream in h2 and tonic, some 6 KiB, and up to [`STREAM_WINDOW`] of what
//! came for a client that does not read.

use std::time::Duration;

use parlance_core::Backoff;

/// Connections from a bridge to each node: one task drives a connection, and two keep
/// two cores busy. Streams go where there are fewest.
pub(crate) const LINKS_PER_NODE: usize = 2;

/// Streams that a node takes on one connection of a bridge: more than a bridge has
/// sockets. A bridge is trusted; that it sends no nonsense is its own limits' business.
pub(crate) const STREAMS_PER_LINK: u32 = 100_000;

/// Streams that a bridge may open and drop before the node has looked at them: all of its
/// sockets may go at once.
pub(crate) const RESETS_PER_LINK: usize = 100_000;

/// Bytes that are on the way to one client, over what the bridge was quick to pass on.
pub(crate) const STREAM_WINDOW: u32 = 32 * 1024;

/// Bytes on the way on one connection: as many as HTTP/2 can say. Each stream counts
/// against it until its client has read, so any less, and the clients that do not read
/// would in the end stop those that do.
pub(crate) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A node that hangs or has vanished is left within the sum of these: its connections are
/// closed, and its clients told to reconnect. Long enough for a node that is merely busy.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(3);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a node is asked, on each connection, whether it takes new sessions.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A connection on which the answer to that takes longer gets nothing new until it is
/// there. The node answers from memory, within a millisecond.
pub(crate) const PROBE_LATE: Duration = Duration::from_secs(1);

/// For the first answer on a new connection: the kernel of a hung node accepts too.
pub(crate) const FIRST_PROBE: Duration = Duration::from_secs(2);

/// For a node to accept a stream, which it does before it reads the first frame.
pub(crate) const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// For the answer to a read before another node is asked for it.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(3);

/// For the answer to any other call, and to a read that is repeated. Longer than the node
/// takes to give up by itself, so that its own reason arrives.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(22);

/// For a connection to be made.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Between tries to connect to a node that is away: soon at first, since its restart takes a second.
pub(crate) const CONNECT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(2) };

/// How often names are looked up.
pub(crate) const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long a request waits for a node where there is none.
pub(crate) const NODE_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of frames that are remembered, to be recognised on further streams. A node
/// sends a message to all streams within moments: 8 MiB are some 20,000 messages.
pub(crate) const SHARED_BYTES: usize = 8 * 1024 * 1024;

/// Longest time over which clients of a lost node spread their reconnects.
pub(crate) const LOST_SPREAD: Duration = Duration::from_secs(1);
