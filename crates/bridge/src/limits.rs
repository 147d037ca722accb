//! All limits of the bridge, each with its reason.
//!
//! An idle connection holds its read buffer (1 KiB), the task with its future and the state shared with pushing tasks
//! (below 2 KiB), and the channel to the backend (about 0.5 KiB). There is no write buffer: outgoing data is shared
//! among all recipients.
//!
//! tungstenite never shrinks its read buffer: a connection keeps the size of its largest message (18 KiB after a
//! hello of 10,000 bytes, 106 KiB after one of 100,000).
//!
//! In the worst case a connection holds one partially read message, [`INBOUND_FRAMES`] decoded frames that the
//! backend has not taken, and [`GATHER_BYTES`] plus one delivery that the socket has not accepted. A frame whose elements
//! would take more than 512 KiB is refused undecoded, one of more than 4 KiB waits alone, and is charged to its
//! connection, until the backend has handled it. Further
//! outgoing data stays in the backend: the bridge requests more only when the socket has accepted everything.

use std::time::Duration;

use parlance_runtime::rate::Rate;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Largest WebSocket message, in bytes: the contract's largest frame, a hello with 2,000 cursors of about 60 bytes
/// each.
pub(crate) const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Largest body of a REST request, in bytes, for the same reason.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024;

/// The same of a call without a caller, which has nothing to say.
pub(crate) const MAX_ANONYMOUS_BODY_BYTES: usize = 4 * 1024;

/// How long the next [`BODY_PROGRESS_BYTES`] of a request's body, or its end, may take: longer than a phone changes its
/// network.
pub(crate) const BODY_PROGRESS: Duration = Duration::from_secs(10);

/// Bytes of a body that are progress: less than the slowest phone sends in that time.
pub(crate) const BODY_PROGRESS_BYTES: usize = 1024;

/// Read buffer of a connection, in bytes, allocated at once: a few chat messages.
const READ_BUFFER_BYTES: usize = 1024;

/// Bytes requested from the backend before writing: some forty chat messages in one system call, and one TLS record.
/// A run of frames that were committed together counts as one, however long: it is shared.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;

/// The same in deliveries: as many slices as one system call takes.
pub(crate) const GATHERED: usize = 32;

/// Longer frames are fragmented into pieces of this many bytes, so that a ping need not wait for megabytes of
/// history.
pub(crate) const FRAGMENT_BYTES: usize = 8 * 1024;

/// Bytes written before other tasks get a turn: a busy stream must not keep the connection from receiving a close or
/// answering a ping.
pub(crate) const BYTES_PER_TURN: usize = 256 * 1024;

/// Frames queued for the backend. When the queue is full, the socket is not read, and TCP slows the peer down.
pub(crate) const INBOUND_FRAMES: usize = 4;

/// Malformed frames allowed. A client under development gets answers; one that sends nothing else is closed.
pub(crate) const BAD_FRAMES: Rate = Rate::per_second(1, 20);

/// Burst of frames of a WebSocket that achieve nothing: a client that measures round trips needs dozens.
pub(crate) const IDLE_FRAMES_BURST: u32 = 2_000;

/// Frames that achieve nothing, per second, as over HTTP/2.
pub(crate) const IDLE_FRAMES_PER_SECOND: u32 = 500;

/// Both as a rate.
pub(crate) const IDLE_FRAMES: Rate = Rate::per_second(IDLE_FRAMES_PER_SECOND, IDLE_FRAMES_BURST);

/// Fragments of fewer bytes that do not complete their message achieve nothing: their header has as many.
pub(crate) const LEAST_FRAGMENT: u64 = 8;

/// Largest request id, in bytes, by the contract: longer ones are not echoed.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 64;

/// Largest close reason, in bytes: a control frame carries 125, the code takes 2.
pub(crate) const CLOSE_REASON_BYTES: usize = 123;

/// The delay told to rejected clients if the backend gave none.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of a WebSocket.
pub(crate) fn websocket() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Only the protocol's own answers, one at a time.
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

/// How often it is looked how long a socket that accepts nothing may do so, as over HTTP/2.
pub(crate) const STALL_CHECK: Duration = Duration::from_secs(2);

/// A queue that has grown beyond this releases its memory when it is empty.
pub(crate) const QUEUE_KEPT: usize = 4;

/// Protocol replies, such as pongs, that wait to be sent, in bytes; further ones are dropped. Pongs for a peer that
/// pings without reading would fill memory.
pub(crate) const MAX_PROTOCOL_REPLIES: usize = 1024;
