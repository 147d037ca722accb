use std::collections::BTreeMap;

use parlance_core::RoomId;
use parlance_proto::v1;

use super::{RoomTruth, Truth};
use crate::history::{History, Seen, Session};

/// Every session receives each room's events in order, once, with all holes reported by gaps, only what its user may
/// see, and eventually all of it.
pub(super) fn check(truth: &Truth, history: &History, max_catch_up: u64, violations: &mut Vec<String>) {
    for (number, session) in history.sessions.iter().enumerate() {
        let mut complain =
            |what: String| violations.push(format!("session {number} of {}: {what}", session.user));
        let mut at: BTreeMap<RoomId, u64> = session.cursors.clone();
        for (_, seen) in &session.seen {
            let (room, from, to) = match seen {
                Seen::Welcome => continue,
                Seen::Event(event) => (&event.room_id, event.seq, event.seq),
                // Nothing of it is readable yet: what follows starts where this gap started.
                Seen::Gap(gap) if gap.reason() == v1::GapReason::Unreadable => continue,
                Seen::Gap(gap) if gap.to_seq == 0 => {
                    // "Not a member": clients only name rooms that they were given.
                    complain(format!("{} is said not to be theirs", gap.room_id));
                    continue;
                }
                Seen::Gap(gap) => (&gap.room_id, gap.from_seq, gap.to_seq),
            };
            let Some((id, room)) = RoomId::parse(room).ok().and_then(|id| truth.rooms.get_key_value(&id))
            else {
                complain(format!("something of {room}, which is not there"));
                continue;
            };
            let before = at.insert(id.clone(), to).unwrap_or(0);
            if from != before + 1 || to < from {
                complain(format!("{from}-{to} of {id} after {before}"));
            }
            match seen {
                Seen::Event(event) => check_event(room, session, event, &mut complain),
                Seen::Gap(gap) => check_gap(room, session, gap, max_catch_up, &mut complain),
                Seen::Welcome => {}
            }
        }
        if session.is_open() {
            check_end(truth, session, &at, &mut complain);
        }
    }
}

fn check_event(room: &RoomTruth, session: &Session, event: &v1::Event, complain: &mut impl FnMut(String)) {
    if let Some(difference) = room.differs(&session.user, event) {
        complain(difference);
    }
    if !room.may_see(&session.user, event.seq) {
        complain(format!("{} of {}, which is not theirs to see", event.seq, event.room_id));
    }
    // Text deleted before the session began is not sent again. The client knew of the deletion: its cursor is behind
    // it, or it was received on this stream.
    let Some(v1::event::Body::Message(message)) = &event.body else { return };
    if let Some(deleted) = room.deleted_by(event.seq)
        && session.cursors.get(&room.id).is_some_and(|cursor| *cursor >= deleted)
        && !message.text.is_empty()
    {
        complain(format!("{} of {} with its deleted text", event.seq, event.room_id));
    }
}

/// A gap is only used for what its reason covers.
fn check_gap(
    room: &RoomTruth,
    session: &Session,
    gap: &v1::Gap,
    max_catch_up: u64,
    complain: &mut impl FnMut(String),
) {
    let hides_visible = (gap.from_seq..=gap.to_seq).any(|seq| room.may_see(&session.user, seq));
    let joined =
        room.members.get(&session.user).map(|member| member.intervals.as_slice()).unwrap_or_default();
    let just = match gap.reason() {
        v1::GapReason::NotMember => !hides_visible || room.visibility == parlance_core::Visibility::All,
        // The user joined a room whose history is visible, or as much as is pushed follows: it can be paged.
        v1::GapReason::TooLong => {
            let joins = joined.iter().any(|interval| gap.to_seq + 1 == interval.joined);
            let follows = (gap.to_seq + 1..=room.head).filter(|seq| room.may_see(&session.user, *seq));
            joins || follows.count() as u64 >= max_catch_up
        }
        // Only for users who sent no cursor of the room.
        v1::GapReason::AcknowledgedElsewhere => !session.cursors.contains_key(&room.id),
        _ => false,
    };
    if !just {
        complain(format!("an unjust gap {}-{} of {}: {:?}", gap.from_seq, gap.to_seq, room.id, gap.reason()));
    }
}

fn check_end(
    truth: &Truth,
    session: &Session,
    at: &BTreeMap<RoomId, u64>,
    complain: &mut impl FnMut(String),
) {
    for room in truth.rooms.values() {
        let Some(member) = room.members.get(&session.user) else { continue };
        let has = at.get(&room.id).copied();
        let last = member.intervals.last().and_then(|interval| interval.left);
        match (last, has) {
            (None, has) if has.unwrap_or(0) < room.head => {
                complain(format!("ends at {} of {} events of {}", has.unwrap_or(0), room.head, room.id));
            }
            // A user who was notified of joining is notified of leaving. (If both happened while their node was cut
            // off, they learn of both when they reconnect.)
            (Some(left), Some(has))
                if has < left && member.intervals.last().is_some_and(|last| has >= last.joined) =>
            {
                complain(format!("ends at {has} of {}, which they left at {left}", room.id));
            }
            _ => {}
        }
    }
}
