use std::collections::HashMap;

use parlance_proto::v1::{Cursor, Event, Gap, GapReason, Welcome};

use crate::Encoding;

/// Cursors in one hello, according to the contract.
const MAX_CURSORS: usize = 2_000;

/// Users whose direct room is remembered: its id is only needed for `after_seq`.
const MAX_DIRECT: usize = 1_000;

/// A violation of the server's guarantees for a room's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Events are missing without a gap.
    Hole {
        /// The room.
        room_id: String,
        /// First seq that is missing.
        from_seq: u64,
        /// Last seq that is missing.
        to_seq: u64,
    },
    /// An event arrived twice, or after a later one, on the same connection. It is not
    /// delivered.
    Repeat {
        /// The room.
        room_id: String,
        /// The event.
        seq: u64,
        /// The last event received before it.
        after: u64,
    },
}

/// The known state of each room: the application's position, and the head.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: HashMap<String, Position>,
    direct: HashMap<String, String>,
    /// Number of the connection, to distinguish repeats from catching up.
    connection: u64,
    /// Counts movements of cursors, to find the most recently active rooms.
    moves: u64,
    /// The session's user; empty until the first welcome.
    user: String,
}

#[derive(Debug, Default)]
struct Position {
    /// Delivered to the application up to here; `None` before the first event.
    cursor: Option<u64>,
    epoch: u64,
    /// The last epoch announced by the server; 0 while unknown.
    server_epoch: u64,
    /// After an open-ended gap: any event may follow.
    open: bool,
    /// The highest known seq.
    head: u64,
    /// The connection on which the last event arrived, and its seq.
    last: (u64, u64),
    /// When it last moved, as a count of all movements.
    moved: u64,
}

/// How to handle an event or a gap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Report this to the application first.
    pub(crate) violation: Option<Violation>,
    /// Deliver it.
    pub(crate) deliver: bool,
}

impl Rooms {
    pub(crate) fn new(cursors: impl IntoIterator<Item = Cursor>) -> Self {
        let rooms = cursors.into_iter().map(|cursor| {
            let Cursor { room_id, seq, epoch } = cursor;
            (room_id, Position { cursor: Some(seq), epoch, head: seq, ..Position::default() })
        });
        Self { rooms: rooms.collect(), direct: HashMap::new(), connection: 0, moves: 0, user: String::new() }
    }

    /// The cursors for a hello, as many as fit into `budget` bytes of this encoding: those
    /// of the most recently active rooms. The others start with a gap, which is correct,
    /// too.
    pub(crate) fn cursors(&self, encoding: Encoding, budget: usize) -> Vec<Cursor> {
        let mut known: Vec<_> = self
            .rooms
            .iter()
            .filter_map(|(id, position)| Some((position.moved, id, position.cursor?)))
            .collect();
        known.sort_unstable_by(|one, other| other.cmp(one));
        let mut left = budget;
        let cursors = known.into_iter().take(MAX_CURSORS).filter_map(|(_, room_id, _)| self.cursor(room_id));
        cursors
            .take_while(|cursor| {
                let size = encoding.cursor_size(cursor);
                let fits = size <= left;
                left = left.saturating_sub(size);
                fits
            })
            .collect()
    }

    /// The application's position in a room once it has processed everything delivered so
    /// far.
    pub(crate) fn cursor(&self, room_id: &str) -> Option<Cursor> {
        let position = self.rooms.get(room_id)?;
        Some(Cursor { room_id: room_id.to_owned(), seq: position.cursor?, epoch: position.epoch })
    }

    pub(crate) fn connected(&mut self, welcome: &Welcome) {
        self.connection += 1;
        self.user.clone_from(&welcome.user_id);
        for head in &welcome.heads {
            let position = self.position(&head.room_id);
            // A changed epoch is taken from the following gap, not here: a connection lost
            // in between would hide it.
            if position.epoch == 0 {
                position.epoch = head.epoch;
            }
            position.server_epoch = head.epoch;
            // In another epoch, seqs that were known may not exist.
            let is_restored = head.epoch != 0 && head.epoch != position.epoch;
            position.head = if is_restored { head.seq } else { position.head.max(head.seq) };
        }
    }

    /// The epoch of the application's position in a room; 0 if unknown.
    pub(crate) fn epoch(&self, room_id: &str) -> u64 {
        self.rooms.get(room_id).map_or(0, |position| position.epoch)
    }

    /// The epoch of a room on the server, as last announced; 0 if unknown.
    pub(crate) fn server_epoch(&self, room_id: &str) -> u64 {
        self.rooms.get(room_id).map_or(0, |position| position.server_epoch)
    }

