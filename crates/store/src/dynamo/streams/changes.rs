//! What the key of a changed item says.

use aws_sdk_dynamodbstreams::types::{AttributeValue, OperationType, Record};
use parlance_core::{RoomId, Timestamp, UserId};

use super::frontier::Source;
use crate::dynamo::{messages, rooms, user_rooms, users};
use crate::feed::{Changes, MovedHead};

/// Adds what `record` of the stream of `source` says to `changes`.
pub(super) fn add(changes: &mut Changes, source: Source, record: &Record) {
    // Nothing of what the feed tells of is ever removed but with a table.
    if record.event_name() == Some(&OperationType::Remove) {
        return;
    }
    let key = |name: &str| record.dynamodb()?.keys()?.get(name);
    let text = |name: &str| key(name).and_then(|value| value.as_s().ok()).map(String::as_str);
    let room = |name: &str| text(name).and_then(|id| RoomId::parse(id).ok());
    let user = |name: &str| text(name).and_then(|id| UserId::parse(id).ok());
    match source {
        Source::Messages => {
            // Overlays have a negative one; what changes them is a chunk of its own.
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

/// The room has at least the event `first`; its chunk may have more.
fn moved(heads: &mut Vec<MovedHead>, room: RoomId, first: u64) {
    match heads.iter_mut().find(|head| head.room == room) {
        // Items of one room come in no order.
        Some(head) => (head.first, head.last) = (head.first.min(first), head.last.max(first)),
        None => heads.push(MovedHead { room, first, last: first }),
    }
}

fn positive(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

/// About when the change was made: the service says so to the second.
pub(super) fn made_at(record: &Record) -> Timestamp {
    let at = record.dynamodb().and_then(|change| change.approximate_creation_date_time());
    Timestamp(at.and_then(|at| u64::try_from(at.to_millis().ok()?).ok()).unwrap_or(0))
}
