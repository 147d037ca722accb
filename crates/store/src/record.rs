//! Converts between the core types and the stored records (`proto/storage/storage.proto`).

use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{
    Blocks, Chunk, Cursors, Emoji, ImageUrl, Mark, Member, MemberData, Mute, Name, Overlay, RoomId, RoomInfo,
    Text, Timestamp, Unknown, UserId,
};
use parlance_proto::event::unknown_fields;
use parlance_proto::storage::v1::{
    BlockRecord, BlocksRecord, ChunkRecord, CursorsRecord, ListedRecord, MemberRecord, OverlayRecord,
    RoomRecord, RoomSettings, UserRecord,
};
use parlance_proto::{data, stored};
use prost::Message;

use crate::{Preferences, StoreError, User, UserState};

pub(crate) fn damaged(what: &str, key: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what} of {key}"))
}

/// Returns the bytes that replace the record `old`: `new`, plus the unknown fields of the old
/// record. For read-modify-write of records. Known fields come last, so that they win if a field
/// occurs twice.
pub(crate) fn carry_unknown<M: Message + Default>(old: &[u8], new: Vec<u8>) -> Vec<u8> {
    match M::decode(old) {
        Ok(known) if known.encoded_len() != old.len() => {
            let mut carried = unknown_fields(old, &known.encode_to_vec());
            carried.extend(new);
            carried
        }
        _ => new,
    }
}

/// Like [`carry_unknown`] for a room, including the fields in its settings.
pub(crate) fn carry_unknown_of_room(old: &[u8], new: &RoomInfo) -> Vec<u8> {
    let mut bytes = carry_unknown::<RoomRecord>(old, encode_room(new));
    let settings = SettingsBytes::decode(old).map(|room| room.settings).unwrap_or_default();
    let Ok(known) = RoomSettings::decode(settings.as_slice()) else { return bytes };
    let unknown = unknown_fields(&settings, &known.encode_to_vec());
    if !unknown.is_empty() {
        // Repeated occurrences of a message field are merged.
        let _ = SettingsBytes { settings: unknown }.encode(&mut bytes);
    }
    bytes
}

/// The encoded settings of a [`RoomRecord`].
#[derive(Clone, PartialEq, Message)]
struct SettingsBytes {
    #[prost(bytes = "vec", tag = "2")]
    settings: Vec<u8>,
}

pub(crate) fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    stored::chunk(chunk).encode_to_vec()
}

pub(crate) fn decode_chunk(room: &RoomId, first_seq: u64, bytes: &[u8]) -> Result<Chunk, StoreError> {
    let record = ChunkRecord::decode(bytes).ok();
    record.and_then(|record| chunk_from(first_seq, &record)).ok_or_else(|| damaged_chunk(room, first_seq))
}

pub(crate) fn chunk_from(first_seq: u64, record: &ChunkRecord) -> Option<Chunk> {
    stored::chunk_from(record).filter(|chunk| chunk.first_seq() == first_seq)
}

pub(crate) fn damaged_chunk(room: &RoomId, first_seq: u64) -> StoreError {
    damaged("the chunk", format_args!("room {room} at {first_seq}"))
}

pub(crate) fn encode_room(info: &RoomInfo) -> Vec<u8> {
    let pair = info.direct_pair.iter();
    RoomRecord {
        kind: stored::kind(info.kind),
        settings: Some(stored::settings(&info.settings)),
        created_at_ms: info.created_at.0,
        created_by: info.created_by.as_str().to_owned(),
        floor_seq: info.floor,
        epoch: info.epoch,
        direct_pair: pair.flat_map(|(a, b)| [a.as_str().to_owned(), b.as_str().to_owned()]).collect(),
        deleted: info.deleted,
        imported: info.imported,
    }
    .encode_to_vec()
}

pub(crate) fn decode_room(id: &RoomId, bytes: &[u8]) -> Result<RoomInfo, StoreError> {
    let read = || {
        let record = RoomRecord::decode(bytes).ok()?;
        let direct_pair = match record.direct_pair.as_slice() {
            [] => None,
            [a, b] => Some((UserId::parse(a).ok()?, UserId::parse(b).ok()?)),
            _ => return None,
        };
        Some(RoomInfo {
            id: id.clone(),
            kind: stored::kind_from(record.kind),
            settings: stored::settings_from(record.settings.as_ref()?),
            created_at: Timestamp(record.created_at_ms),
            created_by: UserId::parse(&record.created_by).ok()?,
            floor: record.floor_seq,
            epoch: record.epoch,
            direct_pair,
            deleted: record.deleted,
            imported: record.imported,
        })
    };
    read().ok_or_else(|| damaged("the item", format_args!("room {id}")))
}

