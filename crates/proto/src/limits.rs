//! Limits of messages on the wire, each with its reason. Those of their fields are in `parlance_core::limits`.

/// Initial size of a stream's buffers, in bytes; they grow on demand. A hello fits; the usual 8 KiB for each of
/// 100,000 idle streams would take 800 MB.
#[cfg(feature = "grpc")]
pub(crate) const BUFFER_BYTES: usize = 64;

/// Bytes gathered before a stream yields to the socket: one TLS record.
#[cfg(feature = "grpc")]
pub(crate) const YIELD_BYTES: usize = 16 * 1024;

/// The largest page, in bytes: after as many, the api ends it.
pub(crate) const PAGE_BYTES: usize = 128 * 1024;

/// The largest answer with as many profiles as a request may name, in bytes: 100 with 4 KiB of data, a picture and a name.
pub(crate) const PROFILES_BYTES: usize = 640 * 1024;

/// The largest answer about one thing, in bytes: a message of 16 KiB with its data and reactions.
pub(crate) const ENTRY_BYTES: usize = 32 * 1024;

/// Maximum nesting depth of values in the app's data. JSON and protobuf parsers limit it, too.
pub(crate) const MAX_DATA_DEPTH: usize = 16;

/// Names in the suggestion of an error. Longer lists are not helpful.
pub(crate) const MAX_SUGGESTIONS: usize = 12;

/// When a client that holds too much may try again: within it, its answers are read or given up.
#[cfg(feature = "grpc")]
pub(crate) const HELD_RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Bytes that a request may take once it is decoded, roughly: a hello with 2,000 cursors takes half of it.
pub(crate) const MAX_DECODED_BYTES: usize = 512 * 1024;

/// Values in the JSON of a request: about as many as fit into [`MAX_DECODED_BYTES`]. They are counted before it is read,
/// since those of a frame of 128 KiB would take 50 ms.
pub(crate) const MAX_JSON_VALUES: usize = 16 * 1024;

/// Bytes that the smallest text takes besides its `String`.
pub(crate) const ALLOCATION_BYTES: usize = 32;

/// Nesting of messages that is examined: the decoder refuses more.
pub(crate) const MAX_NESTING: usize = 100;
