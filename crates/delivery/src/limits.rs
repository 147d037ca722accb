//! Limits of delivery, each with its reason.

/// Bytes handed to HTTP/2 in one piece: one of its frames, and one TLS record. A run of frames that were committed
/// together may be longer.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;
