use std::collections::VecDeque;

use parlance_core::{Body, Chunk, Mark, RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_runtime::memory::Charge;
use tokio::time::Instant;

use crate::frame::{Frame, Piece, following, memory_of};
use crate::limits::Sizes;
use crate::state::{RoomState, Terms};

/// The state of a room, and its last frames.
pub(crate) struct Ring {
    /// Unknown until it is loaded or something is delivered.
    pub(crate) room: Option<RoomState>,
    /// By ascending seq, ending at the head.
    frames: VecDeque<Frame>,
    bytes: usize,
    held: Charge,
    /// The last message that was edited or reacted to since it was added.
    pub(crate) changed_to: u64,
    /// Every chunk from this seq on was delivered here, one after the other.
    pub(crate) whole_from: u64,
    /// Counts changes to earlier messages and data: pages read before are stale.
    pub(crate) changes: u64,
    /// `None` if it is long ago.
    pub(crate) last_delivery: Option<Instant>,
}

/// The relation of a published chunk to a feed.
pub(crate) enum Verified {
    /// The next one of the room's log, with the terms after it.
    Next(Terms),
    /// It was delivered before.
    Delivered,
    /// The room is known to be further, but not through this chunk.
    Passed,
    /// From another log, after a hole, or not decodable: the store has to be read.
    No,
}

/// What follows a cursor: nothing yet, if there are no pieces.
#[derive(Default)]
pub struct Fetched {
    /// By ascending seq; the first one follows the cursor unless older ones are gone.
    pub pieces: Vec<Piece>,
    /// Whether they end before the head.
    pub more: bool,
}

impl Fetched {
    pub(crate) fn new(pieces: Vec<Piece>, head: u64) -> Self {
        let more = pieces.last().is_some_and(|last| last.last < head);
        Self { pieces, more }
    }
}

impl Ring {
    /// An empty ring, whose frames are charged to `held`.
    pub(crate) fn new(held: Charge) -> Self {
        Self {
            room: None,
            frames: VecDeque::new(),
            bytes: 0,
            held,
            changed_to: 0,
            whole_from: 0,
            changes: 0,
            last_delivery: None,
        }
    }

    /// Compares a chunk that another node has published with the log as known here.
    pub(crate) fn verify(&self, chunk: &Chunk) -> Verified {
        let Some(known) = self.room else { return Verified::No };
        if chunk.head().seq() <= known.head {
            let delivered = chunk.first_seq() >= self.whole_from;
            return if delivered { Verified::Delivered } else { Verified::Passed };
        }
        // Changes by a later version to data next to the log have to be read, too.
        if !chunk.continues(&known.end) || chunk.changes_unknown() {
            return Verified::No;
        }
        // Data next to the log is read from the store.
        let mut terms = known.terms();
        terms.fold(chunk);
        Verified::Next(terms)
    }

    /// Adds a committed chunk. The next one of the log is appended, old ones are ignored; after a hole the frames
    /// start again. Returns whether it is new.
    pub(crate) fn append(&mut self, room: &RoomId, sizes: &Sizes, terms: Terms, chunk: &Chunk) -> bool {
        let head = chunk.head();
        let known = self.room.map(|room| room.head);
        if known.is_some_and(|known| head.seq() <= known) {
            return false;
        }
        let follows = known.is_some_and(|known| chunk.first_seq() == known + 1);
        if !follows {
            self.whole_from = chunk.first_seq();
        }
        if !follows || chunk.changes_unknown() {
            // Messages may have been edited or deleted in the hole, or by what cannot be decoded.
            self.clear();
            self.changes += 1;
        }
        self.room = Some(RoomState::at(head, terms));
        for frame in Frame::of_chunk(room, chunk) {
            self.bytes += frame.bytes();
            self.frames.push_back(frame);
        }
        for event in chunk.events() {
            if let Some(target) = event.body.target() {
                self.changes += 1;
                self.changed_to = self.changed_to.max(target);
            }
            match &event.body {
                Body::MessageDeleted { target } => self.redact(|frame| frame.text_of == Some(*target)),
                // Their earlier data is no longer theirs.
                Body::MemberUpdated { user, .. } | Body::MemberRemoved { user } => {
                    self.changes += 1;
                    self.redact(|frame| frame.seq < event.seq && frame.data_of.as_ref() == Some(user));
                }
                Body::RoomDeleted => {
                    self.changes += 1;
                    self.changed_to = event.seq;
                    self.forget_before(event.seq);
                }
                _ => {}
            }
        }
        // The chunk itself stays, however full the budget is: sessions are about to take it from here.
        let most = self.held.budget().share_of(sizes.ring_bytes);
        let kept = chunk.events().len().min(sizes.ring_events);
        while self.frames.len() > sizes.ring_events
            || self.bytes > sizes.ring_bytes
            || (self.bytes > most && self.frames.len() > kept)
        {
            let Some(frame) = self.frames.pop_front() else { break };
            self.bytes -= frame.bytes();
        }
        self.held.set(memory_of(self.frames.len(), self.bytes));
        self.last_delivery = Some(Instant::now());
        true
    }

    /// Drops what was before the end of the room.
    fn forget_before(&mut self, seq: u64) {
        while let Some(frame) = self.frames.pop_front_if(|frame| frame.seq < seq) {
            self.bytes -= frame.bytes();
        }
    }

    /// What follows `cursor`, up to `to`, about `batch` frames. `None` if they are not here.
    pub(crate) fn following(&self, cursor: u64, to: u64, batch: usize) -> Option<Fetched> {
        let head = self.room?.head;
        if cursor >= head.min(to) {
            return Some(Fetched::default());
        }
        let first = self.frames.front()?.seq;
        if cursor + 1 < first {
            return None;
        }
        let skip = (cursor + 1 - first) as usize;
        let pieces = following(self.frames.range(skip..), cursor, to, batch);
        Some(Fetched::new(pieces, head))
    }

    /// The event at `seq`, and the messages after it, by ascending seq. `None` if the frames do not reach back that
    /// far.
    pub(crate) fn messages_after(&self, seq: u64) -> Option<(SharedFrame, Vec<SharedFrame>)> {
        let skip = usize::try_from(seq.checked_sub(self.frames.front()?.seq)?).ok()?;
        let at = self.frames.get(skip)?.frame.clone();
        let messages = self.frames.range(skip + 1..).filter(|frame| frame.text_of == Some(frame.seq));
        Some((at, messages.map(|frame| frame.frame.clone()).collect()))
    }

    /// Drops all frames.
    pub(crate) fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
        self.held.set(0);
    }

    /// Removes the text of a deleted message, or the data that a member no longer has, from the frames of sessions that
    /// are behind.
    fn redact(&mut self, holds: impl Fn(&Frame) -> bool) {
        // The start of the run that contains the frame.
        let mut run = None;
        for at in 0..self.frames.len() {
            run = if self.frames[at].run.is_some() { Some(at) } else { run };
            let frame = &mut self.frames[at];
            if !holds(frame) {
                continue;
            }
            let Some(mut event) = event_in(&frame.frame) else { continue };
            convert::redact(&mut event);
            self.bytes -= frame.bytes();
            frame.frame = v1::server_frame::Frame::Event(event).into();
            frame.run = None;
            self.bytes += frame.bytes();
            // Its frames are now sent one by one, from the last run that starts before this frame, whether or not
            // that includes it.
            if let Some(run) = run {
                self.frames[run].run = None;
            }
        }
    }
}

/// The mark at the event in `at`, and the one at the last of `messages` that `user` sent. Imported ones were not sent.
pub(crate) fn marks(
    at: &SharedFrame,
    messages: &[SharedFrame],
    user: &UserId,
) -> Option<(Mark, Option<Mark>)> {
    let own = messages
        .iter()
        .rev()
        .filter_map(event_in)
        .find(|event| {
            let is_sent =
                matches!(&event.body, Some(v1::event::Body::Message(message)) if message.sent_at.is_none());
            event.actor_id == user.as_str() && is_sent
        })
        .map(|event| mark_at(&event));
    Some((mark_at(&event_in(at)?), own))
}

fn mark_at(event: &v1::Event) -> Mark {
    Mark { seq: event.seq, message_count: event.message_count, deleted_count: event.deleted_count }
}

fn event_in(frame: &SharedFrame) -> Option<v1::Event> {
    match frame.decode_frame().ok()?.frame? {
        v1::server_frame::Frame::Event(event) => Some(event),
        _ => None,
    }
}
