use parlance_core::{Body, Chunk, Entry, RoomId, UserId};
use parlance_delivery::{Delivery, SharedFrame, SharedRun};
use parlance_proto::{convert, v1};

use crate::limits::{ENCODINGS, FRAME_BYTES};

/// One event, encoded once for all sessions.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) frame: SharedFrame,
    /// Frames that are sent together with this one, which is the first.
    pub(crate) run: Option<SharedRun>,
    /// The user removed by the event.
    removes: Option<UserId>,
    /// The message whose text it contains: its own seq or that of the edited message.
    pub(crate) text_of: Option<u64>,
    /// The member whose data it contains.
    pub(crate) data_of: Option<UserId>,
    /// For a change of a message, the form for readers who may not see that message.
    blank: Option<Blank>,
}

/// A change of a message without its content.
#[derive(Clone)]
pub struct Blank {
    /// The message.
    pub target: u64,
    /// The change, without content.
    pub frame: SharedFrame,
}

impl Frame {
    pub(crate) fn new(room: &RoomId, entry: &Entry) -> Self {
        let frame = |entry: &Entry| -> SharedFrame {
            v1::server_frame::Frame::Event(convert::entry(room.as_str(), entry)).into()
        };
        let removes = match &entry.event.body {
            Body::MemberRemoved { user } => Some(user.clone()),
            _ => None,
        };
        let data_of = match &entry.event.body {
            Body::MemberUpdated { user, .. } => Some(user.clone()),
            _ => None,
        };
        Self {
            seq: entry.event.seq,
            frame: frame(entry),
            run: None,
            removes,
            text_of: Entry::overlay_key(&entry.event).filter(|_| data_of.is_none()),
            data_of,
            blank: entry
                .event
                .body
                .target()
                .zip(entry.event.without_content())
                .map(|(target, event)| Blank { target, frame: frame(&Entry { event, overlay: None }) }),
        }
    }

    /// The frames of a chunk as it was decided.
    pub(crate) fn of_chunk(room: &RoomId, chunk: &Chunk) -> Vec<Self> {
        let entries = chunk.events().iter().map(|event| Entry { event: event.clone(), overlay: None });
        let mut frames: Vec<Self> = entries.map(|entry| Self::new(room, &entry)).collect();
        // A session that ends with a removal must not take later frames, and sessions differ in which form of a
        // change they take.
        if frames.len() > 1 && frames.iter().all(|frame| frame.removes.is_none() && frame.blank.is_none()) {
            let run = SharedRun::new(frames.iter().map(|frame| frame.frame.clone()));
            frames[0].run = Some(run);
        }
        frames
    }

    pub(crate) fn bytes(&self) -> usize {
        self.frame.proto().len()
    }
}

/// Approximate memory of `count` frames with `bytes` of protobuf.
pub(crate) fn memory_of(count: usize, bytes: usize) -> usize {
    count * FRAME_BYTES + bytes * ENCODINGS
}

/// What a session takes at a time: a frame or a run.
pub struct Piece {
    /// Its first seq.
    pub first: u64,
    /// Its last seq.
    pub last: u64,
    /// What is delivered.
    pub delivery: Delivery,
    /// The user removed by it.
    pub removes: Option<UserId>,
    /// For a change of a message, the form for readers who may not see that message.
    pub blank: Option<Blank>,
}

/// About `batch` of the frames after `cursor` up to `to`, in the largest available pieces.
pub(crate) fn following<'a>(
    frames: impl Iterator<Item = &'a Frame>,
    cursor: u64,
    to: u64,
    batch: usize,
) -> Vec<Piece> {
    let mut frames = frames.skip_while(|frame| frame.seq <= cursor).take_while(|frame| frame.seq <= to);
    let (mut pieces, mut taken) = (Vec::new(), 0);
    while taken < batch
        && let Some(frame) = frames.next()
    {
        let first = frame.seq;
        let run = frame.run.as_ref().map(|run| (run, run.frames().len()));
        let piece = match run {
            Some((run, count)) if first + count as u64 - 1 <= to => {
                // Skips the frames that are already included in the piece.
                frames.by_ref().take(count - 1).for_each(drop);
                taken += count;
                let last = first + count as u64 - 1;
                Piece { first, last, delivery: Delivery::Run(run.clone()), removes: None, blank: None }
            }
            _ => {
                taken += 1;
                let delivery = Delivery::Frame(frame.frame.clone());
                let (removes, blank) = (frame.removes.clone(), frame.blank.clone());
                Piece { first, last: first, delivery, removes, blank }
            }
        };
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> Frame {
        let frame = SharedFrame::default();
        Frame { seq, frame, run: None, removes: None, text_of: None, data_of: None, blank: None }
    }

    /// 1 alone, a run of 2 to 5, 6 alone.
    fn frames() -> Vec<Frame> {
        let mut frames: Vec<_> = (1..=6).map(frame).collect();
        frames[1].run = Some(SharedRun::new((2..=5).map(|_| SharedFrame::default())));
        frames
    }

    fn taken(cursor: u64, to: u64) -> Vec<(u64, u64)> {
        let pieces = following(frames().iter(), cursor, to, 64);
        for piece in &pieces {
            assert_eq!(piece.delivery.frames().len() as u64, piece.last - piece.first + 1);
        }
        pieces.iter().map(|piece| (piece.first, piece.last)).collect()
    }

    #[test]
    fn run_is_taken_whole_or_frame_by_frame() {
        assert_eq!(taken(0, u64::MAX), [(1, 1), (2, 5), (6, 6)]);
        assert_eq!(taken(1, 5), [(2, 5)]);
        assert_eq!(taken(1, 4), [(2, 2), (3, 3), (4, 4)], "what is after the bound stays");
        assert_eq!(taken(3, u64::MAX), [(4, 4), (5, 5), (6, 6)], "from the middle");
        assert_eq!(taken(6, u64::MAX), []);
    }
}
