//! Bounds of delivery, each with its reason.

/// Handed to HTTP/2 in one piece, bytes: one of its frames, and one record of TLS. A run
/// of frames that were committed together may be longer.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;
