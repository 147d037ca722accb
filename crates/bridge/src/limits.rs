//! Every number that bounds something here, with its reason.
//!
//! An idle connection holds its read buffer (1 KiB), the task with its future and what it
//! shares with those who push (below 2 KiB), and the channel to the backend (about 0.5 KiB).
//! There is no write buffer: what goes out is shared with whoever else gets it.
//!
//! tungstenite never shrinks its read buffer: a connection stays as large as its largest
//! message (18 KiB after a hello of 10,000 bytes, 106 KiB after one of 100,000).
//!
//! At its worst a connection holds one message half read, [`INBOUND_FRAMES`] decoded
//! frames that the backend has not taken, and [`GATHER_BYTES`] and one delivery more that
//! the socket has not taken. Decoded, a frame of 128 KiB takes up to 2.6 MB (64,000 empty
//! cursors of 2 bytes each), until the backend has seen it. What waits to be sent beyond that is
//! the backend's: the bridge asks for more only when the socket took what there was.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Largest message on a WebSocket, bytes: the contract's largest frame, a hello with
/// 2,000 cursors of about 60 bytes each.
pub(crate) const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Largest body of a REST request, bytes, for the same reason.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024;

/// Read buffer of a connection, bytes, allocated at once: a few chat messages.
const READ_BUFFER_BYTES: usize = 1024;

/// Asked of the backend before it is written, bytes: some forty chat messages in one system call, and
/// one record of TLS. A run of frames that were committed together counts as one, however
/// long: it is shared.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;

/// And deliveries: as many slices as one call is given.
pub(crate) const GATHERED: usize = 32;

/// A longer frame is sent in pieces of this size, bytes, so that a ping need not wait for
/// megabytes of history.
pub(crate) const FRAGMENT_BYTES: usize = 8 * 1024;

/// Written before others get a turn, bytes: so a busy stream does not keep the connection
/// from hearing a close or answering a ping.
pub(crate) const BYTES_PER_TURN: usize = 256 * 1024;

/// Frames that wait for the backend to take them. With that many waiting, the socket is
/// not read, and TCP tells the peer.
pub(crate) const INBOUND_FRAMES: usize = 4;

/// Frames that may be malformed in a row. A client under development gets answers; one
/// that sends nothing else is closed.
pub(crate) const BAD_FRAMES: u32 = 20;

/// How long until one more malformed frame is forgiven.
pub(crate) const BAD_FRAME_FORGIVEN: Duration = Duration::from_secs(1);

/// Largest request id, bytes, by the contract: what is longer is not echoed.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 64;

/// Largest reason of a close, bytes: a control frame carries 125, the code takes 2.
pub(crate) const CLOSE_REASON_BYTES: usize = 123;

/// What a client that was turned away is told to wait where the backend did not say.
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
