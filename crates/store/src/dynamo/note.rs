//! The note that nodes leave for each other: an item of the table `rooms` under a key that no room
//! has.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#note`, `#` |
//! | `note` | S | whatever the last node left |

use super::item::{self, get_text, text};
use super::{Dynamo, rooms};
use crate::StoreError;

const OPERATION: &str = "note";
/// Not a valid room id.
const KEY: &str = "#note";
const NOTE: &str = "note";

impl Dynamo {
    pub(super) async fn read_note(&self) -> Result<Option<String>, StoreError> {
        let item = self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await?;
        Ok(item.and_then(|item| get_text(&item, NOTE).map(ToOwned::to_owned)))
    }

    pub(super) async fn put_note(&self, note: &str) -> Result<(), StoreError> {
        let mut item = rooms::reserved(KEY);
        item.extend(item::item([(NOTE, text(note))]));
        // Unconditional: only the fact that it changes matters.
        self.put_if(OPERATION, &self.tables.rooms, item, |put| put).await.map(drop)
    }
}
