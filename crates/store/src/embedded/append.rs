use parlance_core::{Append, Creation, Cursors, RoomId};
use parlance_proto::storage::v1::{CursorsRecord, MemberRecord};

use super::invitation_rows::Rows;
use super::tables::Table;
use super::transaction::Transaction;
use super::{keys, listed_rows};
use crate::record::{
    Place, carry_unknown, carry_unknown_of_room, decode_place, decode_room, encode_member, encode_overlay,
    encode_place, encode_room,
};
use crate::{AppendError, Created, StoreError, StoredRoom};

/// Stores a new room, or returns the existing one.
pub(super) fn create(txn: &mut Transaction, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
    let Creation { info, append } = creation;
    let key = keys::id(info.id.as_str());
    if let Some(bytes) = txn.get(Table::Rooms, &key)? {
        let info = decode_room(&info.id, &bytes)?;
        let tail = txn.tail(&info.id)?;
        return Ok(Created::Existing(StoredRoom { info, tail }));
    }
    let tail = append.chunk.clone();
    write(txn, &info.id, append)?;
    txn.put(Table::Rooms, key, encode_room(&info));
    Ok(Created::New(StoredRoom { info, tail }))
}

/// Appends if the room's head is still the one that the append expects.
pub(super) fn append(txn: &mut Transaction, room: &RoomId, append: Append) -> Result<(), AppendError> {
    let expected = append.expected;
    // Only `create` starts a room.
    let follows = expected.seq() > 0 && expected.seq() + 1 == append.chunk.first_seq();
    if !follows || txn.head(room)? != expected {
        return Err(AppendError::HeadMoved);
    }
    Ok(write(txn, room, append)?)
}

/// Writes an append whose conditions hold.
fn write(txn: &mut Transaction, room: &RoomId, append: Append) -> Result<(), StoreError> {
    // Reads first: a failing operation must not have written anything.
    let mut moved: Vec<(Vec<u8>, Place, Option<Vec<u8>>)> =
        Vec::with_capacity(append.joins.len() + append.sent.len());
    // The first event to receive is the user's own join.
    let joins =
        append.joins.iter().map(|(user, mark)| (user, Cursors { delivered: mark.seq - 1, read: *mark }));
    // Sending does not mark anything as received.
    let sent = append.sent.iter().map(|(user, mark)| (user, Cursors { delivered: 0, read: *mark }));
    for (user, to) in joins.chain(sent) {
        let key = keys::pair(user.as_str(), room.as_str());
        if let Some((_, place, _)) = moved.iter_mut().find(|(known, ..)| *known == key) {
            place.cursors.advance(to);
            continue;
        }
        let stored = txn.get(Table::UserRooms, &key)?;
        let mut place = match &stored {
            Some(bytes) => decode_place(room, user, bytes)?,
            None => Place::default(),
        };
        place.cursors.advance(to);
        moved.push((key, place, stored));
    }
    let mut members = Vec::with_capacity(append.members.len());
    for member in &append.members {
        let key = keys::pair(room.as_str(), member.user.as_str());
        let row = match txn.get(Table::Members, &key)? {
            Some(stored) => carry_unknown::<MemberRecord>(&stored, encode_member(member)),
            None => encode_member(member),
        };
        members.push((key, row));
    }
    let changed_room = match &append.info {
        Some(info) => {
            let key = keys::id(room.as_str());
            let Some(bytes) = txn.get(Table::Rooms, &key)? else {
                return Err(StoreError::Damaged(format!("room {room} has a log and no item")));
            };
            let mut stored = decode_room(room, &bytes)?;
            stored.update(info);
            Some((key, carry_unknown_of_room(&bytes, &stored)))
        }
        None => None,
    };
    let invitations = append.invitations.as_ref().map(|change| Rows::read(txn, room, change)).transpose()?;
    let listing = append.listing.as_ref().map(|change| listed_rows::Rows::read(txn, change)).transpose()?;

    txn.put_chunk(room, &append.chunk);
    let changed = append.members.iter().map(|member| (room.clone(), member.user.clone()));
    txn.changes.members.extend(changed);
    for (key, row) in members {
        txn.put(Table::Members, key, row);
    }
    for (seq, overlay) in &append.overlays {
        txn.put(Table::Overlays, keys::chunk(room, *seq), encode_overlay(overlay));
    }
    for (key, place, stored) in moved {
        let row = match stored {
            Some(stored) => carry_unknown::<CursorsRecord>(&stored, encode_place(&place)),
            None => encode_place(&place),
        };
        txn.put(Table::UserRooms, key, row);
    }
    if let Some((key, row)) = changed_room {
        txn.put(Table::Rooms, key, row);
    }
    if let Some(rows) = invitations {
        rows.write(txn);
    }
    if let Some(rows) = listing {
        rows.write(txn);
    }
    Ok(())
}
