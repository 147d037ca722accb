//! Facts derived from the logs alone: memberships, and the positions of operations.

use std::collections::HashMap;

use super::super::history::{At, History, LogBody, OpRecord, RoomHistory, RoomIndex};
use super::super::world::{OpId, User};

/// A period of membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) joined: u64,
    pub(super) left: Option<u64>,
    /// When the operation that started it was first sent; 0 for initial members.
    pub(super) asked: At,
}

pub(super) struct View<'a> {
    /// By room and user.
    members: Vec<HashMap<User, Vec<Interval>>>,
    pub(super) ops: HashMap<OpId, &'a OpRecord>,
    rooms: &'a [RoomHistory],
}

impl<'a> View<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let ops: HashMap<_, _> =
            history.clients.iter().flat_map(|client| &client.ops).map(|op| (op.id, op)).collect();
        let members = history.rooms.iter().map(|room| members(room, &ops)).collect();
        Self { members, ops, rooms: &history.rooms }
    }

    /// The memberships of `user`, oldest first.
    pub(super) fn intervals(&self, room: RoomIndex, user: User) -> &[Interval] {
        self.members[room as usize].get(&user).map_or(&[], Vec::as_slice)
    }

    pub(super) fn members(&self, room: RoomIndex) -> impl Iterator<Item = (User, &[Interval])> {
        self.members[room as usize].iter().map(|(user, intervals)| (*user, intervals.as_slice()))
    }

    pub(super) fn is_member_at(&self, room: RoomIndex, user: User, seq: u64) -> bool {
        self.intervals(room, user).iter().any(|interval| interval.contains(seq))
    }

    /// Whether the user may ever see this event.
    pub(super) fn is_visible(&self, room: RoomIndex, user: User, seq: u64) -> bool {
        if self.rooms[room as usize].open_past {
            self.intervals(room, user).last().is_some_and(|last| last.left.is_none_or(|left| seq <= left))
        } else {
            self.is_member_at(room, user, seq)
        }
    }

    /// Whether the user may have known of the change at this seq, at time `at`.
    pub(super) fn may_know(&self, room: RoomIndex, user: User, seq: u64, at: At) -> bool {
        let intervals = self.intervals(room, user);
        let later = |interval: &Interval| interval.joined > seq && interval.asked <= at;
        intervals.iter().any(|interval| interval.contains(seq) || later(interval))
    }

    /// Why the user should not have received the event at time `at`, if so.
    pub(super) fn trespass(&self, room: RoomIndex, user: User, seq: u64, at: At) -> Option<String> {
        if self.is_member_at(room, user, seq) {
            return None;
        }
        let intervals = self.intervals(room, user);
        if !self.rooms[room as usize].open_past {
            return Some(format!("was no member then ({})", spell(intervals)));
        }
        // With open history, members may see everything: since when could they be a member?
        match intervals.iter().find(|interval| interval.joined > seq) {
            Some(next) if next.asked <= at => None,
            Some(_) => Some(format!("had left and not come back yet ({})", spell(intervals))),
            None => Some(format!("had left for good ({})", spell(intervals))),
        }
    }

    /// The fingerprint of the event in the log at this seq.
    pub(super) fn print(&self, room: RoomIndex, seq: u64) -> Option<u64> {
        let log = &self.rooms[room as usize].log;
        let event = log.get(usize::try_from(seq).ok()?.checked_sub(1)?)?;
        (event.seq == seq).then_some(event.print)
    }

    pub(super) fn is_message(&self, room: RoomIndex, seq: u64) -> bool {
        let event = self.rooms[room as usize].log.get(seq as usize - 1);
        event.is_some_and(|event| matches!(event.body, LogBody::Message { .. }))
    }

    /// Number of deleted messages after a seq.
    pub(super) fn deleted_after(&self, room: RoomIndex, seq: u64) -> u64 {
        let log = &self.rooms[room as usize].log;
        let deleted = log.iter().filter(|event| match event.body {
            LogBody::Deleted { target } => target > seq,
            _ => false,
        });
        deleted.count() as u64
    }

    /// The messages counted up to a seq.
    pub(super) fn count_at(&self, room: RoomIndex, seq: u64) -> u64 {
        let log = &self.rooms[room as usize].log;
        let at = (seq as usize).min(log.len());
        at.checked_sub(1).map_or(0, |at| log[at].message_count)
    }
}

impl Interval {
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.joined <= seq && self.left.is_none_or(|left| seq <= left)
    }
}

fn members(room: &RoomHistory, ops: &HashMap<OpId, &OpRecord>) -> HashMap<User, Vec<Interval>> {
    let mut members: HashMap<User, Vec<Interval>> = HashMap::new();
    for event in &room.log {
        match event.body {
            LogBody::Added(user) => {
                // Members added by the room's first chunk see it from its first event on.
                let joined = if event.seq <= room.setup_head { 1 } else { event.seq };
                let asked = event.op.and_then(|op| ops.get(&op)).map_or(0, |op| op.first_sent);
                members.entry(user).or_default().push(Interval { joined, left: None, asked });
            }
            LogBody::Removed(user) => {
                if let Some(last) = members.get_mut(&user).and_then(|intervals| intervals.last_mut()) {
                    last.left.get_or_insert(event.seq);
                }
            }
            _ => {}
        }
    }
    members
}

/// Memberships as text.
pub(super) fn spell(intervals: &[Interval]) -> String {
    if intervals.is_empty() {
        return "never was one".to_owned();
    }
    let spelled: Vec<_> = intervals
        .iter()
        .map(|interval| match interval.left {
            Some(left) => format!("{}..{left}", interval.joined),
            None => format!("{}..", interval.joined),
        })
        .collect();
    format!("member {}", spelled.join(", "))
}
