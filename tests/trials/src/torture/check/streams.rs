//! The streams of sessions: each room's events contiguous, gaps with a correct reason,
//! nothing for strangers, the same for everyone, and everything in the end.

use parlance_core::limits::MAX_CATCH_UP;
use parlance_proto::v1::GapReason;

use super::super::history::{At, ClientHistory, Frame, History, OpKind, RoomIndex, SessionRecord};
use super::super::world::User;
use super::view::View;
use super::{Rule, Verdict};

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    for (user, client) in (0..).zip(&history.clients) {
        for (room, seq) in &client.strange {
            verdict.violation(Rule::Members, || {
                format!("client {user} got event {seq} of the strange room {room}")
            });
        }
        for (index, session) in client.sessions.iter().enumerate() {
            for (room, frames) in &session.rooms {
                let stream = Stream { history, view, user, client, session, index, room: *room };
                stream.check(frames, verdict);
            }
        }
    }
    caught_up(history, view, verdict);
}

/// One room of one session.
struct Stream<'a> {
    history: &'a History,
    view: &'a View<'a>,
    user: User,
    client: &'a ClientHistory,
    session: &'a SessionRecord,
    index: usize,
    room: RoomIndex,
}

impl Stream<'_> {
    fn check(&self, frames: &[Frame], verdict: &mut Verdict) {
        let mut after = self.session.cursors.get(&self.room).copied().unwrap_or(0);
        // After an open-ended gap, anything may follow.
        let mut open = false;
        for frame in frames {
            match *frame {
                Frame::Event { seq, at, print } => {
                    let seq = u64::from(seq);
                    verdict.check(Rule::Streams, seq == after + 1 || (open && seq > after), || {
                        let what = if seq <= after { "again or too late" } else { "with a hole before it" };
                        format!("{}: event {seq} came {what}, after {after}, at {at} ms", self.name())
                    });
                    self.event(seq, at, print, verdict);
                    after = after.max(seq);
                    open = false;
                }
                Frame::Gap { from, to, reason, at } => {
                    let (from, to) = (u64::from(from), u64::from(to));
                    verdict.check(Rule::Streams, from == after + 1 || (open && from > 0), || {
                        format!("{}: a gap {from}..{to} ({reason:?}) after {after}, at {at} ms", self.name())
                    });
                    if let Some(wrong) = self.wrong_reason(from, to, reason, after) {
                        verdict.violation(Rule::Streams, || {
                            format!(
                                "{}: a gap {from}..{to} as {reason:?} at {at} ms, but {wrong}",
                                self.name()
                            )
                        });
                    }
                    // After an unreadable gap, events follow from its start once they are
                    // readable.
                    open = to == 0 && reason != GapReason::Unreadable;
                    after = after.max(to);
                }
            }
        }
    }

    fn event(&self, seq: u64, at: At, print: u64, verdict: &mut Verdict) {
        let logged = self.view.print(self.room, seq);
        verdict.check(Rule::Agreement, logged == Some(print), || {
            let what = if logged.is_none() { "is not in the log" } else { "is another one in the log" };
            format!("{}: event {seq}, which came at {at} ms, {what}", self.name())
        });
        let trespass = self.view.trespass(self.room, self.user, seq, at);
        verdict.check(Rule::Members, trespass.is_none(), || {
            format!("{}: got event {seq} at {at} ms, but {}", self.name(), trespass.unwrap_or_default())
        });
    }

    /// Why the reason of a gap is wrong, if it is.
    fn wrong_reason(&self, from: u64, to: u64, reason: GapReason, after: u64) -> Option<String> {
        let (view, room, user) = (self.view, self.room, self.user);
        let intervals = view.intervals(room, user);
        match reason {
            GapReason::NotMember if to == 0 => {
                let there = matches!(intervals, [one] if one.left.is_none() && one.joined == 1);
                there.then(|| "the user never left".to_owned())
            }
            GapReason::NotMember => {
                let visible = (from..=to).find(|seq| view.is_visible(room, user, *seq))?;
                Some(format!("{visible} is open to the user"))
            }
            GapReason::AcknowledgedElsewhere => {
                if self.session.cursors.contains_key(&room) {
                    return Some("the client named a cursor".to_owned());
                }
                let acknowledged =
                    self.client.ops.iter().filter(|op| op.room == room && op.kind == OpKind::Delivered);
                let furthest = acknowledged.map(|op| u64::from(op.target)).max().unwrap_or(0);
                let joined = intervals.iter().map(|interval| interval.joined - 1).max().unwrap_or(0);
                let furthest = furthest.max(joined);
                (to > furthest).then(|| format!("nothing past {furthest} was acknowledged"))
            }
            GapReason::TooLong => {
                let open_past = self.history.rooms[usize::from(room)].open_past;
                let rejoined = open_past && intervals.iter().any(|interval| interval.joined == to + 1);
                let head = self.session.heads.get(&room).copied().unwrap_or(0);
                (!rejoined && head.saturating_sub(after) <= MAX_CATCH_UP)
                    .then(|| format!("only {} were missing", head.saturating_sub(after)))
            }
            // Its end is unknown, and its events always follow later.
            GapReason::Unreadable => (to != 0).then(|| format!("it ends at {to}")),
            GapReason::Retention | GapReason::Restored | GapReason::Unspecified => {
                Some("that never happened here".to_owned())
            }
        }
    }

    fn name(&self) -> String {
        let id = &self.history.rooms[usize::from(self.room)].id;
        let Self { user, index, session, .. } = self;
        format!(
            "client {user}, session {index} (node {}, from {} ms), room {id}",
            session.node, session.opened
        )
    }
}

/// At the end every member has everything, and every former member everything until
/// leaving.
fn caught_up(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    for (room, index) in history.rooms.iter().zip(0..) {
        for (user, intervals) in view.members(index) {
            let (Some(client), Some(last)) = (history.clients.get(usize::from(user)), intervals.last())
            else {
                continue;
            };
            let session = client.sessions.last().filter(|session| session.ended.is_none());
            let reached = session.and_then(|session| reached(session, index));
            let wanted = match last.left {
                None => room.head,
                // A user who has left and names no cursor needs nothing of the room.
                Some(left) if reached.is_some() => left,
                Some(_) => continue,
            };
            verdict.check(Rule::CaughtUp, reached.is_some_and(|reached| reached >= wanted), || {
                let what = match (session, reached) {
                    (None, _) => "is not connected".to_owned(),
                    (Some(_), None) => "has nothing of it".to_owned(),
                    (Some(_), Some(reached)) => format!("has it up to {reached}"),
                };
                format!("client {user} {what}, room {} ends for it at {wanted}", room.id)
            });
        }
    }
}

/// A session's position in a room.
fn reached(session: &SessionRecord, room: RoomIndex) -> Option<u64> {
    let frames = session.rooms.get(&room).map(Vec::as_slice).unwrap_or_default();
    let ends = frames.iter().map(|frame| match frame {
        Frame::Event { seq, .. } => u64::from(*seq),
        Frame::Gap { to, .. } => u64::from(*to),
    });
    ends.chain(session.cursors.get(&room).copied()).max()
}