pub(crate) fn encode_member(member: &Member) -> Vec<u8> {
    MemberRecord {
        role: stored::role(member.role),
        intervals: member.intervals.iter().map(stored::interval).collect(),
        standing: stored::standing(member.standing),
        left_with: member.left_with.as_ref().map(stored::settings),
        ban_ends_ms: member.ban_ends.map_or(0, |ends| ends.0),
        muted_until_ms: member.mute.map(|mute| mute.until.map_or(0, |until| until.0)),
        data: data::to_struct(&member.data.values),
        data_seq: member.data.seq,
    }
    .encode_to_vec()
}

/// A moment, unless it is 0: there is none.
pub(crate) fn moment(millis: u64) -> Option<Timestamp> {
    (millis != 0).then_some(Timestamp(millis))
}

pub(crate) fn decode_member(room: &RoomId, user: &UserId, bytes: &[u8]) -> Result<Member, StoreError> {
    let read = || {
        let record = MemberRecord::decode(bytes).ok()?;
        let member = Member {
            user: user.clone(),
            role: stored::role_from(record.role),
            intervals: record.intervals.iter().map(stored::interval_from).collect(),
            standing: stored::standing_from(record.standing),
            left_with: record.left_with.as_ref().map(stored::settings_from),
            ban_ends: moment(record.ban_ends_ms),
            mute: record.muted_until_ms.map(|until| Mute { until: moment(until) }),
            data: MemberData::default(),
        };
        let values = record.data.as_ref().map(data::stored).unwrap_or_default();
        Some(member.with_data(MemberData { values, seq: record.data_seq }))
    };
    read().ok_or_else(|| damaged("the member row", format_args!("{user} in room {room}")))
}

/// The stored mark of a hidden room, which has no count of deleted messages.
pub(crate) fn hidden(seq: u64, message_count: u64) -> Mark {
    Mark { seq, message_count, deleted_count: 0 }
}

/// A user's row of a room, without the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) cursors: Cursors,
    pub(crate) preferences: Preferences,
}

pub(crate) fn encode_place(Place { cursors, preferences }: &Place) -> Vec<u8> {
    CursorsRecord {
        delivered_seq: cursors.delivered,
        read_seq: cursors.read.seq,
        read_message_count: cursors.read.message_count,
        read_deleted_count: cursors.read.deleted_count,
        hidden_seq: preferences.hidden.seq,
        hidden_message_count: preferences.hidden.message_count,
        pinned_at: preferences.pinned_at,
        muted_at: preferences.muted_at,
        muted_until_ms: preferences.muted_until.0,
        unread_at: preferences.unread_at,
    }
    .encode_to_vec()
}

pub(crate) fn decode_place(room: &RoomId, user: &UserId, bytes: &[u8]) -> Result<Place, StoreError> {
    let record = CursorsRecord::decode(bytes)
        .map_err(|_| damaged("the cursors", format_args!("{user} in room {room}")))?;
    let cursors = Cursors {
        delivered: record.delivered_seq,
        read: Mark {
            seq: record.read_seq,
            message_count: record.read_message_count,
            deleted_count: record.read_deleted_count,
        },
    };
    let preferences = Preferences {
        hidden: hidden(record.hidden_seq, record.hidden_message_count),
        pinned_at: record.pinned_at,
        muted_at: record.muted_at,
        muted_until: Timestamp(record.muted_until_ms),
        unread_at: record.unread_at,
    };
    Ok(Place { cursors, preferences })
}

pub(crate) fn encode_overlay(overlay: &Overlay) -> Vec<u8> {
    let edited = overlay.edited.as_ref();
    let record = OverlayRecord {
        changed_seq: overlay.changed,
        text: edited.map(|(text, _)| text.as_str().to_owned()),
        edited_at_ms: edited.map_or(0, |(_, at)| at.0),
        deleted: overlay.deleted,
        reactions: stored::reactions(overlay),
        data: overlay.data.as_ref().map(data::whole_struct),
    };
    let unknown = overlay.unknown.bytes();
    let mut bytes = Vec::with_capacity(unknown.len() + record.encoded_len());
    bytes.extend_from_slice(unknown);
    record.encode_raw(&mut bytes);
    bytes
}

