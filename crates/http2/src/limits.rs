//! Limits of HTTP/2 connections, each with its reason.

use std::time::Duration;

use parlance_runtime::rate::Rate;

/// Burst of frames that achieve nothing: a client that measures round trips, changes settings and priorities needs
/// dozens.
pub(crate) const IDLE_FRAMES_BURST: u32 = 2_000;

/// Frames that achieve nothing, per second.
pub(crate) const IDLE_FRAMES_PER_SECOND: u32 = 500;

/// Both as a rate.
pub(crate) const IDLE_FRAMES: Rate = Rate::per_second(IDLE_FRAMES_PER_SECOND, IDLE_FRAMES_BURST);

/// Bytes sent for each additional WINDOW_UPDATE allowed: two for each of the smallest events.
pub(crate) const BYTES_PER_WINDOW_UPDATE: u64 = 32;

/// Maximum number of WINDOW_UPDATEs allowed in advance.
pub(crate) const WINDOW_UPDATES: u32 = 20_000;

/// DATA shorter than this many bytes that does not end its stream achieves nothing: it is less than the prefix of a
/// gRPC message.
pub(crate) const LEAST_DATA: usize = 5;

/// Header fields of a request: a browser behind proxies sends 30, and each of them may be a byte on the wire that takes a
/// hundred in memory.
pub(crate) const MAX_FIELDS: usize = 64;

/// Fields of the header block of such a request: those, and what stands for its first line. Each one more counts as a frame
/// that achieves nothing.
pub(crate) const BLOCK_FIELDS: usize = MAX_FIELDS + 5;

/// Bytes that a header field takes beside its name and value: its place in the map.
pub(crate) const FIELD_BYTES: usize = 100;

/// How often a stalled stream is checked.
pub(crate) const STALL_CHECK: Duration = Duration::from_secs(2);

/// How long a connection may take to end when it is closed for lack of authentication.
pub(crate) const ENDING: Duration = Duration::from_secs(10);
