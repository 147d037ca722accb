//! Revoked tokens: numbered items of the table `rooms` under a key that no room has. The last item is never removed,
//! so a reader that has read up to a place finds new items after it.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#revocations`, the place in 20 digits |
//! | `revocation` | S | see [`crate::revocations`] |
//!
//! The item `lives` has `lives` (S) instead, see [`crate::token_lives`].

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use futures::{StreamExt, stream};
use parlance_core::RevocationEntry;

use super::calls::Range;
use super::error::store_error;
use super::item::{self, Item, get_text, text};
use super::limits::{REVOKE_TRIES, TRIMMED, TRIMMED_AT_ONCE, TRIMMED_PAGE};
use super::{Dynamo, rooms, units};
use crate::StoreError;
use crate::record::damaged;
use crate::revocations::{IsOver, RevocationList, TokenLives, decode, encode};

const OPERATION: &str = "revocations";
/// Not a valid room id.
const KEY: &str = "#revocations";
const REVOCATION: &str = "revocation";
/// An item and its attribute. Sorted behind all places.
const LIVES: &str = "lives";

#[async_trait]
impl RevocationList for Dynamo {
    async fn revoke(&self, entry: &RevocationEntry) -> Result<(), StoreError> {
        for _ in 0..REVOKE_TRIES {
            let range = self.behind(0, true);
            let last = self.run(&range, 1).await?.first().map(place).transpose()?.unwrap_or(0);
            let item = item::item([
                (rooms::ROOM, text(KEY)),
                (rooms::ITEM, text(&sort_key(last + 1))),
                (REVOCATION, text(&encode(entry))),
            ]);
            let is_written = self.put_if(OPERATION, &self.tables.rooms, item, |put| {
                put.condition_expression("attribute_not_exists(#i)")
                    .expression_attribute_names("#i", rooms::ROOM)
            });
            // Otherwise the place is taken by another node's entry, or by this one's first attempt: a
            // duplicate is harmless.
            if is_written.await? {
                return Ok(());
            }
        }
        Err(StoreError::Overloaded)
    }

    async fn revoked_after(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<RevocationEntry>, u64), StoreError> {
        let (mut found, mut last) = (Vec::new(), after);
        for item in self.run(&self.behind(after, false), limit).await? {
            last = place(&item)?;
            found.push(decode(get_text(&item, REVOCATION).unwrap_or_default())?);
        }
        Ok((found, last))
    }

    async fn trim(&self, is_over: &IsOver<'_>) -> Result<usize, StoreError> {
        let newest = self.run(&self.behind(0, true), 1).await?.first().map(place).transpose()?;
        let Some(newest) = newest else { return Ok(0) };
        let (mut after, mut removed) = (0, 0);
        loop {
            let page = self.run(&self.behind(after, false), TRIMMED_PAGE).await?;
            let mut over = Vec::new();
            for item in &page {
                after = place(item)?;
                let entry = decode(get_text(item, REVOCATION).unwrap_or_default())?;
                if after < newest && is_over(after, &entry) {
                    over.push(after);
                }
            }
            removed += over.len();
            let mut removing = stream::iter(over.into_iter().map(|place| self.remove_revocation(place)))
                .buffer_unordered(TRIMMED_AT_ONCE);
            while let Some(done) = removing.next().await {
                done?;
            }
            if page.len() < TRIMMED_PAGE || removed >= TRIMMED {
                return Ok(removed);
            }
        }
    }

    async fn record_lives(&self, lives: TokenLives, before: TokenLives) -> Result<TokenLives, StoreError> {
        let key = || item::item([(rooms::ROOM, text(KEY)), (rooms::ITEM, text(LIVES))]);
        for _ in 0..REVOKE_TRIES {
            let found = self.get(OPERATION, &self.tables.rooms, key()).await?;
            let found = found.map(|item| get_text(&item, LIVES).unwrap_or_default().to_owned());
            let stored = found.as_deref().map(TokenLives::decode).transpose()?;
            let longest = stored.unwrap_or(before).max(lives);
            if stored == Some(longest) {
                return Ok(longest);
            }
            let mut item = key();
            item.insert(LIVES.to_owned(), text(&longest.encode()));
            let is_written = self.put_if(OPERATION, &self.tables.rooms, item, |put| {
                let put = put.expression_attribute_names("#l", LIVES);
                match &found {
                    Some(found) => {
                        put.condition_expression("#l = :l").expression_attribute_values(":l", text(found))
                    }
                    None => put.condition_expression("attribute_not_exists(#l)"),
                }
            });
            if is_written.await? {
                return Ok(longest);
            }
        }
        Err(StoreError::Overloaded)
    }
}

impl Dynamo {
    async fn remove_revocation(&self, place: u64) -> Result<(), StoreError> {
        let key = item::item([(rooms::ROOM, text(KEY)), (rooms::ITEM, text(&sort_key(place)))]);
        let delete = self
            .client
            .delete_item()
            .table_name(&self.tables.rooms)
            .set_key(Some(key))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = delete.send().await.map_err(|error| store_error(OPERATION, error))?;
        units::written(OPERATION, answer.consumed_capacity());
        Ok(())
    }

    fn behind(&self, after: u64, backwards: bool) -> Range<'_> {
        Range {
            operation: OPERATION,
            table: &self.tables.rooms,
            partition: (rooms::ROOM, KEY),
            sort: rooms::ITEM,
            low: text(&sort_key(after.saturating_add(1))),
            high: text(&sort_key(u64::MAX)),
            backwards,
        }
    }
}

fn sort_key(place: u64) -> String {
    format!("{place:020}")
}

fn place(item: &Item) -> Result<u64, StoreError> {
    let place = get_text(item, rooms::ITEM).and_then(|place| place.parse().ok());
    place.ok_or_else(|| damaged("an item", "the revoked tokens"))
}
