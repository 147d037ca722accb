use parlance_core::RoomId;
use parlance_core::limits::MAX_CURSORS;
use parlance_proto::v1;
use parlance_runtime::map::HashMap;

use crate::error::Error;

/// A position that the client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
}

/// The positions that a hello names, by room.
pub(crate) fn by_room(cursors: &[v1::Cursor]) -> Result<HashMap<RoomId, Cursor>, Error> {
    if cursors.len() > MAX_CURSORS {
        return Err(Error::Field("hello.cursors".to_owned(), format!("must be at most {MAX_CURSORS}")));
    }
    let mut parsed = HashMap::with_capacity_and_hasher(cursors.len(), Default::default());
    for (index, cursor) in cursors.iter().enumerate() {
        let name = format!("hello.cursors[{index}].room_id");
        let room =
            RoomId::parse(&cursor.room_id).map_err(|error| Error::Field(name.clone(), error.to_string()))?;
        if parsed.insert(room, Cursor { seq: cursor.seq, epoch: cursor.epoch }).is_some() {
            return Err(Error::Field(name, "is named twice".to_owned()));
        }
    }
    Ok(parsed)
}
