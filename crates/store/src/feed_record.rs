//! Between the feed's types and the stored records (`proto/storage/storage.proto`).

use parlance_core::{RoomId, Timestamp, UserId};
use parlance_proto::storage::v1::{
    ConsumerRecord, ConsumerRoomAnnounced, ConsumerRoomRecord, FeedHead, FeedKey, FeedRecord,
};
use prost::Message;

use crate::StoreError;
use crate::consumers::{Announced, ConsumerName, ConsumerState, EventKey, Parked, RoomProgress, Walk};
use crate::feed::{Changes, MovedHead, Position};
use crate::record::damaged;

pub(crate) fn encode_changes(at: Timestamp, changes: &Changes) -> Vec<u8> {
    let keys = |keys: &[(RoomId, UserId)]| {
        let key = |(room, user): &(RoomId, UserId)| FeedKey {
            room_id: room.as_str().to_owned(),
            user_id: user.as_str().to_owned(),
        };
        keys.iter().map(key).collect()
    };
    let head = |head: &MovedHead| FeedHead {
        room_id: head.room.as_str().to_owned(),
        first_seq: head.first,
        last_seq: head.last,
    };
    FeedRecord {
        at_ms: at.0,
        heads: changes.heads.iter().map(head).collect(),
        marks: keys(&changes.marks),
        members: keys(&changes.members),
        user_ids: changes.profiles.iter().map(|user| user.as_str().to_owned()).collect(),
    }
    .encode_to_vec()
}

pub(crate) fn decode_changes(bytes: &[u8]) -> Option<(Timestamp, Changes)> {
    let record = FeedRecord::decode(bytes).ok()?;
    let keys = |keys: Vec<FeedKey>| -> Option<Vec<(RoomId, UserId)>> {
        let key = |key: FeedKey| Some((RoomId::parse(&key.room_id).ok()?, UserId::parse(&key.user_id).ok()?));
        keys.into_iter().map(key).collect()
    };
    let head = |head: FeedHead| {
        let room = RoomId::parse(&head.room_id).ok()?;
        Some(MovedHead { room, first: head.first_seq, last: head.last_seq })
    };
    let changes = Changes {
        heads: record.heads.into_iter().map(head).collect::<Option<_>>()?,
        marks: keys(record.marks)?,
        members: keys(record.members)?,
        profiles: record.user_ids.iter().map(|user| UserId::parse(user).ok()).collect::<Option<_>>()?,
    };
    Some((Timestamp(record.at_ms), changes))
}

pub(crate) fn encode_consumer(state: &ConsumerState) -> Vec<u8> {
    let walked = |walk: &Walk| walk.after.as_ref().map_or_else(String::new, |room| room.as_str().to_owned());
    ConsumerRecord {
        position: state.position.as_str().to_owned(),
        target: state.target.clone(),
        paused: state.paused,
        disabled: state.disabled.clone(),
        walked_room_id: state.walk.as_ref().map(walked),
        created_at_ms: state.created_at.0,
        failing_since_ms: state.failing_since.map_or(0, |since| since.0),
        behind_since_ms: state.behind_since.map_or(0, |since| since.0),
    }
    .encode_to_vec()
}

pub(crate) fn decode_consumer(name: &ConsumerName, bytes: &[u8]) -> Result<ConsumerState, StoreError> {
    let read = || {
        let record = ConsumerRecord::decode(bytes).ok()?;
        let walk = match record.walked_room_id.as_deref() {
            None => None,
            Some("") => Some(Walk { after: None }),
            Some(room) => Some(Walk { after: Some(RoomId::parse(room).ok()?) }),
        };
        Some(ConsumerState {
            position: Position::parse(&record.position)?,
            target: record.target,
            paused: record.paused,
            disabled: record.disabled,
            walk,
            created_at: Timestamp(record.created_at_ms),
            failing_since: (record.failing_since_ms > 0).then_some(Timestamp(record.failing_since_ms)),
            behind_since: (record.behind_since_ms > 0).then_some(Timestamp(record.behind_since_ms)),
        })
    };
    read().ok_or_else(|| damaged("the row", format_args!("consumer {name}")))
}

pub(crate) fn encode_progress(progress: &RoomProgress) -> Vec<u8> {
    let parked = progress.parked.as_ref();
    ConsumerRoomRecord {
        done_epoch: progress.done.epoch,
        done_seq: progress.done.seq,
        pending: progress.pending,
        parked_reason: parked.map(|parked| parked.reason.clone()).unwrap_or_default(),
        parked_at_ms: parked.map_or(0, |parked| parked.since.0),
        announced: progress.announced.map(|announced| ConsumerRoomAnnounced {
            first_seq: announced.first.unwrap_or(0),
            at_ms: announced.at.0,
        }),
    }
    .encode_to_vec()
}

/// A consumer's progress in a room. If it is unreadable, the room starts over with its first
/// event.
pub(crate) fn decode_progress(name: &ConsumerName, room: &RoomId, bytes: &[u8]) -> RoomProgress {
    let Ok(record) = ConsumerRoomRecord::decode(bytes) else { return unreadable_progress(name, room) };
    let parked = Parked { reason: record.parked_reason, since: Timestamp(record.parked_at_ms) };
    RoomProgress {
        done: EventKey { epoch: record.done_epoch, seq: record.done_seq },
        pending: record.pending,
        parked: (!parked.reason.is_empty()).then_some(parked),
        announced: record.announced.map(|announced| Announced {
            first: (announced.first_seq > 0).then_some(announced.first_seq),
            at: Timestamp(announced.at_ms),
        }),
    }
}

/// The progress of a room whose row is unreadable.
pub(crate) fn unreadable_progress(name: &ConsumerName, room: &RoomId) -> RoomProgress {
    tracing::error!(consumer = %name, %room, "cannot read a consumer's progress in a room, starting over there");
    RoomProgress { pending: true, ..RoomProgress::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_whose_row_cannot_be_read_begins_anew() {
        let name = ConsumerName::parse("audit").unwrap();
        let room = RoomId::parse("room-1").unwrap();
        let anew = RoomProgress { pending: true, ..RoomProgress::default() };
        assert_eq!(decode_progress(&name, &room, &[0xff; 7]), anew);
        let parked = Some(Parked { reason: "refused".into(), since: Timestamp(7) });
        let done = EventKey { epoch: 2, seq: 9 };
        for first in [None, Some(7)] {
            let announced = Some(Announced { first, at: Timestamp(8) });
            let row = RoomProgress { done, pending: true, parked: parked.clone(), announced };
            assert_eq!(decode_progress(&name, &room, &encode_progress(&row)), row);
        }
    }
}
