//! Whom users block: one item for each, in the table `user_rooms`, before all rooms. It is in the stream of the table, whose
//! readers ignore it, since its key is no room's.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id`, `room_id` | S | the user, and a text that is no id |
//! | `blocks` | B | a `BlocksRecord` |

use parlance_core::{Blocks, Timestamp, UserId};
use parlance_proto::storage::v1::BlocksRecord;

use super::backoff::pause;
use super::item::{self, Item, bytes, get_bytes, text};
use super::limits::MAX_CONFLICTS;
use super::{Dynamo, user_rooms};
use crate::record::{carry_unknown, decode_blocks, encode_blocks};
use crate::{BlockError, StoreError};

/// In place of a room's id: sorts before all of them.
const ITEM: &str = " blocks";
const BLOCKS: &str = "blocks";

const READ: &str = "blocks";
const WRITE: &str = "set_block";

fn key(user: &UserId) -> Item {
    item::item([(user_rooms::USER, text(user.as_str())), (user_rooms::ROOM, text(ITEM))])
}

impl Dynamo {
    async fn stored_blocks(
        &self,
        operation: &'static str,
        user: &UserId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let item = self.get(operation, &self.tables.user_rooms, key(user)).await?;
        Ok(item.as_ref().and_then(|item| get_bytes(item, BLOCKS)).map(<[u8]>::to_vec))
    }

    pub(super) async fn blocks_of(&self, user: &UserId) -> Result<Blocks, StoreError> {
        let stored = self.stored_blocks(READ, user).await?;
        stored.map_or_else(|| Ok(Blocks::default()), |stored| decode_blocks(user, &stored))
    }

    /// Replaces the item if it is still as it was read.
    pub(super) async fn change_blocks(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        for attempt in 0..MAX_CONFLICTS {
            let stored = self.stored_blocks(WRITE, user).await?;
            let mut blocks = match &stored {
                Some(stored) => decode_blocks(user, stored)?,
                None => Blocks::default(),
            };
            if !blocks.set(other, since)? {
                return Ok(blocks);
            }
            let row = encode_blocks(&blocks);
            let row = match &stored {
                Some(stored) => carry_unknown::<BlocksRecord>(stored, row),
                None => row,
            };
            let mut item = key(user);
            item.insert(BLOCKS.to_owned(), bytes(row));
            let replaced = self.put_if(WRITE, &self.tables.user_rooms, item, |put| {
                let put = put.expression_attribute_names("#b", BLOCKS);
                match stored {
                    Some(stored) => {
                        put.condition_expression("#b = :b").expression_attribute_values(":b", bytes(stored))
                    }
                    None => put.condition_expression("attribute_not_exists(#b)"),
                }
            });
            // A refusal may be due to our own first attempt, whose answer was lost: then nothing changes next time.
            if replaced.await? {
                return Ok(blocks);
            }
            pause(attempt).await;
        }
        Err(StoreError::Overloaded.into())
    }
}
