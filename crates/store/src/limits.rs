//! Bounds of the stores, each with its reason.

/// Events read at once to fold a message's earlier form: a megabyte or two.
pub(crate) const PAST_PAGE: usize = 512;

/// Events that are folded for the earlier forms of the messages of one page: 20 reads. Messages that
/// lie further back are withheld: a page must end in time, however long the room.
pub(crate) const MAX_PAST_EVENTS: u64 = 10_000;
