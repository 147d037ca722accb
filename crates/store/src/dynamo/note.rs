//! The note that nodes leave for each other: an item of the table `rooms` under a key that no room
//! has.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#note`, `#` |
//! | `note` | S | whatever the last node left |

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::error::store_error;
use super::item::{self, Item, get_text, text};
use super::{Dynamo, rooms, units};
use crate::StoreError;

const OPERATION: &str = "note";
/// No room has this id: it is none.
const KEY: &str = "#note";
const NOTE: &str = "note";

impl Dynamo {
    pub(super) async fn read_note(&self) -> Result<Option<String>, StoreError> {
        let item = self.get(OPERATION, &self.tables.rooms, key()).await?;
        Ok(item.and_then(|item| get_text(&item, NOTE).map(ToOwned::to_owned)))
    }

    pub(super) async fn put_note(&self, note: &str) -> Result<(), StoreError> {
        let mut item = key();
        item.extend(item::item([(NOTE, text(note))]));
        let put = self.client.put_item().table_name(&self.tables.rooms).set_item(Some(item));
        let answer = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let answer = answer.map_err(|error| store_error(OPERATION, error))?;
        units::written(OPERATION, answer.consumed_capacity());
        Ok(())
    }
}

fn key() -> Item {
    item::item([(rooms::ROOM, text(KEY)), (rooms::ITEM, text("#"))])
}
