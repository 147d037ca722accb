//! Bounds of HTTP/2 connections, each with its reason.

use std::time::Duration;

/// Frames that achieve nothing and may come at once: a client that measures the round trip, changes
/// its settings and its priorities needs dozens.
pub(crate) const IDLE_FRAMES: u32 = 2_000;

/// And so many more in each second.
pub(crate) const IDLE_FRAMES_PER_SECOND: u32 = 500;

/// Bytes of ours after which one more WINDOW_UPDATE is granted: two for each of the smallest events.
pub(crate) const BYTES_PER_WINDOW_UPDATE: u64 = 32;

/// WINDOW_UPDATEs that are granted ahead, at most.
pub(crate) const WINDOW_UPDATES: u32 = 20_000;

/// DATA that is shorter and does not end its stream achieves nothing, bytes: not even the prefix of a
/// message of gRPC.
pub(crate) const LEAST_DATA: usize = 5;

/// How often a stream that is stalled is looked at.
pub(crate) const STALL_CHECK: Duration = Duration::from_secs(2);

/// How long a connection may take to end, once it was asked to for want of an identity.
pub(crate) const ENDING: Duration = Duration::from_secs(10);
