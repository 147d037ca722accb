use parlance_core::{Body, RoomId, UserId};
use parlance_proto::v1;
use v1::client_frame::Operation;
use v1::reply::Result as Reply;

use super::{RoomTruth, Truth};
use crate::history::History;
use crate::store::Tables;

/// Unread counts equal the counted messages, in the store and in each inbox.
pub(super) fn check(truth: &Truth, tables: &Tables, history: &History, violations: &mut Vec<String>) {
    for ((user, room), cursors) in &tables.cursors {
        let Some(room) = truth.rooms.get(room) else { continue };
        let read = cursors.read;
        let (least, most) = bounds(room, user, history);
        if !(least..=most).contains(&read.seq) {
            violations.push(format!("{user} has read {} of {}, not {least} to {most}", read.seq, room.id));
        }
        if read.message_count != room.messages_up_to(read.seq) {
            let counted = room.messages_up_to(read.seq);
            violations.push(format!(
                "{user} has read {} messages of {}, not {counted}",
                read.message_count, room.id
            ));
        }
    }
    for asked in &history.asked {
        let Some(Reply::ListInbox(inbox)) = asked.answer.as_ref().map(|answer| &answer.result) else {
            continue;
        };
        check_inbox(truth, tables, &asked.user, inbox, violations);
    }
}

/// The range in which a user's read mark may be.
fn bounds(room: &RoomTruth, user: &UserId, history: &History) -> (u64, u64) {
    let mut least = 0;
    let mut most = 0;
    for event in room.events.values() {
        let joins = matches!(&event.body, Body::MemberAdded { user: added, .. } if added == user);
        let sends = event.actor == *user && matches!(event.body, Body::Message(_));
        if sends || joins {
            (least, most) = (least.max(if sends { event.seq } else { 0 }), event.seq);
        }
    }
    for asked in history.asked.iter().filter(|asked| asked.user == *user) {
        let Operation::MarkRead(request) = &asked.operation else { continue };
        if request.room_id != room.id.as_str() {
            continue;
        }
        most = most.max(request.seq);
        if let Some(Reply::MarkRead(_)) = asked.answer.as_ref().map(|answer| &answer.result) {
            least = least.max(request.seq);
        }
    }
    (least, most)
}

fn check_inbox(
    truth: &Truth,
    tables: &Tables,
    user: &UserId,
    inbox: &v1::ListInboxResponse,
    violations: &mut Vec<String>,
) {
    let entries = inbox.entries.iter().filter_map(|entry| {
        let room = RoomId::parse(&entry.room.as_ref()?.room_id).ok()?;
        Some((room, entry))
    });
    let mut rooms = 0;
    for (id, entry) in entries {
        rooms += 1;
        let Some(room) = truth.rooms.get(&id) else { continue };
        let read = tables.cursors.get(&(user.clone(), id.clone())).map_or(0, |cursors| cursors.read.seq);
        let unread = room.kept_after(read);
        if entry.unread_count != unread {
            violations
                .push(format!("{user} has {unread} unread in {id}; the inbox says {}", entry.unread_count));
        }
    }
    let mine =
        truth.rooms.values().filter(|room| room.members.get(user).is_some_and(|member| member.is_active()));
    let mine = mine.count();
    if rooms != mine {
        violations.push(format!("{user} is in {mine} rooms; the inbox has {rooms}"));
    }
}
