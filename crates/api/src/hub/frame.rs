use parlance_core::{Body, Entry, Event, RoomId, UserId};
use parlance_proto::{SharedFrame, convert, v1};

use crate::limits::ROOM_BATCH;

/// One event, encoded once for all.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) frame: SharedFrame,
    /// Who was removed by it.
    pub(crate) removes: Option<UserId>,
    /// The message whose text is in it: its own seq or that of the one it edits.
    pub(super) text_of: Option<u64>,
}

impl Frame {
    pub(super) fn new(room: &RoomId, entry: &Entry) -> Self {
        let event = convert::entry(room.as_str(), entry);
        let removes = match &entry.event.body {
            Body::MemberRemoved { user } => Some(user.clone()),
            _ => None,
        };
        Self {
            seq: entry.event.seq,
            frame: v1::server_frame::Frame::Event(event).into(),
            removes,
            text_of: Entry::overlay_key(&entry.event),
        }
    }

    pub(super) fn as_decided(room: &RoomId, event: &Event) -> Self {
        Self::new(room, &Entry { event: event.clone(), overlay: None })
    }

    pub(super) fn bytes(&self) -> usize {
        self.frame.proto().len()
    }
}

/// At most one page of the frames after `cursor` up to `to`.
pub(super) fn following<'a>(frames: impl Iterator<Item = &'a Frame>, cursor: u64, to: u64) -> Vec<Frame> {
    frames
        .skip_while(|frame| frame.seq <= cursor)
        .take_while(|frame| frame.seq <= to)
        .take(ROOM_BATCH)
        .cloned()
        .collect()
}
