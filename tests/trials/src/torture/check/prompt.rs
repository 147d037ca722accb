//! Promptness: acknowledged messages reach all well-connected users within a bound, unless
//! hints or the store were impaired around that time.

use super::super::history::{At, Frame, History, OpKind, Outcome, RoomIndex, SessionRecord};
use super::super::world::User;
use super::view::{View, spell};
use super::{Rule, Verdict};

/// From the acknowledgement to the last delivery: less than the time after which nodes give
/// up on another one and look for its writes.
pub(in super::super) const BOUND: At = 8_000;

/// How long a failure of Redis or the store affects deliveries after it has ended.
pub(in super::super) const RECOVERY: At = 12_000;

/// Maximum time by which the acknowledgement of a later seq precedes that of an earlier
/// one: an operation takes no longer.
const ASTRAY: At = 60_000;

/// A client that has not read for a while needs a moment.
const AFTER_STALL: At = 5_000;

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    let excused = excused(history);
    let acks = acks(history, &excused);
    for (user, client) in (0..).zip(&history.clients) {
        for session in &client.sessions {
            for (room, acks) in (0..).zip(&acks) {
                if !acks.is_empty() && !view.intervals(room, user).is_empty() {
                    session_room(history, view, (user, session, room), acks, verdict);
                }
            }
        }
    }
}

/// The excluded periods, by ascending start.
fn excused(history: &History) -> Vec<(At, At)> {
    let faults = history.faults.iter().filter(|fault| fault.delays_all);
    let mut excused: Vec<_> = faults.map(|fault| (fault.from, fault.to + RECOVERY)).collect();
    excused.sort_unstable();
    excused
}

/// By room: the seqs that have to be prompt and when they were acknowledged, in ascending
/// order.
fn acks(history: &History, excused: &[(At, At)]) -> Vec<Vec<(u64, At)>> {
    let mut acks: Vec<Vec<(u64, At)>> = history.rooms.iter().map(|_| Vec::new()).collect();
    for op in history.clients.iter().flat_map(|client| &client.ops) {
        let (OpKind::Send, Outcome::Done(answer)) = (op.kind, &op.outcome) else { continue };
        let (from, to) = (answer.at, answer.at + BOUND);
        if !excused.iter().any(|(start, end)| *start <= to && from <= *end) {
            acks[usize::from(op.room)].push((answer.seq.into(), answer.at));
        }
    }
    acks.iter_mut().for_each(|acks| acks.sort_unstable());
    acks
}

fn session_room(
    history: &History,
    view: &View<'_>,
    (user, session, room): (User, &SessionRecord, RoomIndex),
    acks: &[(u64, At)],
    verdict: &mut Verdict,
) {
    // A session is only expected to be prompt once it has caught up.
    let Some(from) = session.caught_up else { return };
    let frames = session.rooms.get(&room).map(Vec::as_slice).unwrap_or_default();
    let late = |seq: u64, acknowledged: At, came: Option<At>| {
        let name = &history.rooms[usize::from(room)].id;
        let came =
            came.map_or("never came".to_owned(), |came| format!("came {} ms later", came - acknowledged));
        format!(
            "client {user} (node {}, session from {} ms, {}): event {seq} of room {name} was acknowledged at {acknowledged} ms and {came}",
            session.node,
            session.opened,
            spell(view.intervals(room, user))
        )
    };
    let knows =
        !frames.is_empty() || session.heads.contains_key(&room) || session.cursors.contains_key(&room);
    let mut frames = frames.iter().peekable();
    let mut after = session.cursors.get(&room).copied().unwrap_or(0);
    let end = session.ended.unwrap_or(At::MAX);
    let first = acks.partition_point(|(seq, _)| *seq <= after);
    for &(seq, acknowledged) in &acks[first..] {
        let due = acknowledged + BOUND;
        // Seqs are acknowledged nearly in order.
        if acknowledged > end.saturating_add(ASTRAY) {
            break;
        }
        if acknowledged < from || due >= end || !is_reading(session, acknowledged, due) {
            continue;
        }
        if !view.is_member_at(room, user, seq) || !was_asked(view, room, user, seq, acknowledged) {
            continue;
        }
        // A user who had left before the session opened needs nothing of the room, however
        // late the sender learns of it.
        let stays = view
            .intervals(room, user)
            .iter()
            .any(|interval| interval.contains(seq) && interval.left.is_none());
        if !knows && !stays {
            continue;
        }
        let mut came = None;
        while let Some(frame) = frames.peek() {
            let (reaches, at) = match **frame {
                Frame::Event { seq, at, .. } => (u64::from(seq), at),
                Frame::Gap { to, at, .. } => (u64::from(to), at),
            };
            if reaches >= seq {
                came = Some(at);
                break;
            }
            after = after.max(reaches);
            frames.next();
        }
        if came.is_none() && seq <= after {
            continue;
        }
        verdict.check(Rule::Prompt, came.is_some_and(|came| came <= due), || late(seq, acknowledged, came));
    }
}

/// Whether the client was reading during the whole time.
fn is_reading(session: &SessionRecord, from: At, to: At) -> bool {
    !session.stalls.iter().any(|(start, end)| *start <= to && from <= end + AFTER_STALL)
}

/// A new member gets messages from then on; when exactly depends on the membership, so only
/// members count whose addition was requested and answered long before.
fn was_asked(view: &View<'_>, room: RoomIndex, user: User, seq: u64, acknowledged: At) -> bool {
    let interval = view.intervals(room, user).iter().find(|interval| interval.contains(seq));
    interval.is_some_and(|interval| interval.asked == 0 || interval.asked + BOUND <= acknowledged)
}