    /// The session's user.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn event(&mut self, event: &Event) -> Verdict {
        let connection = self.connection;
        let position = self.moving(&event.room_id);
        let (seen_on, seen) = std::mem::replace(&mut position.last, (connection, event.seq));
        if seen_on == connection && event.seq <= seen {
            position.last = (seen_on, seen);
            let violation = Violation::Repeat { room_id: event.room_id.clone(), seq: event.seq, after: seen };
            return Verdict { violation: Some(violation), deliver: false };
        }
        let Some(cursor) = position.cursor else {
            position.advance(event.seq);
            return Verdict { violation: None, deliver: true };
        };
        if event.seq <= cursor {
            return Verdict { violation: None, deliver: false };
        }
        let hole = event.seq > cursor + 1 && !position.open;
        let violation = hole.then(|| hole_between(&event.room_id, cursor, event.seq));
        position.advance(event.seq);
        Verdict { violation, deliver: true }
    }

    /// Processes a gap; cuts off what the application already has.
    pub(crate) fn gap(&mut self, gap: &mut Gap) -> Verdict {
        let position = self.moving(&gap.room_id);
        if gap.epoch != 0 {
            position.epoch = gap.epoch;
            position.server_epoch = gap.epoch;
        }
        if gap.reason() == GapReason::Restored {
            // Seqs refer to other events now; the previous state is invalid.
            let (epoch, moved) = (position.epoch, position.moved);
            let cursor = Some(gap.to_seq);
            let server_epoch = position.server_epoch;
            *position =
                Position { cursor, epoch, server_epoch, head: gap.to_seq, moved, ..Position::default() };
            return Verdict { violation: None, deliver: true };
        }
        let cursor = position.cursor.unwrap_or(gap.from_seq.saturating_sub(1));
        if gap.to_seq != 0 && gap.to_seq <= cursor {
            return Verdict { violation: None, deliver: false };
        }
        let hole = gap.from_seq > cursor + 1 && !position.open;
        let violation = hole.then(|| hole_between(&gap.room_id, cursor, gap.from_seq));
        gap.from_seq = gap.from_seq.max(cursor + 1);
        if gap.to_seq == 0 {
            position.cursor = Some(cursor);
            // An unreadable room continues where the gap started: a hole there would be a
            // violation.
            position.open |= gap.reason() != GapReason::Unreadable;
        } else {
            position.advance(gap.to_seq);
        }
        Verdict { violation, deliver: true }
    }

    /// The highest known seq of a room; `None` for an unknown room.
    pub(crate) fn head(&self, room_id: &str) -> Option<u64> {
        self.rooms.get(room_id).map(|position| position.head).filter(|head| *head > 0)
    }

    pub(crate) fn learn_head(&mut self, room_id: &str, seq: u64) {
        let position = self.position(room_id);
        position.head = position.head.max(seq);
    }

    /// The direct room with a user, if a message was sent there before.
    pub(crate) fn direct(&self, user_id: &str) -> Option<&str> {
        self.direct.get(user_id).map(String::as_str)
    }

    pub(crate) fn learn_direct(&mut self, user_id: &str, room_id: &str) {
        if self.direct.len() < MAX_DIRECT {
            self.direct.insert(user_id.to_owned(), room_id.to_owned());
        }
    }

    /// The position of a room that received something.
    fn moving(&mut self, room_id: &str) -> &mut Position {
        self.moves += 1;
        let moved = self.moves;
        let position = self.position(room_id);
        position.moved = moved;
        position
    }

    fn position(&mut self, room_id: &str) -> &mut Position {
        if !self.rooms.contains_key(room_id) {
            self.rooms.insert(room_id.to_owned(), Position::default());
        }
        self.rooms.get_mut(room_id).unwrap_or_else(|| unreachable!("it was inserted"))
    }
}

impl Position {
    fn advance(&mut self, seq: u64) {
        self.cursor = Some(seq);
        self.open = false;
        self.head = self.head.max(seq);
    }
}

