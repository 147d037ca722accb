//! Limits of the stores, each with its reason.

/// Events read at once to reconstruct a message's earlier form: two megabytes of the largest.
pub(crate) const PAST_PAGE: usize = 128;

/// Bytes of such events that count as a page: those of a page of messages.
pub(crate) const PAST_PAGE_BYTES: usize = 128 * 1024;

/// Events folded to reconstruct earlier forms of the messages of one page: 80 reads. Messages further back are
/// withheld: the time for a page must be bounded, however long the room.
pub(crate) const MAX_PAST_EVENTS: u64 = 10_000;

/// Longest name of a consumer, bytes: part of keys and metrics.
pub(crate) const MAX_CONSUMER_NAME_BYTES: usize = 64;

/// Longest accepted position in the feed, in bytes: that of some 4,000 shards, of tables of 40 TB. An item of DynamoDB,
/// which the position of a consumer is in, has at most 400 KB.
pub(crate) const MAX_POSITION_BYTES: usize = 256 * 1024;

/// Rooms in which one of two users is looked up, where the other has more than are read: an agent with thousands
/// of customers meets people who have a few rooms.
pub(crate) const CONTACT_LOOKUPS: usize = 100;

/// Rooms that two users may share which are read to find one that counts. Most do.
pub(crate) const CONTACT_READS: usize = 20;

/// Last events of a direct room that are searched for an answer: one page.
pub const CONTACT_EVENTS: usize = 200;
