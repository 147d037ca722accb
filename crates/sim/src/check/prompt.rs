use parlance_core::{RoomId, UserId};
use parlance_proto::v1::reply::Result as Reply;

use super::{RoomTruth, Truth};
use crate::history::{History, Seen, Session};
use crate::weather::Weather;

/// How long an acknowledged message may take to connected users, in milliseconds: it is published before the sender
/// is answered, and no other step takes longer.
const SOON: u64 = 300;

/// How long before that the conditions must have been good: earlier trouble may cause later delays.
const BEFORE: u64 = 4_000;

/// How long a session must have been open to be expected to have all its rooms.
const OPEN: u64 = 2_000;

/// An acknowledged message was published, whatever happens to the acknowledging node: it arrives promptly where
/// conditions are good.
pub(super) fn check(truth: &Truth, history: &History, weather: &Weather, violations: &mut Vec<String>) {
    for asked in &history.asked {
        let Some(answer) = &asked.answer else { continue };
        let Reply::SendMessage(sent) = &answer.result else { continue };
        let Some(room) = RoomId::parse(&sent.room_id).ok().and_then(|id| truth.rooms.get(&id)) else {
            continue;
        };
        let (from, to) = (answer.at.saturating_sub(BEFORE), answer.at + SOON);
        if !weather.was_fine(&answer.node, from, to) {
            continue;
        }
        for (number, session) in history.sessions.iter().enumerate() {
            let is_there = session.opened + OPEN <= answer.at
                && !session.seen.is_empty()
                && !session.slow
                && session.closed.is_none_or(|closed| closed > to);
            if !is_there
                || !was_member(room, &session.user, sent.seq)
                || is_done_with(room, history, session, &sent.room_id, sent.seq)
                || !weather.was_fine(&session.node, from, to)
            {
                continue;
            }
            if when(session, &sent.room_id, sent.seq).is_none_or(|at| at > to) {
                violations.push(format!(
                    "session {number} of {} had not got {} of {} at {to}, acknowledged at {}",
                    session.user, sent.seq, sent.room_id, answer.at
                ));
            }
        }
    }
}

fn was_member(room: &RoomTruth, user: &UserId, seq: u64) -> bool {
    let intervals = room.members.get(user).map(|member| member.intervals.as_slice()).unwrap_or_default();
    intervals.iter().any(|interval| interval.joined <= seq && interval.left.is_none_or(|left| seq <= left))
}

/// Whether the session's user had left when it was opened, and did not name the room: they get nothing of it, even if
/// a late answer mentions it.
fn is_done_with(room: &RoomTruth, history: &History, session: &Session, id: &str, seq: u64) -> bool {
    let member = room.members.get(&session.user);
    let interval = member.and_then(|member| {
        member.intervals.iter().find(|interval| interval.left.is_some_and(|left| seq <= left))
    });
    let Some(left) = interval.and_then(|interval| interval.left) else { return false };
    let is_named = session.cursors.iter().any(|(room, _)| room.as_str() == id);
    let left_at =
        history.sessions.iter().filter_map(|other| when(other, id, left)).filter(|at| *at > 0).min();
    !is_named && left_at.is_some_and(|at| at < session.opened)
}

/// When a session received or passed an event.
fn when(session: &Session, room: &str, seq: u64) -> Option<u64> {
    let passed = session.seen.iter().find(|(_, seen)| match seen {
        Seen::Event(event) => event.room_id == room && event.seq >= seq,
        Seen::Gap(gap) => gap.room_id == room && gap.to_seq >= seq,
        Seen::Welcome => false,
    });
    let had = session.cursors.iter().any(|(id, cursor)| id.as_str() == room && *cursor >= seq);
    if had { Some(0) } else { passed.map(|(at, _)| *at) }
}
