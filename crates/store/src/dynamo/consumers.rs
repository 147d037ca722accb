//! The table of consumers and their leases. It has no stream, so changes to it are not in the feed.
//!
//! | attribute | | |
//! |---|---|---|
//! | `consumer`, `item` | S | `#consumers` and a name: a consumer; a name and a room: its progress there; `#leases` and a name: its lease |
//! | `v` | B | the record, in the same form as in the embedded store |
//! | `w` | N | orders all writes of the consumer: the term of the lease, and the number of the write in 32 bits |
//! | `owner`, `n` | S, N | the holder of a lease, and how often it was renewed |

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{DeleteRequest, PutRequest, ReturnConsumedCapacity, WriteRequest};
use futures::{StreamExt, stream};
use parlance_core::RoomId;
use parlance_proto::storage::v1::ConsumerRecord;

use super::backoff::pause;
use super::calls::{Next, Range, unbuilt};
use super::error::{CallError, store_error};
use super::item::{self, Item, bytes, get_bytes, get_number, get_text, number, text};
use super::limits::{BATCH_WRITE, MAX_CONFLICTS, PENDING_SCAN, ROWS_AT_ONCE};
use super::{BEFORE_IDS, BEHIND_IDS, Dynamo, units};
use crate::StoreError;
use crate::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, Fence, Lease, LeaseTable, ListedConsumer,
    Removed, RoomPage, RoomProgress, Wanted,
};
use crate::feed_record::{
    decode_consumer, decode_progress, encode_consumer, encode_progress, unreadable_progress,
};
use crate::record::{carry_unknown, damaged};

pub(super) const CONSUMER: &str = "consumer";
pub(super) const ITEM: &str = "item";
const RECORD: &str = "v";
const FENCE: &str = "w";
/// Condition: no later write has been stored. Equality allows a retry whose first answer was lost.
const NOT_LATER: &str = "attribute_not_exists(#w) OR #w <= :w";
/// Not valid names of consumers.
const CONSUMERS: &str = "#consumers";
const LEASES: &str = "#leases";

/// Bits for the number of a write within the term of a lease: at two a second, 60 years.
const WRITE_BITS: u32 = 32; // format

const READ: &str = "consumer";
const WRITE: &str = "write_consumer";
const LEASE: &str = "lease";

fn key(partition: &str, sort: &str) -> Item {
    item::item([(CONSUMER, text(partition)), (ITEM, text(sort))])
}

fn record<'a>(name: &ConsumerName, item: &'a Item) -> Result<&'a [u8], StoreError> {
    get_bytes(item, RECORD).ok_or_else(|| damaged("the row", format_args!("consumer {name}")))
}

/// The progress in a room. A row that names no room is left out: other rooms go on.
fn room_row(name: &ConsumerName, item: &Item) -> Option<(RoomId, RoomProgress)> {
    let Some(room) = get_text(item, ITEM).and_then(|id| RoomId::parse(id).ok()) else {
        tracing::error!(consumer = %name, "a row of a consumer names no room");
        return None;
    };
    let progress = match get_bytes(item, RECORD) {
        Some(bytes) => decode_progress(name, &room, bytes),
        None => unreadable_progress(name, &room),
    };
    Some((room, progress))
}

impl Dynamo {
    fn range_of<'a>(&'a self, partition: &'a str, after: Option<&str>) -> Range<'a> {
        Range {
            operation: READ,
            table: &self.tables.consumers,
            partition: (CONSUMER, partition),
            sort: ITEM,
            low: text(&after.map_or_else(|| BEFORE_IDS.to_string(), |id| format!("{id}{BEFORE_IDS}"))),
            high: text(&BEHIND_IDS.to_string()),
            backwards: false,
        }
    }

    /// Puts a row unless it was written later, and returns whether it was put.
    async fn put_fenced(&self, mut row: Item, fence: Option<Fence>) -> Result<bool, StoreError> {
        let Some(fence) = fence else {
            return self.put_if(WRITE, &self.tables.consumers, row, |put| put).await;
        };
        let place = number(place(fence));
        row.insert(FENCE.to_owned(), place.clone());
        let put = self.put_if(WRITE, &self.tables.consumers, row, |put| {
            put.condition_expression(NOT_LATER)
                .expression_attribute_names("#w", FENCE)
                .expression_attribute_values(":w", place)
        });
        put.await
    }

