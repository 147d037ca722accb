//! Derives changes from the keys of changed items.

use aws_sdk_dynamodbstreams::types::{AttributeValue, OperationType, Record};
use parlance_core::{RoomId, Timestamp, UserId};

use super::frontier::Source;
use crate::dynamo::{messages, rooms, user_rooms, users};
use crate::feed::{Changes, MovedHead};

/// Adds the changes of `record` from the stream of `source` to `changes`.
pub(super) fn add(changes: &mut Changes, source: Source, record: &Record) {
    // Items in the feed are never removed, except with their table.
    if record.event_name() == Some(&OperationType::Remove) {
        return;
    }
    let key = |name: &str| record.dynamodb()?.keys()?.get(name);
    let text = |name: &str| key(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    let room = |name: &str| text(name).and_then(|id| RoomId::parse(id).ok());
    let user = |name: &str| text(name).and_then(|id| UserId::parse(id).ok());
    match source {
        Source::Messages => {
            // Overlays have a negative seq; the chunk that changes them has a record
            // of its own.
            let first = key(messages::SEQ).and_then(positive);
            if let Some((room, first)) = room(messages::ROOM).zip(first) {
                moved(&mut changes.heads, room, first);
            }
        }
        Source::Rooms => {
            let member = text(rooms::ITEM).and_then(|item| item.strip_prefix(rooms::MEMBER));
            let member = member.and_then(|id| UserId::parse(id).ok());
            changes.members.extend(room(rooms::ROOM).zip(member));
        }
        Source::UserRooms => changes.marks.extend(room(user_rooms::ROOM).zip(user(user_rooms::USER))),
        Source::Users => changes.profiles.extend(user(users::USER)),
    }
}

/// Records that the room has at least the event `first`; its chunk may have more.
fn moved(heads: &mut Vec<MovedHead>, room: RoomId, first: u64) {
    match heads.iter_mut().find(|head| head.room == room) {
        // Items of one room arrive in any order.
        Some(head) => (head.first, head.last) = (head.first.min(first), head.last.max(first)),
        None => heads.push(MovedHead { room, first, last: first }),
    }
}

fn positive(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

/// Approximate time of the change: the service reports whole seconds.
pub(super) fn made_at(record: &Record) -> Timestamp {
    let at = record.dynamodb().and_then(|change| change.approximate_creation_date_time());
    Timestamp(at.and_then(|at| u64::try_from(at.to_millis().ok()?).ok()).unwrap_or(0))
}
