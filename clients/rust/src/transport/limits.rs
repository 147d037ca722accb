//! Bounds of one connection.

/// Frames that wait for the socket before [`Sender::send`](super::Sender::send) waits itself: enough for one
/// write to carry several.
pub(super) const SEND_QUEUE: usize = 16;

/// Largest frame that is accepted from the server, bytes: a page of 200 messages of
/// 16 KiB each, escaped as JSON six bytes for one where it comes to the worst.
pub(super) const MAX_SERVER_FRAME: usize = 32 * 1024 * 1024;
