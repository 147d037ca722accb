use crate::{Body, Event, UserId};

/// The end of a chunk: where an append may go on. Nothing else makes one, so that no
/// node can append in the middle of another's chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    seq: u64,
    message_count: u64,
    deleted_count: u64,
    member_count: u64,
    nonce: Nonce,
}

impl Head {
    /// Seq of the last event.
    pub fn seq(self) -> u64 {
        self.seq
    }

    /// Messages in the room so far.
    pub fn message_count(self) -> u64 {
        self.message_count
    }

    /// Messages that were deleted so far. Too low where deletions are older than this count.
    pub fn deleted_count(self) -> u64 {
        self.deleted_count
    }

    /// Members now.
    pub fn member_count(self) -> u64 {
        self.member_count
    }

    /// The nonce of the chunk that ends here. With the seq it tells this log from any other: a copy
    /// that was written to since has other nonces.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The head of a room that does not exist yet; what [`crate::Creation`] appends to.
    pub(crate) fn none() -> Self {
        Self { seq: 0, message_count: 0, deleted_count: 0, member_count: 0, nonce: [0; 16] }
    }
}

/// Tells one write from any other at the same key. Random.
pub type Nonce = [u8; 16];

/// What one node decided together for one room. Stored, published and applied whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    nonce: Nonce,
    previous: Option<Nonce>,
    events: Vec<Event>,
    message_count: u64,
    member_count: u64,
}

impl Chunk {
    /// A chunk of `events`, which must not be empty and must rise by one.
    ///
    /// Returns `None` where they do not: stored data that is no chunk.
    pub fn new(nonce: Nonce, events: Vec<Event>, message_count: u64, member_count: u64) -> Option<Self> {
        let rises = events.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1);
        let starts = events.first().is_some_and(|first| first.seq > 0);
        (rises && starts).then_some(Self { nonce, previous: None, events, message_count, member_count })
    }

    /// The chunk with the nonce of its predecessor, if that is known.
    #[must_use]
    pub fn with_previous(mut self, previous: Option<Nonce>) -> Self {
        self.previous = previous;
        self
    }

    /// The nonce of its predecessor. `None` for the first chunk of a room, and for chunks that
    /// older versions have written.
    pub fn previous(&self) -> Option<&Nonce> {
        self.previous.as_ref()
    }

    /// Whether it is the next chunk of the very log that ends at `head`. The seq alone says so only
    /// of a chunk that was read from that log.
    pub fn continues(&self, head: &Head) -> bool {
        self.previous.as_ref() == Some(&head.nonce) && self.first_seq() == head.seq + 1
    }

    /// The events, by rising seq.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Gives the events away.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Seq of the first event: the key in the room's log.
    pub fn first_seq(&self) -> u64 {
        self.events[0].seq
    }

    /// Whose membership it changes.
    pub fn concerned(&self) -> impl Iterator<Item = &UserId> {
        self.events.iter().filter_map(|event| match &event.body {
            Body::MemberAdded { user, .. } | Body::MemberRemoved { user } => Some(user),
            _ => None,
        })
    }

    /// Whether it may have changed what stands beside the log (members, present forms, settings) in
    /// a way that this version does not know: what was loaded of those must be read again.
    pub fn changes_unknown(&self) -> bool {
        self.events.iter().any(|event| match event.body {
            Body::Other => true,
            // Whatever a message holds, it stands in the log alone.
            Body::Message(_) => false,
            _ => !event.unknown.is_empty(),
        })
    }

    /// The room's head after it.
    pub fn head(&self) -> Head {
        let last = &self.events[self.events.len() - 1];
        Head {
            seq: last.seq,
            message_count: self.message_count,
            deleted_count: last.deleted_count,
            member_count: self.member_count,
            nonce: self.nonce,
        }
    }

    /// The nonce of the write.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }
}
