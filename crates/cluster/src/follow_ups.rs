use std::collections::BTreeSet;

use dashmap::mapref::entry::Entry;
use parlance_core::RoomId;
use parlance_proto::cluster::v1::HeadHint;
use parlance_runtime::map::Map;

/// Rooms that are read because of a hint, one read at a time per room: an unreadable room takes only one place,
/// however many hints arrive. Hints that arrive meanwhile are merged.
#[derive(Default)]
pub(crate) struct FollowUps(Map<RoomId, Option<HeadHint>>);

impl FollowUps {
    /// Whether `hint` starts a follow-up. Otherwise the one in progress includes it.
    pub(crate) fn begin(&self, room: &RoomId, hint: &HeadHint) -> bool {
        match self.0.entry(room.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(None);
                true
            }
            Entry::Occupied(mut occupied) => {
                match occupied.get_mut() {
                    Some(waiting) => merge(waiting, hint),
                    none => *none = Some(hint.clone()),
                }
                false
            }
        }
    }

    /// The merged hints for `room` to follow up now. `None` ends the follow-up.
    pub(crate) fn next(&self, room: &RoomId) -> Option<HeadHint> {
        let Entry::Occupied(mut occupied) = self.0.entry(room.clone()) else { return None };
        let waiting = occupied.get_mut().take();
        if waiting.is_none() {
            occupied.remove();
        }
        waiting
    }
}

/// Ends a follow-up that panics; its room would otherwise never be read again.
pub(crate) struct EndsWithPanic<'a>(pub(crate) &'a FollowUps, pub(crate) &'a RoomId);

impl Drop for EndsWithPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.remove(self.1);
        }
    }
}

/// The furthest head, and all users whose membership may have changed.
fn merge(waiting: &mut HeadHint, hint: &HeadHint) {
    waiting.head_seq = waiting.head_seq.max(hint.head_seq);
    let known: BTreeSet<&String> = waiting.user_ids.iter().collect();
    let new: Vec<String> = hint.user_ids.iter().filter(|user| !known.contains(user)).cloned().collect();
    waiting.user_ids.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(head_seq: u64, users: &[&str]) -> HeadHint {
        let user_ids = users.iter().map(|user| (*user).to_owned()).collect();
        HeadHint { room_id: "room".to_owned(), head_seq, user_ids }
    }

    #[test]
    fn room_has_one_follow_up_at_a_time() {
        let (room, other) = (RoomId::parse("room").unwrap(), RoomId::parse("other").unwrap());
        let follow_ups = FollowUps::default();
        assert!(follow_ups.begin(&room, &hint(3, &["alice"])));
        for more in [hint(7, &["bob"]), hint(5, &["carol", "bob"])] {
            assert!(!follow_ups.begin(&room, &more));
        }
        assert!(follow_ups.begin(&other, &hint(1, &[])), "others are not held up");
        assert_eq!(follow_ups.next(&room), Some(hint(7, &["bob", "carol"])));
        assert_eq!(follow_ups.next(&room), None);
        assert!(follow_ups.begin(&room, &hint(8, &[])), "it has ended");
    }

    #[test]
    fn panicking_follow_up_ends() {
        let (room, follow_ups) = (RoomId::parse("room").unwrap(), FollowUps::default());
        assert!(follow_ups.begin(&room, &hint(1, &[])));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ends = EndsWithPanic(&follow_ups, &room);
            panic!("planned");
        }));
        assert!(panicked.is_err());
        assert!(follow_ups.begin(&room, &hint(2, &[])));
    }
}
