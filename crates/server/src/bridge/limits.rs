//! Limits between bridges and nodes, for both ends.
//!
//! A socket on a bridge is a stream to a node. Its cost on the bridge, in addition to the socket itself: the stream
//! in h2 and tonic, some 6 KiB, and up to [`STREAM_WINDOW`] of data for a client that does not read.

use std::time::Duration;

use parlance_core::Backoff;

/// Connections from a bridge to each node: one task drives a connection, and two keep two cores busy. New streams use
/// the one with the fewest.
pub(crate) const LINKS_PER_NODE: usize = 2;

/// Streams that a node accepts on one connection of a bridge: more than a bridge has sockets. Bridges are trusted;
/// their own limits keep out abuse.
pub(crate) const STREAMS_PER_LINK: u32 = 100_000;

/// Streams that a bridge may open and reset before the node has handled them: all of its sockets may disconnect at
/// once.
pub(crate) const RESETS_PER_LINK: usize = 100_000;

/// Bytes in flight to one client beyond what the bridge has forwarded.
pub(crate) const STREAM_WINDOW: u32 = 32 * 1024;

/// Bytes in flight on one connection: the maximum of HTTP/2. Each stream counts against it until its client has read,
/// so with a lower limit the clients that do not read would eventually block those that do.
pub(crate) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A node that hangs or has vanished is left within the sum of these: its connections are closed, and its clients
/// told to reconnect. Long enough for a node that is merely busy.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(3);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a node is asked, on each connection, whether it accepts new sessions.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A connection on which that answer is overdue by this gets nothing new until it arrives. The node answers from
/// memory, within a millisecond.
pub(crate) const PROBE_LATE: Duration = Duration::from_secs(1);

/// Timeout for the first answer on a new connection: the kernel of a hung node accepts connections too.
pub(crate) const FIRST_PROBE: Duration = Duration::from_secs(2);

/// Timeout for a node to accept a stream, which it does before it reads the first frame.
pub(crate) const OPEN_WITHIN: Duration = Duration::from_secs(3);

/// Timeout of a read before another node is asked.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(3);

/// Timeout of any other call, and of a repeated read. Longer than the node's own timeout, so that its reason arrives.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(22);

/// Timeout for connecting.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Delays between attempts to connect to a node: short at first, since its restart takes a second.
pub(crate) const CONNECT_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(2) };

/// How often names are resolved.
pub(crate) const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long a request waits for a node if there is none.
pub(crate) const NODE_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of frames cached for deduplication. A node sends a message to all streams within moments: 8 MiB are some
/// 20,000 messages.
pub(crate) const SHARED_BYTES: usize = 8 * 1024 * 1024;

/// Longest time over which clients of a lost node spread their reconnects.
pub(crate) const LOST_SPREAD: Duration = Duration::from_secs(1);

/// Number of shards, so that streams rarely contend.
pub(crate) const SHARED_PARTS: usize = 16;
