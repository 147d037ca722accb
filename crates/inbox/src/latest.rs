//! The first rooms of a user after a place in the order of latest activity.

use std::collections::BTreeMap;

use parlance_store::{StoredRoom, UserRoom};

use crate::view::InboxPlace;

/// A room of a user that may be listed, and its state if that has been read.
pub(crate) struct Candidate {
    pub(crate) place: InboxPlace,
    pub(crate) row: UserRoom,
    pub(crate) room: Option<StoredRoom>,
}

/// Keeps the first `size` of the rooms offered that come after a place.
pub(crate) struct First {
    after: Option<InboxPlace>,
    size: usize,
    found: BTreeMap<InboxPlace, Candidate>,
    has_more: bool,
}

impl First {
    pub(crate) fn new(after: Option<InboxPlace>, size: usize) -> Self {
        Self { after, size, found: BTreeMap::new(), has_more: false }
    }

    pub(crate) fn offer(&mut self, candidate: Candidate) {
        if self.after.as_ref().is_some_and(|after| candidate.place <= *after) {
            return;
        }
        self.found.insert(candidate.place.clone(), candidate);
        if self.found.len() > self.size {
            self.found.pop_last();
            self.has_more = true;
        }
    }

    /// The rooms in their order, and the place of the last one if there are more after it.
    pub(crate) fn into_page(self) -> (Vec<Candidate>, Option<InboxPlace>) {
        let next = self.found.last_key_value().filter(|_| self.has_more).map(|(place, _)| place.clone());
        (self.found.into_values().collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{Cursors, Member, Role, RoomId, Timestamp, UserId};
    use parlance_store::Preferences;

    use super::*;

    fn candidate(at: u64, room: &str) -> Candidate {
        let room = RoomId::parse(room).unwrap();
        let member = Member::joined(UserId::parse("alice").unwrap(), Role::Member, 1);
        let (cursors, preferences) = (Cursors::default(), Preferences::default());
        let row = UserRoom { room: room.clone(), member, cursors, preferences };
        Candidate { place: InboxPlace { active_at: Some(Timestamp(at)), room }, row, room: None }
    }

    /// Walks over rooms with these times, of which `moves` changes one after each page.
    fn walk(
        mut rooms: Vec<(u64, &'static str)>,
        mut moves: Vec<(u64, &'static str)>,
        size: usize,
    ) -> Vec<String> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut first = First::new(after, size);
            rooms.iter().for_each(|(at, room)| first.offer(candidate(*at, room)));
            let (page, next) = first.into_page();
            assert!(page.len() == size || next.is_none());
            seen.extend(page.into_iter().map(|found| found.place.room.to_string()));
            after = next;
            if after.is_none() {
                return seen;
            }
            if let Some((at, moved)) = moves.pop() {
                rooms.retain(|(_, room)| *room != moved);
                rooms.push((at, moved));
            }
        }
    }

    #[test]
    fn rooms_are_walked_from_the_latest_on() {
        let rooms = vec![(1, "a"), (5, "b"), (3, "c"), (3, "d"), (9, "e")];
        for size in 1..7 {
            assert_eq!(walk(rooms.clone(), Vec::new(), size), ["e", "b", "c", "d", "a"], "{size}");
        }
        assert!(walk(Vec::new(), Vec::new(), 3).is_empty());
    }

    #[test]
    fn no_room_is_seen_twice_while_rooms_move_up() {
        let rooms = vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e"), (6, "f")];
        // One that was seen is not seen again.
        assert_eq!(walk(rooms.clone(), vec![(10, "f")], 2), ["f", "e", "d", "c", "b", "a"]);
        // One that was not is missed: it is before the page.
        assert_eq!(walk(rooms.clone(), vec![(10, "a")], 2), ["f", "e", "d", "c", "b"]);
        assert_eq!(walk(rooms, vec![(3, "a")], 2), ["f", "e", "d", "a", "c", "b"]);
    }
}
