//! The common form of reads: consistent, counted, and retried on a conflict with a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Get, KeysAndAttributes, ReturnConsumedCapacity, TransactGetItem,
};

use super::backoff::pause;
use super::error::{Cancelled, store_error};
use super::item::{self, Item, text};
use super::limits::{BATCH_GET, MAX_CONFLICTS};
use super::{Dynamo, units};
use crate::StoreError;

/// A range of items in one partition.
pub(super) struct Range<'a> {
    /// The operation its units are counted under.
    pub(super) operation: &'static str,
    pub(super) table: &'a str,
    /// The partition key's name and value.
    pub(super) partition: (&'static str, &'a str),
    /// The sort key's name, and its inclusive bounds.
    pub(super) sort: &'static str,
    pub(super) low: AttributeValue,
    pub(super) high: AttributeValue,
    /// Whether to read in descending order.
    pub(super) backwards: bool,
}

/// Where a range continues.
pub(super) enum Next {
    At(Item),
    End,
}

impl Dynamo {
    /// Puts an item if `condition` holds. Returns whether it did: otherwise another node was faster, or a retry has
    /// met our own first attempt, and the item has to be read again.
    pub(super) async fn put_if(
        &self,
        operation: &'static str,
        table: &str,
        item: Item,
        condition: impl FnOnce(PutItemFluentBuilder) -> PutItemFluentBuilder,
    ) -> Result<bool, StoreError> {
        let size = item::size(&item);
        let put = condition(self.client.put_item().table_name(table).set_item(Some(item)));
        match put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await {
            Ok(answer) => {
                units::written(operation, answer.consumed_capacity());
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => {
                    units::refused(operation, size);
                    Ok(false)
                }
                _ => Err(store_error(operation, error)),
            },
        }
    }

    /// One item.
    pub(super) async fn get(
        &self,
        operation: &'static str,
        table: &str,
        key: Item,
    ) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| store_error(operation, error))?;
        units::read(operation, answer.consumed_capacity());
        Ok(answer.item)
    }

    /// One item, never in the middle of a transaction. Other reads see a transaction item by item: a reader that has
    /// seen its chunk may still get the earlier row. Costs twice as much; for rows that decisions depend on.
    pub(super) async fn get_settled(
        &self,
        operation: &'static str,
        table: &str,
        key: Item,
    ) -> Result<Option<Item>, StoreError> {
        Ok(self.get_all_settled(operation, table, &[key]).await?.pop())
    }

    /// The existing items among `keys`, in any order; each read as by [`Self::get_settled`].
    pub(super) async fn get_all_settled(
        &self,
        operation: &'static str,
        table: &str,
        keys: &[Item],
    ) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH_GET) {
            found.extend(self.transact_get(operation, table, batch).await?);
        }
        Ok(found)
    }

    async fn transact_get(
        &self,
        operation: &'static str,
        table: &str,
        keys: &[Item],
    ) -> Result<impl Iterator<Item = Item> + use<>, StoreError> {
        let mut wanted = Vec::with_capacity(keys.len());
        for key in keys {
            let get = Get::builder().table_name(table).set_key(Some(key.clone())).build();
            wanted.push(TransactGetItem::builder().get(get.map_err(unbuilt)?).build());
        }
        for attempt in 0..MAX_CONFLICTS {
            let answer = self
                .client
                .transact_get_items()
                .set_transact_items(Some(wanted.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            match answer {
                Ok(answer) => {
                    units::read(operation, answer.consumed_capacity());
                    let responses = answer.responses.unwrap_or_default();
                    return Ok(responses.into_iter().filter_map(|response| response.item));
                }
                Err(error) => match error.as_service_error() {
                    Some(TransactGetItemsError::TransactionCanceledException(cancelled)) => {
                        if Cancelled::from(cancelled.cancellation_reasons()) != Cancelled::Busy {
                            return Err(store_error(operation, error));
                        }
                        pause(attempt).await;
                    }
                    _ => return Err(store_error(operation, error)),
                },
            }
        }
        Err(StoreError::Overloaded)
    }

    /// The existing items among `keys`, in any order.
    pub(super) async fn get_many(
        &self,
        operation: &'static str,
        table: &str,
        keys: Vec<Item>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        for batch in keys.chunks(BATCH_GET) {
            let mut left = batch.to_vec();
            let mut attempt = 0;
            while !left.is_empty() {
                let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true);
                let answer = self
                    .client
                    .batch_get_item()
                    .set_request_items(Some(HashMap::from([(
                        table.to_owned(),
                        wanted.build().map_err(unbuilt)?,
                    )])))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await
                    .map_err(|error| store_error(operation, error))?;
                units::read(operation, answer.consumed_capacity());
                found.extend(answer.responses.unwrap_or_default().into_values().flatten());
                // Keys that were left for lack of capacity.
                left = answer
                    .unprocessed_keys
                    .unwrap_or_default()
                    .into_values()
                    .flat_map(|keys| keys.keys)
                    .collect();
                if !left.is_empty() {
                    if attempt == MAX_CONFLICTS {
                        return Err(StoreError::Overloaded);
                    }
                    pause(attempt).await;
                    attempt += 1;
                }
            }
        }
        Ok(found)
    }

    /// Up to `limit` items of a range from `start` on: fewer if a page fills up before.
    pub(super) async fn page(
        &self,
        range: &Range<'_>,
        limit: usize,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Next), StoreError> {
        let answer = self
            .client
            .query()
            .table_name(range.table)
            .key_condition_expression("#p = :p AND #s BETWEEN :low AND :high")
            .expression_attribute_names("#p", range.partition.0)
            .expression_attribute_names("#s", range.sort)
            .expression_attribute_values(":p", text(range.partition.1))
            .expression_attribute_values(":low", range.low.clone())
            .expression_attribute_values(":high", range.high.clone())
            .scan_index_forward(!range.backwards)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| store_error(range.operation, error))?;
        units::read(range.operation, answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), next(answer.last_evaluated_key)))
    }

    /// Up to `limit` items of a range, over as many pages as necessary.
    pub(super) async fn run(&self, range: &Range<'_>, limit: usize) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        while items.len() < limit {
            let (page, next) = self.page(range, limit - items.len(), start).await?;
            items.extend(page);
            match next {
                Next::At(key) => start = Some(key),
                Next::End => break,
            }
        }
        Ok(items)
    }

    /// Up to `limit` items of a range without those that cannot be read, in whose places others are read: one hides no
    /// others.
    pub(super) async fn run_readable<T>(
        &self,
        range: &Range<'_>,
        limit: usize,
        read: impl Fn(&Item) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let (mut found, mut start) = (Vec::new(), None);
        while found.len() < limit {
            let (page, next) = self.page(range, limit - found.len(), start).await?;
            for item in &page {
                match read(item) {
                    Ok(row) => found.push(row),
                    Err(error) => tracing::error!(%error, "cannot read a row of a list, leaving it out"),
                }
            }
            match next {
                Next::At(key) => start = Some(key),
                Next::End => break,
            }
        }
        Ok(found)
    }
}

pub(super) fn next(key: Option<Item>) -> Next {
    match key {
        Some(key) if !key.is_empty() => Next::At(key),
        _ => Next::End,
    }
}

/// A request with a missing field: a bug here, not in the service.
pub(super) fn unbuilt(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Refused(error.to_string())
}
