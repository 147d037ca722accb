use parlance_core::{Body, RoomId};

use super::handle::Dynamo;
use super::rooms;
use crate::StoredRoom;
use crate::error::StoreError;
use crate::identity::Identity;

impl Dynamo {
    /// Reads a room and its tail.
    pub(super) async fn stored_room(
        &self,
        operation: &'static str,
        id: &RoomId,
    ) -> Result<Option<StoredRoom>, StoreError> {
        let mut tail = self.tail(operation, id).await?;
        // Read after the tail, so that it is not older.
        let item = self.get(operation, &self.tables.rooms, rooms::room_key(id)).await?;
        if tail.is_none() && item.is_some() {
            // Created in between, or incomplete.
            tail = self.tail(operation, id).await?;
        }
        match (item, tail) {
            (None, None) => Ok(None),
            (Some(item), Some(tail)) => {
                let mut info = rooms::room(id, &item)?;
                // A transaction becomes visible item by item: the log is never behind.
                for event in tail.events() {
                    match &event.body {
                        Body::RoomChanged { settings } => info.settings = settings.clone(),
                        Body::Message(message) => {
                            let number = message.imported.map_or(0, |imported| imported.number);
                            info.imported = info.imported.max(number);
                        }
                        Body::RoomDeleted => (info.deleted, info.floor) = (true, event.seq),
                        _ => {}
                    }
                }
                Ok(Some(Identity::raise(self.settled().await?.epoch, StoredRoom { info, tail })))
            }
            // Not a fresh start: a room is created together with its first chunk.
            (Some(_), None) => Err(StoreError::Damaged(format!("room {id} has no log"))),
            (None, Some(_)) => self.appearing_room(operation, id).await,
        }
    }

    /// Reads a room whose log exists, but whose item did not a moment ago.
    async fn appearing_room(
        &self,
        operation: &'static str,
        id: &RoomId,
    ) -> Result<Option<StoredRoom>, StoreError> {
        let item = self.get_settled(operation, &self.tables.rooms, rooms::room_key(id)).await?;
        let item = item.ok_or_else(|| StoreError::Damaged(format!("room {id} has a log and no item")))?;
        let tail = self.tail(operation, id).await?;
        let tail = tail.ok_or_else(|| StoreError::Damaged(format!("room {id} has no log")))?;
        let room = StoredRoom { info: rooms::room(id, &item)?, tail };
        Ok(Some(Identity::raise(self.settled().await?.epoch, room)))
    }
}