fn hole_between(room_id: &str, cursor: u64, next: u64) -> Violation {
    Violation::Hole { room_id: room_id.to_owned(), from_seq: cursor + 1, to_seq: next - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVER: Verdict = Verdict { violation: None, deliver: true };
    const DROP: Verdict = Verdict { violation: None, deliver: false };

    fn connected(rooms: &mut Rooms) {
        rooms.connected(&Welcome::default());
    }

    fn event(rooms: &mut Rooms, seq: u64) -> Verdict {
        rooms.event(&Event { room_id: "r".to_owned(), seq, ..Default::default() })
    }

    fn gap(rooms: &mut Rooms, from_seq: u64, to_seq: u64, reason: GapReason) -> (Verdict, u64) {
        let mut gap =
            Gap { room_id: "r".to_owned(), from_seq, to_seq, reason: reason.into(), ..Default::default() };
        let verdict = rooms.gap(&mut gap);
        (verdict, gap.from_seq)
    }

    fn cursor(rooms: &Rooms) -> Option<u64> {
        rooms.cursor("r").map(|cursor| cursor.seq)
    }

    #[test]
    fn events_come_once_over_several_connections() {
        let mut rooms = Rooms::new([]);
        connected(&mut rooms);
        assert_eq!(event(&mut rooms, 5), DELIVER);
        assert_eq!(event(&mut rooms, 6), DELIVER);
        connected(&mut rooms);
        assert_eq!(event(&mut rooms, 6), DROP);
        assert_eq!(event(&mut rooms, 7), DELIVER);
        assert_eq!((cursor(&rooms), rooms.head("r")), (Some(7), Some(7)));
    }

    #[test]
    fn a_hole_is_a_violation_and_the_event_still_comes() {
        let mut rooms = Rooms::new([Cursor { room_id: "r".to_owned(), seq: 3, epoch: 1 }]);
        connected(&mut rooms);
        let hole = Violation::Hole { room_id: "r".to_owned(), from_seq: 4, to_seq: 5 };
        assert_eq!(event(&mut rooms, 6), Verdict { violation: Some(hole), deliver: true });
        assert_eq!(event(&mut rooms, 7), DELIVER);
    }

    #[test]
    fn a_repeat_on_one_connection_is_a_violation() {
        let mut rooms = Rooms::new([]);
        connected(&mut rooms);
        event(&mut rooms, 1);
        event(&mut rooms, 2);
        for seq in [2, 1] {
            let repeat = Violation::Repeat { room_id: "r".to_owned(), seq, after: 2 };
            assert_eq!(event(&mut rooms, seq), Verdict { violation: Some(repeat), deliver: false });
        }
        assert_eq!(event(&mut rooms, 3), DELIVER);
    }

    #[test]
    fn gaps_move_the_cursor_and_lose_what_is_held_already() {
        let mut rooms = Rooms::new([]);
        connected(&mut rooms);
        assert_eq!(gap(&mut rooms, 1, 10, GapReason::AcknowledgedElsewhere), (DELIVER, 1));
        assert_eq!(event(&mut rooms, 11), DELIVER);
        assert_eq!(gap(&mut rooms, 1, 11, GapReason::AcknowledgedElsewhere).0, DROP);
        assert_eq!(gap(&mut rooms, 1, 20, GapReason::TooLong), (DELIVER, 12));
        assert_eq!(event(&mut rooms, 21), DELIVER);
        let (verdict, _) = gap(&mut rooms, 25, 30, GapReason::TooLong);
        assert!(verdict.violation.is_some() && verdict.deliver);
    }

    #[test]
    fn after_leaving_anything_may_follow() {
        let mut rooms = Rooms::new([]);
        connected(&mut rooms);
        event(&mut rooms, 4);
        assert_eq!(gap(&mut rooms, 5, 0, GapReason::NotMember), (DELIVER, 5));
        assert_eq!(cursor(&rooms), Some(4));
        assert_eq!(event(&mut rooms, 9), DELIVER);
        assert!(event(&mut rooms, 11).violation.is_some());
    }

    #[test]
    fn a_restored_room_starts_over() {
        let cursor = Cursor { room_id: "r".to_owned(), seq: 100, epoch: 1 };
        let mut rooms = Rooms::new([cursor]);
        let heads = vec![Cursor { room_id: "r".to_owned(), seq: 7, epoch: 2 }];
        rooms.connected(&Welcome { heads, ..Default::default() });
        assert_eq!(rooms.cursor("r").unwrap().epoch, 1);
        let mut gap = Gap { room_id: "r".to_owned(), from_seq: 1, to_seq: 7, reason: 5, epoch: 2 };
        assert_eq!(rooms.gap(&mut gap), DELIVER);
        assert_eq!(rooms.cursor("r").unwrap(), Cursor { room_id: "r".to_owned(), seq: 7, epoch: 2 });
        assert_eq!(rooms.head("r"), Some(7));
        assert_eq!(event(&mut rooms, 8), DELIVER);
    }

    #[test]
    fn unreadable_room_resumes_at_its_position() {
        let mut rooms = Rooms::new([]);
        connected(&mut rooms);
        event(&mut rooms, 4);
        assert_eq!(gap(&mut rooms, 5, 0, GapReason::Unreadable), (DELIVER, 5));
        assert_eq!(cursor(&rooms), Some(4));
        assert_eq!(event(&mut rooms, 5), DELIVER);
        gap(&mut rooms, 6, 0, GapReason::Unreadable);
        assert!(event(&mut rooms, 7).violation.is_some());
    }

    #[test]
    fn a_hello_names_the_rooms_that_moved_last() {
        let old = (0..3_000).map(|room| Cursor { room_id: format!("old{room:040}"), seq: 1, epoch: 1 });
        let mut rooms = Rooms::new(old);
        connected(&mut rooms);
        event(&mut rooms, 4);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            assert_eq!(rooms.cursors(encoding, usize::MAX).len(), MAX_CURSORS);
            let cursors = rooms.cursors(encoding, 10_000);
            assert_eq!(cursors[0].room_id, "r");
            assert!((80..200).contains(&cursors.len()), "{}", cursors.len());
            assert_eq!(rooms.cursors(encoding, 4), []);
        }
    }
}