    /// One call per row, since batch writes have no conditions. The units are the same.
    async fn put_rows_fenced(&self, rows: Vec<Item>, fence: Fence) -> Result<bool, StoreError> {
        let putting = rows.into_iter().map(|row| self.put_fenced(row, Some(fence)));
        let mut putting = stream::iter(putting).buffer_unordered(ROWS_AT_ONCE);
        while let Some(put) = putting.next().await {
            if !put? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn put_rows(&self, rows: Vec<Item>) -> Result<(), StoreError> {
        let put = |row| {
            let put = PutRequest::builder().set_item(Some(row)).build().map_err(unbuilt)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.write_rows(rows.into_iter().map(put).collect::<Result<_, StoreError>>()?).await
    }

    async fn delete_rows(&self, keys: Vec<Item>) -> Result<(), StoreError> {
        let delete = |key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build().map_err(unbuilt)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        self.write_rows(keys.into_iter().map(delete).collect::<Result<_, StoreError>>()?).await
    }

    async fn write_rows(&self, requests: Vec<WriteRequest>) -> Result<(), StoreError> {
        for batch in requests.chunks(BATCH_WRITE) {
            let mut left = batch.to_vec();
            let mut attempt = 0;
            while !left.is_empty() {
                if attempt > 0 {
                    pause(attempt - 1).await;
                }
                if attempt == MAX_CONFLICTS {
                    return Err(StoreError::Overloaded);
                }
                attempt += 1;
                let call = self.client.batch_write_item().request_items(&self.tables.consumers, left);
                let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
                let answer = call.send().await.map_err(|error| store_error(WRITE, error))?;
                for capacity in answer.consumed_capacity() {
                    units::written(WRITE, Some(capacity));
                }
                let unprocessed = answer.unprocessed_items.unwrap_or_default();
                left = unprocessed.into_values().flatten().collect();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ConsumerTable for Dynamo {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        let items = self.run(&self.range_of(CONSUMERS, None), usize::MAX).await?;
        let read = |item: &Item| {
            let Some(name) = get_text(item, ITEM).and_then(ConsumerName::parse) else {
                tracing::error!("a row of the table of consumers has no name of a consumer");
                return None;
            };
            let state = record(&name, item).and_then(|bytes| decode_consumer(&name, bytes));
            Some((name, state))
        };
        Ok(items.iter().filter_map(read).collect())
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        let item = self.get(READ, &self.tables.consumers, key(CONSUMERS, name.as_str())).await?;
        item.map(|item| decode_consumer(name, record(name, &item)?)).transpose()
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        let mut keys: Vec<_> = rooms.iter().map(|room| key(name.as_str(), room.as_str())).collect();
        keys.dedup();
        let items = self.get_many(READ, &self.tables.consumers, keys).await?;
        Ok(items.iter().filter_map(|item| room_row(name, item)).collect())
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        // At most as many rows as one call may scan, matching or not.
        let range = self.range_of(name.as_str(), after.map(RoomId::as_str));
        let (items, next) = self.page(&range, PENDING_SCAN, None).await?;
        let mut page = RoomPage::default();
        for item in &items {
            let Some((room, progress)) = room_row(name, item) else { continue };
            if !wanted.matches(&progress) {
                continue;
            }
            page.rooms.push((room.clone(), progress));
            if page.rooms.len() == limit {
                page.next = Some(room);
                return Ok(page);
            }
        }
        if let Next::At(last) = next {
            let last = get_text(&last, ITEM).and_then(|id| RoomId::parse(id).ok());
            page.next = Some(last.ok_or_else(|| damaged("a key", "consumers"))?);
        }
        Ok(page)
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        let rows = write.rooms.iter().map(|(room, progress)| {
            let mut row = key(name.as_str(), room.as_str());
            row.insert(RECORD.to_owned(), bytes(encode_progress(progress)));
            row
        });
        let rows = rows.collect();
        let fenced =
            || StoreError::Refused(format!("another process has written the progress of {name} since"));
        match write.fence {
            Some(fence) => {
                if !self.put_rows_fenced(rows, fence).await? {
                    return Err(fenced());
                }
            }
            None => self.put_rows(rows).await?,
        }
        // After the rows: everything before the position is delivered, or pending in a row.
        let Some(state) = &write.state else { return Ok(()) };
        let mut item = key(CONSUMERS, name.as_str());
        let stored = self.get(READ, &self.tables.consumers, item.clone()).await?;
        let encoded = match &stored {
            Some(stored) => carry_unknown::<ConsumerRecord>(record(name, stored)?, encode_consumer(state)),
            None => encode_consumer(state),
        };
        item.insert(RECORD.to_owned(), bytes(encoded));
        if self.put_fenced(item, write.fence).await? { Ok(()) } else { Err(fenced()) }
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        let own = key(CONSUMERS, name.as_str());
        let is_there = self.get(READ, &self.tables.consumers, own.clone()).await?.is_some();
        let (mut removed, mut after) = (Removed::default(), None);
        loop {
            let range = self.range_of(name.as_str(), after.as_deref());
            let (items, _) = self.page(&range, PENDING_SCAN, None).await?;
            // What is unreadable is removed as well.
            let rows: Vec<&str> = items.iter().filter_map(|item| get_text(item, ITEM)).collect();
            let Some(last) = rows.last() else { break };
            after = Some((*last).to_owned());
            for item in &items {
                removed.count(&room_row(name, item).map(|(_, progress)| progress).unwrap_or_default());
            }
            self.delete_rows(rows.into_iter().map(|row| key(name.as_str(), row)).collect()).await?;
        }
        if is_there {
            self.delete_rows(vec![own]).await?;
        }
        Ok((is_there || removed.rooms > 0).then_some(removed))
    }
}

fn place(fence: Fence) -> u64 {
    (fence.term << WRITE_BITS) | (fence.write & ((1 << WRITE_BITS) - 1))
}

#[async_trait]
impl LeaseTable for Dynamo {
    async fn lease(&self, name: &ConsumerName) -> Result<Option<Lease>, StoreError> {
        let item = self.get(LEASE, &self.tables.consumers, key(LEASES, name.as_str())).await?;
        let read = |item: Item| {
            Some(Lease { owner: get_text(&item, "owner")?.to_owned(), renewals: get_number(&item, "n")? })
        };
        item.map(|item| read(item).ok_or_else(|| damaged("a lease", "consumers"))).transpose()
    }

    async fn replace_lease(
        &self,
        name: &ConsumerName,
        old: Option<&Lease>,
        new: &Lease,
    ) -> Result<bool, StoreError> {
        let mut item = key(LEASES, name.as_str());
        item.extend(item::item([("owner", text(&new.owner)), ("n", number(new.renewals))]));
        let replaced = self.put_if(LEASE, &self.tables.consumers, item, |put| match old {
            None => {
                put.condition_expression("attribute_not_exists(#o)").expression_attribute_names("#o", "owner")
            }
            Some(old) => put
                .condition_expression("#o = :owner AND #n = :n")
                .expression_attribute_names("#o", "owner")
                .expression_attribute_names("#n", "n")
                .expression_attribute_values(":owner", text(&old.owner))
                .expression_attribute_values(":n", number(old.renewals)),
        });
        // A refusal may be due to our own first attempt, whose answer was lost.
        Ok(replaced.await? || self.lease(name).await?.as_ref() == Some(new))
    }

    async fn fence(&self, name: &ConsumerName, fence: Fence) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.tables.consumers)
            .set_key(Some(key(CONSUMERS, name.as_str())))
            .update_expression("SET #w = :w")
            .condition_expression("attribute_exists(#v) AND (attribute_not_exists(#w) OR #w < :w)")
            .expression_attribute_names("#w", FENCE)
            .expression_attribute_names("#v", RECORD)
            .expression_attribute_values(":w", number(place(fence)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match update.send().await {
            Ok(answer) => units::written(LEASE, answer.consumed_capacity()),
            Err(error) if is_unmet(&error) => {}
            Err(error) => return Err(store_error(LEASE, error)),
        }
        Ok(())
    }
}

fn is_unmet(error: &CallError<UpdateItemError>) -> bool {
    matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_)))
}