pub(crate) fn decode_overlay(room: &RoomId, seq: u64, bytes: &[u8]) -> Result<Overlay, StoreError> {
    let read = || {
        let record = OverlayRecord::decode(bytes).ok()?;
        let unknown = if record.encoded_len() == bytes.len() {
            Unknown::default()
        } else {
            Unknown::new(unknown_fields(bytes, &record.encode_to_vec()))
        };
        let edited = record.text.map(|text| (Text::stored(&text), Timestamp(record.edited_at_ms)));
        // Variation selectors once distinguished reactions: these are merged.
        let mut reactions: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for reaction in record.reactions {
            let users: Option<Vec<_>> =
                reaction.user_ids.iter().map(|user| UserId::parse(user).ok()).collect();
            reactions.entry(Emoji::stored(&reaction.emoji)).or_default().extend(users?);
        }
        let data = record.data.as_ref().map(data::stored);
        let (changed, deleted) = (record.changed_seq, record.deleted);
        Some(Overlay { changed, edited, data, deleted, reactions, unknown })
    };
    read().ok_or_else(|| damaged("the overlay", format_args!("message {seq} in room {room}")))
}

pub(crate) fn state_number(state: UserState) -> u32 {
    match state {
        UserState::Active => 0,
        UserState::Deactivated => 1,
        UserState::Deleted => 2,
    }
}

/// A state of a later version may do nothing.
pub(crate) fn state_from(number: u64) -> UserState {
    match number {
        0 => UserState::Active,
        2 => UserState::Deleted,
        _ => UserState::Deactivated,
    }
}

pub(crate) fn encode_user(user: &User) -> Vec<u8> {
    UserRecord {
        name: user.name.as_str().to_owned(),
        created_at_ms: user.created_at.0,
        updated_at_ms: user.updated_at.0,
        image_url: user.image.as_str().to_owned(),
        data: data::to_struct(&user.data),
        state: state_number(user.state),
    }
    .encode_to_vec()
}

pub(crate) fn decode_user(id: &UserId, bytes: &[u8]) -> Result<User, StoreError> {
    let read = || {
        let record = UserRecord::decode(bytes).ok()?;
        Some(User {
            id: id.clone(),
            name: Name::stored(&record.name),
            created_at: Timestamp(record.created_at_ms),
            updated_at: Timestamp(record.updated_at_ms),
            image: ImageUrl::stored(&record.image_url),
            data: record.data.as_ref().map(data::stored).unwrap_or_default(),
            state: state_from(record.state.into()),
        })
    };
    read().ok_or_else(|| damaged("the item", format_args!("user {id}")))
}

/// A user of a list, from which one who cannot be read is left out.
pub(crate) fn listed_user(read: Result<User, StoreError>) -> Option<Result<User, StoreError>> {
    match read {
        Err(StoreError::Damaged(what)) => {
            tracing::error!(what, "cannot read a user of a list, leaving them out");
            None
        }
        read => Some(read),
    }
}

pub(crate) fn encode_blocks(blocks: &Blocks) -> Vec<u8> {
    let block = |(user, since): (&UserId, Timestamp)| BlockRecord {
        user_id: user.as_str().to_owned(),
        since_ms: since.0,
    };
    BlocksRecord { blocks: blocks.iter().map(block).collect() }.encode_to_vec()
}

pub(crate) fn decode_blocks(user: &UserId, bytes: &[u8]) -> Result<Blocks, StoreError> {
    let read = || {
        let record = BlocksRecord::decode(bytes).ok()?;
        let block =
            |block: BlockRecord| Some((UserId::parse(&block.user_id).ok()?, Timestamp(block.since_ms)));
        record.blocks.into_iter().map(block).collect::<Option<Blocks>>()
    };
    read().ok_or_else(|| damaged("the blocks", user))
}

pub(crate) fn encode_listed(members: u64) -> Vec<u8> {
    ListedRecord { member_count: members }.encode_to_vec()
}

pub(crate) fn decode_listed(room: &RoomId, bytes: &[u8]) -> Result<u64, StoreError> {
    let record =
        ListedRecord::decode(bytes).map_err(|_| damaged("the listing", format_args!("room {room}")))?;
    Ok(record.member_count)
}

#[cfg(test)]
mod tests {
    use parlance_proto::storage::v1;

    use super::*;

    #[test]
    fn reactions_that_differ_in_variation_selectors_are_joined() {
        let reaction = |emoji: &str, users: &[&str]| v1::Reaction {
            emoji: emoji.to_owned(),
            user_ids: users.iter().map(|&user| user.to_owned()).collect(),
        };
        let reactions = vec![reaction("👍", &["ann", "bob"]), reaction("👍\u{fe0f}", &["bob", "cat"])];
        let record = OverlayRecord { changed_seq: 9, reactions, ..Default::default() };
        let room = RoomId::parse("room").unwrap();
        let overlay = decode_overlay(&room, 5, &record.encode_to_vec()).unwrap();
        let everyone = ["ann", "bob", "cat"].map(|user| UserId::parse(user).unwrap()).into();
        assert_eq!(overlay.reactions, [(Emoji::parse("👍").unwrap(), everyone)].into());
    }
}
