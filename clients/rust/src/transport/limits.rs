//! Limits of one connection.

/// Frames queued for the socket before [`Sender::send`](super::Sender::send) waits: enough for one write to
/// carry several.
pub(super) const SEND_QUEUE: usize = 16;

/// Largest frame accepted from the server, bytes: a page of 200 messages of 16 KiB each, in the worst case
/// escaped as JSON with six bytes for one.
pub(super) const MAX_SERVER_FRAME: usize = 32 * 1024 * 1024;
