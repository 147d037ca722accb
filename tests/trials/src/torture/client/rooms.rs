//! A client's state of its rooms.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_proto::v1;
use parlance_proto::v1::event::Body;

use super::super::history::RoomIndex;
use super::super::world::{self, User, World};

/// Messages remembered for changes and reactions.
const REMEMBERED: usize = 32;

/// Membership changes of one member requested by one client: the room keeps the last 64
/// intervals of each.
const MAX_CHURN: u32 = 40;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Everything up to here was received, or reported as a gap; `None` for a new
    /// device.
    pub(super) cursor: Option<u64>,
    epoch: u64,
    /// The highest known seq.
    pub(super) head: u64,
    pub(super) member: bool,
    /// Recently received messages, and own acknowledged ones.
    pub(super) recent: VecDeque<u64>,
    pub(super) own: VecDeque<u64>,
    /// Removed members who were not added again, as far as is known.
    pub(super) out: Vec<User>,
    churn: HashMap<User, u32>,
}

#[derive(Debug)]
pub(super) struct Rooms {
    user: User,
    /// In the order of [`World::rooms_of`].
    known: Vec<(RoomIndex, String, Known)>,
    by_id: HashMap<String, usize>,
}

impl Rooms {
    pub(super) fn new(world: &World, user: User) -> Self {
        let own = &world.rooms_of[usize::from(user)];
        let known = own.iter().map(|index| {
            let known = Known { member: true, ..Known::default() };
            (*index, world.rooms[usize::from(*index)].id.clone(), known)
        });
        let known: Vec<_> = known.collect();
        let by_id = known.iter().zip(0..).map(|((_, id, _), at)| (id.clone(), at)).collect();
        Self { user, known, by_id }
    }

    /// The room selected by `pick`: its place, and its index in the world.
    pub(super) fn pick(&self, pick: u16) -> (usize, RoomIndex) {
        let at = usize::from(pick) % self.known.len();
        (at, self.known[at].0)
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Known {
        &mut self.known[at].2
    }

    pub(super) fn id(&self, at: usize) -> &str {
        &self.known[at].1
    }

    /// Place and index of a room named by the server.
    pub(super) fn find(&self, id: &str) -> Option<(usize, RoomIndex)> {
        let at = *self.by_id.get(id)?;
        Some((at, self.known[at].0))
    }

    pub(super) fn of_index(&mut self, index: RoomIndex) -> Option<&mut Known> {
        self.known.iter_mut().find(|(known, ..)| *known == index).map(|(.., known)| known)
    }

    pub(super) fn cursors(&self) -> Vec<v1::Cursor> {
        let cursors = self.known.iter().filter_map(|(_, id, known)| {
            Some(v1::Cursor { room_id: id.clone(), seq: known.cursor?, epoch: known.epoch })
        });
        cursors.collect()
    }

    pub(super) fn positions(&self) -> HashMap<RoomIndex, u64> {
        self.known.iter().filter_map(|(index, _, known)| Some((*index, known.cursor?))).collect()
    }

    /// Reports the position in each room.
    pub(super) fn report(&self, reached: &[AtomicU64]) {
        for ((.., known), reached) in self.known.iter().zip(reached) {
            reached.store(known.cursor.unwrap_or(0), Ordering::Relaxed);
        }
    }

    pub(super) fn forget(&mut self) {
        for (.., known) in &mut self.known {
            known.cursor = None;
            known.epoch = 0;
        }
    }

    pub(super) fn welcomed(&mut self, welcome: &v1::Welcome) {
        for (_, id, known) in &mut self.known {
            let head = welcome.heads.iter().find(|head| head.room_id == *id);
            known.member = head.is_some();
            if let Some(head) = head {
                known.head = known.head.max(head.seq);
                known.epoch = head.epoch;
            }
        }
    }

    pub(super) fn event(&mut self, at: usize, event: &v1::Event) {
        let user = self.user;
        let known = self.get(at);
        known.cursor = known.cursor.max(Some(event.seq));
        known.head = known.head.max(event.seq);
        match &event.body {
            Some(Body::Message(message)) if !message.deleted => remember(&mut known.recent, event.seq),
            Some(Body::MemberAdded(added)) => match world::user_of(&added.user_id) {
                Some(other) if other == user => known.member = true,
                other => known.out.retain(|out| Some(*out) != other),
            },
            Some(Body::MemberRemoved(removed)) => match world::user_of(&removed.user_id) {
                Some(other) if other == user => known.member = false,
                Some(other) if !known.out.contains(&other) => known.out.push(other),
                _ => {}
            },
            _ => {}
        }
    }

    pub(super) fn gap(&mut self, at: usize, gap: &v1::Gap) {
        let known = self.get(at);
        if gap.to_seq == 0 {
            known.member = false;
        }
        known.cursor = known.cursor.max(Some(gap.to_seq.max(gap.from_seq.saturating_sub(1))));
        known.head = known.head.max(gap.to_seq);
    }
}

impl Known {
    pub(super) fn acknowledged(&mut self, seq: u64) {
        self.head = self.head.max(seq);
        remember(&mut self.own, seq);
    }

    /// Whether another membership change of `user` is within the limit.
    pub(super) fn may_churn(&mut self, user: User) -> bool {
        let churn = self.churn.entry(user).or_default();
        *churn += 1;
        *churn <= MAX_CHURN
    }
}

fn remember(list: &mut VecDeque<u64>, seq: u64) {
    if list.len() == REMEMBERED {
        list.pop_front();
    }
    list.push_back(seq);
}
