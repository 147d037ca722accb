use crate::{Body, Event, UserId};

/// The end of a chunk, where an append may continue. Only chunks produce it, so no node can append in the middle of
/// another's chunk.
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

    /// Messages deleted so far. Too low if there were deletions before this count existed.
    pub fn deleted_count(self) -> u64 {
        self.deleted_count
    }

    /// The current number of members.
    pub fn member_count(self) -> u64 {
        self.member_count
    }

    /// The nonce of the chunk that ends here. Together with the seq it identifies the log: a copy that has diverged
    /// since has other nonces.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The head of a room that does not exist yet, which [`crate::Creation`] appends to.
    pub(crate) fn none() -> Self {
        Self { seq: 0, message_count: 0, deleted_count: 0, member_count: 0, nonce: [0; 16] }
    }
}

/// Distinguishes writes at the same key. Random.
pub type Nonce = [u8; 16];

/// Events that one node decided together for one room. Stored, published and applied whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    nonce: Nonce,
    previous: Option<Nonce>,
    events: Vec<Event>,
    message_count: u64,
    member_count: u64,
}

impl Chunk {
    /// Creates a chunk of `events`, which must be non-empty and consecutive.
    ///
    /// Returns `None` if they are not: stored data that is not a chunk.
    pub fn new(nonce: Nonce, events: Vec<Event>, message_count: u64, member_count: u64) -> Option<Self> {
        let rises = events.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1);
        let starts = events.first().is_some_and(|first| first.seq > 0);
        (rises && starts).then_some(Self { nonce, previous: None, events, message_count, member_count })
    }

    /// Sets the nonce of its predecessor, if that is known.
    #[must_use]
    pub fn with_previous(mut self, previous: Option<Nonce>) -> Self {
        self.previous = previous;
        self
    }

    /// The nonce of its predecessor. `None` for the first chunk of a room, and for chunks written by older versions.
    pub fn previous(&self) -> Option<&Nonce> {
        self.previous.as_ref()
    }

    /// Whether it is the next chunk of the log that ends at `head`. The seq alone only proves this for a chunk that
    /// was read from that log.
    pub fn continues(&self, head: &Head) -> bool {
        self.previous.as_ref() == Some(&head.nonce) && self.first_seq() == head.seq + 1
    }

    /// The events, by ascending seq.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the events by value.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Seq of the first event: the key in the room's log.
    pub fn first_seq(&self) -> u64 {
        self.events[0].seq
    }

    /// The users whose membership it changes.
    pub fn concerned(&self) -> impl Iterator<Item = &UserId> {
        self.events.iter().filter_map(|event| match &event.body {
            Body::MemberAdded { user, .. } | Body::MemberRemoved { user } => Some(user),
            _ => None,
        })
    }

    /// Whether it may have changed data next to the log (members, present forms, settings) in a way that this version
    /// does not know: that data must be read again.
    pub fn changes_unknown(&self) -> bool {
        self.events.iter().any(|event| match event.body {
            Body::Other => true,
            // A message is stored in the log alone, whatever it contains.
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
