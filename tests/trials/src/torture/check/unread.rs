//! Inboxes at the end compared with the logs.

use super::super::history::{ClientHistory, History, InboxRecord, LogBody, OpKind, Outcome, RoomIndex};
use super::super::world::User;
use super::view::View;
use super::{Rule, Verdict};

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    let own = own_messages(history);
    for (user, client) in (0..).zip(&history.clients) {
        for (room, index) in history.rooms.iter().zip(0..) {
            let member = view.intervals(index, user).last().is_some_and(|last| last.left.is_none());
            let entry = client.inbox.iter().find(|entry| entry.room == index);
            verdict.check(Rule::Unread, entry.is_some() == member, || {
                let has = if entry.is_some() { "holds" } else { "lacks" };
                format!("the inbox of client {user} {has} room {} (member: {member})", room.id)
            });
            if let Some(entry) = entry
                && member
            {
                let sent = own[usize::from(index)].get(usize::from(user)).copied().unwrap_or(0);
                let (low, high) = marks(client, view, index, user, sent);
                check_entry(history, view, user, entry, (low, high), verdict);
            }
        }
    }
}

/// Each user's own messages, by room and user.
fn own_messages(history: &History) -> Vec<Vec<u64>> {
    let rooms = history.rooms.iter().map(|room| {
        let mut last = vec![0; history.clients.len()];
        for event in &room.log {
            if let (LogBody::Message { .. }, Some(actor)) = (&event.body, event.actor)
                && let Some(last) = last.get_mut(usize::from(actor))
            {
                *last = event.seq;
            }
        }
        last
    });
    rooms.collect()
}

/// The lower and upper bounds of the read mark.
fn marks(client: &ClientHistory, view: &View<'_>, room: RoomIndex, user: User, sent: u64) -> (u64, u64) {
    let joined = view.intervals(room, user).last().map_or(0, |last| last.joined);
    let mut low = sent.max(joined);
    let mut high = low;
    for op in client.ops.iter().filter(|op| op.room == room && op.kind == OpKind::MarkRead) {
        match &op.outcome {
            Outcome::Done(answer) => low = low.max(answer.seq.into()),
            Outcome::Open | Outcome::Unknown => high = high.max(op.target.into()),
            // An earlier attempt may have been carried out.
            Outcome::Refused { .. } if op.attempts > 1 => high = high.max(op.target.into()),
            Outcome::Refused { .. } => {}
        }
    }
    (low, high.max(low))
}

fn check_entry(
    history: &History,
    view: &View<'_>,
    user: User,
    entry: &InboxRecord,
    (low, high): (u64, u64),
    verdict: &mut Verdict,
) {
    let room = &history.rooms[usize::from(entry.room)];
    let id = &room.id;
    verdict.check(Rule::Unread, (low..=high).contains(&entry.read_seq), || {
        let wanted = if low == high { low.to_string() } else { format!("{low}..{high}") };
        format!("client {user}, room {id}: the read mark is at {}, should be at {wanted}", entry.read_seq)
    });
    let counted = view.count_at(entry.room, entry.read_seq);
    verdict.check(Rule::Unread, entry.read_count == counted, || {
        format!("client {user}, room {id}: the read mark counts {}, should count {counted}", entry.read_count)
    });
    let total = view.count_at(entry.room, room.head);
    let deleted = view.deleted_after(entry.room, entry.read_seq);
    let unread = total.saturating_sub(counted + deleted);
    verdict.check(Rule::Unread, entry.unread == unread, || {
        format!("client {user}, room {id}: {} unread, should be {unread} ({total} - {counted} - {deleted} deleted)", entry.unread)
    });
    verdict.check(Rule::Unread, (entry.head, entry.message_count) == (room.head, total), || {
        format!(
            "client {user}, room {id}: the inbox knows {} events and {} messages, there are {} and {total}",
            entry.head, entry.message_count, room.head
        )
    });
}
