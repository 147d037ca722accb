use std::collections::HashMap;

use parlance_proto::v1::{Cursor, Event, Gap, GapReason};

/// An item that advances a reader of a room.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Item {
    /// The next event.
    Event(Event),
    /// Events that were not pushed.
    Gap(Gap),
}

impl Item {
    /// The room of the item.
    pub fn room(&self) -> &str {
        match self {
            Self::Event(event) => &event.room_id,
            Self::Gap(gap) => &gap.room_id,
        }
    }

    /// Whether a reader who got it has reached `seq` of `room`.
    pub fn reaches(&self, room: &str, seq: u64) -> bool {
        let to = match self {
            Self::Event(event) => event.seq,
            Self::Gap(gap) => gap.to_seq,
        };
        self.room() == room && to >= seq
    }
}

/// Checks the promise to every session: in each room, each event or gap starts right
/// after the previous one, beginning at the client's cursor, or at 0.
#[derive(Debug, Default)]
pub struct Contiguity {
    rooms: HashMap<String, Position>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Position {
    reached: u64,
    /// After an open-ended gap: any event may follow.
    open: bool,
}

impl Contiguity {
    /// A session that starts with these cursors.
    pub fn from_cursors(cursors: &[Cursor]) -> Self {
        let position = |cursor: &Cursor| Position { reached: cursor.seq, open: false };
        Self { rooms: cursors.iter().map(|cursor| (cursor.room_id.clone(), position(cursor))).collect() }
    }

    /// The position reached in this room.
    pub fn reached(&self, room: &str) -> u64 {
        self.rooms.get(room).map_or(0, |position| position.reached)
    }

    /// The cursors to resume with.
    pub fn cursors(&self) -> Vec<Cursor> {
        let cursor = |(room, position): (&String, &Position)| Cursor {
            room_id: room.clone(),
            seq: position.reached,
            epoch: 0,
        };
        self.rooms.iter().map(cursor).collect()
    }

    /// Checks the next event or gap; panics if it does not follow.
    pub fn follow(&mut self, item: &Item) {
        let position = self.rooms.entry(item.room().to_owned()).or_default();
        let (from, to) = match item {
            Item::Event(event) => (event.seq, event.seq),
            Item::Gap(gap) => (gap.from_seq, gap.to_seq),
        };
        let gap_reason = match item {
            Item::Event(_) => GapReason::Unspecified,
            Item::Gap(gap) => gap.reason(),
        };
        if gap_reason == GapReason::Restored {
            // The room starts over.
            *position = Position::default();
        }
        let expected = position.reached + 1;
        let follows = from == expected || (position.open && from > expected);
        assert!(follows, "{item:?} does not follow {}", position.reached);
        assert!(to >= from || (to == 0 && matches!(item, Item::Gap(_))), "{item:?} is not a range");
        // After an unreadable gap, events follow from its start once they are
        // readable.
        let open = to == 0 && gap_reason != GapReason::Unreadable;
        *position = Position { reached: to.max(position.reached), open };
    }
}
