//! The change feed of the tables: DynamoDB Streams.
//!
//! The service guarantees neither order between the items of a room, nor full pages, nor pages that mark the end,
//! nor shards that stay open, nor records older than 24 hours. So a record only means that something has changed,
//! ordered per item only; [`ChangeFeed::disorder`] bounds the disorder.

mod changes;
mod current;
mod failing;
mod frontier;
mod iterators;
mod pace;
mod reader;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use aws_sdk_dynamodbstreams::types::StreamStatus;
use futures::StreamExt;
use futures::stream;
use parlance_core::{Clock, RoomId};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use self::current::Streams;
use self::failing::{Failing, count_failure, earlier};
use self::frontier::{Frontier, Place, Shard, ShardKey, Source};
use self::reader::{NotRead, Page, Reader, not_read};
use super::error::store_error;
use super::item::{get_text, text};
use super::limits::{
    READER_IDLE, SHARDS_AT_ONCE, SHARDS_LISTED_FOR, STREAM_DISORDER, STREAM_POLL, WALK_PAGE,
};
use super::{Dynamo, rooms, units};
use crate::StoreError;
use crate::feed::{ChangeFeed, FeedPage, Position, Record, UnreadPart};

/// A reader, and when it was last used.
type Used = (Arc<Mutex<Reader>>, Instant);

/// The change feed of tables on DynamoDB.
pub struct DynamoFeed {
    store: Dynamo,
    clock: Arc<dyn Clock>,
    /// Replaced when a stream was switched off and on.
    streams: std::sync::Mutex<Arc<Streams>>,
    poll: Duration,
    /// Readers of shards, and when each was last used.
    readers: std::sync::Mutex<HashMap<ShardKey, Used>>,
    listed: Mutex<HashMap<Source, (Vec<Shard>, Instant)>>,
    /// Listings without which nothing more is found, and that fail.
    unlisted: std::sync::Mutex<HashMap<Source, Failing>>,
}

impl Dynamo {
    /// Opens the change feed of the tables.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if a table has no stream; errors of the service.
    pub async fn feed(&self, clock: Arc<dyn Clock>) -> Result<DynamoFeed, StoreError> {
        let streams = Streams::of(self).await?;
        Ok(DynamoFeed {
            store: self.clone(),
            clock,
            streams: std::sync::Mutex::new(Arc::new(streams)),
            poll: STREAM_POLL,
            readers: std::sync::Mutex::default(),
            listed: Mutex::default(),
            unlisted: std::sync::Mutex::default(),
        })
    }
}

impl DynamoFeed {
    /// Sets another poll interval for shards without new records.
    #[must_use]
    pub fn with_poll(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    fn streams(&self) -> Arc<Streams> {
        self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Reads the streams of the tables again after one was deleted or disabled, and drops readers of old ones.
    async fn look_again(&self) -> Result<(), StoreError> {
        let now = Streams::of(&self.store).await?;
        // Holds the lock, so that no shards are listed meanwhile.
        let mut listed = self.listed.lock().await;
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if **streams == now {
            return Ok(());
        }
        tracing::warn!(
            "a stream of the tables was disabled and enabled again: scanning all rooms for changes it lacks"
        );
        *streams = Arc::new(now);
        listed.clear();
        self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        Ok(())
    }

    fn reader(&self, shard: &ShardKey) -> Arc<Mutex<Reader>> {
        let mut readers = self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = || {
            let stream = self.streams().of_table(shard.0).to_owned();
            (Arc::new(Mutex::new(Reader::new(stream, shard.clone(), self.poll))), Instant::now())
        };
        let (reader, used) = readers.entry(shard.clone()).or_insert_with(new);
        *used = Instant::now();
        reader.clone()
    }

    /// The shards of a stream; refreshed if the cached list is older than `no_older_than`.
    async fn shards(&self, source: Source, no_older_than: Instant) -> Result<Vec<Shard>, NotRead> {
        // Under the lock, so that concurrent consumers share one call.
        let mut listed = self.listed.lock().await;
        if let Some((shards, at)) = listed.get(&source)
            && *at >= no_older_than
        {
            return Ok(shards.clone());
        }
        let at = Instant::now();
        let shards = self.list(source).await?;
        let mut readers = self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        readers.retain(|_, (_, used)| used.elapsed() < READER_IDLE);
        listed.insert(source, (shards.clone(), at));
        Ok(shards)
    }

    async fn list(&self, source: Source) -> Result<Vec<Shard>, NotRead> {
        let streams = self.streams();
        let (mut shards, mut after) = (Vec::new(), None);
        loop {
            let call = self.store.streams.describe_stream().stream_arn(streams.of_table(source));
            let answer = call.set_exclusive_start_shard_id(after).send().await;
            let answer = answer.map_err(|error| not_read("describe_stream", error))?;
            let Some(description) = answer.stream_description else { return Ok(shards) };
            if matches!(description.stream_status(), Some(StreamStatus::Disabled | StreamStatus::Disabling)) {
                return Err(NotRead::Gone);
            }
            for shard in description.shards.unwrap_or_default() {
                if let Some(id) = shard.shard_id {
                    shards.push(Shard { id, parent: shard.parent_shard_id });
                }
            }
            after = description.last_evaluated_shard_id;
            if after.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn end(&self) -> Result<Frontier, NotRead> {
        let now = self.clock.now();
        let mut frontier = Frontier::default();
        for source in Source::ALL {
            // Shards that were split meanwhile are found as children.
            let shards = self.shards(source, Instant::now()).await?;
            frontier.end_of(source, &shards, now);
        }
        let shards: Vec<ShardKey> = frontier.shards().map(|(shard, _)| shard.clone()).collect();
        let places = shards.into_iter().map(|shard| async move {
            let reader = self.reader(&shard);
            let place = reader.lock().await.end(&self.store.streams, now).await?;
            Ok::<_, NotRead>((shard, place))
        });
        let mut places = stream::iter(places).buffered(SHARDS_AT_ONCE);
        while let Some(found) = places.next().await {
            let (shard, place) = found?;
            frontier.set(&shard, place);
        }
        Ok(frontier)
    }

    /// Updates the frontier with the current shards, except where they cannot be listed: then known shards are read
    /// meanwhile.
    async fn up_to_date(&self, mut frontier: Frontier) -> Result<(Frontier, Option<UnreadPart>), NotRead> {
        let (now, mut unread) = (self.clock.now(), None);
        for source in Source::ALL {
            let asked = Instant::now();
            let recently = asked.checked_sub(SHARDS_LISTED_FOR).unwrap_or(asked);
            let soon = asked.checked_sub(self.poll).unwrap_or(asked);
            let listing = async {
                let shards = self.shards(source, recently).await?;
                if frontier.needs_newer(source, &shards) {
                    self.shards(source, soon).await
                } else {
                    Ok(shards)
                }
            };
            let listed = listing.await;
            let mut unlisted = self.unlisted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let failing = unlisted.entry(source).or_default();
            match listed {
                Ok(shards) => {
                    frontier.meet(source, &shards, now);
                    failing.answered();
                }
                Err(NotRead::Store(error)) => {
                    count_failure(&error);
                    // Otherwise all that is there is in known shards.
                    if frontier.needs_listing(source) {
                        failing.failed(&error, now);
                        unread = earlier(unread, failing.unread());
                    }
                }
                Err(NotRead::Gone) => return Err(NotRead::Gone),
            }
        }
        Ok((frontier, unread))
    }

    async fn read(&self, identity: &str, frontier: Frontier, limit: usize) -> Result<FeedPage, NotRead> {
        let (begun, now) = (frontier.clone(), self.clock.now());
        let (mut frontier, mut unread) = self.up_to_date(frontier).await?;
        let open = frontier.shards().filter(|(_, place)| **place != Place::End);
        let open: Vec<(ShardKey, Place)> =
            open.map(|(shard, place)| (shard.clone(), place.clone())).collect();
        let reading = open.into_iter().map(|(shard, place)| async move {
            let reader = self.reader(&shard);
            let mut reader = reader.lock().await;
            let page = reader.page(&self.store.streams, &place, now).await;
            (shard, page, reader.unread())
        });
        let mut pages = stream::iter(reading).buffered(SHARDS_AT_ONCE);
        let (mut records, mut failed) = (Vec::new(), None);
        while let Some((shard, page, unread_here)) = pages.next().await {
            unread = earlier(unread, unread_here);
            let page = match page {
                Ok(page) => page,
                // Other shards continue: a throttled shard must not stop them.
                Err(NotRead::Store(error)) => {
                    failed = Some(error);
                    continue;
                }
                Err(NotRead::Gone) => return Err(NotRead::Gone),
            };
            let Some(Page { changes, at, next }) = page else { continue };
            if records.len() == limit {
                // Kept by its reader for the next call.
                continue;
            }
            frontier.set(&shard, next);
            if changes != Default::default() {
                records.push(Record { position: position(identity, &frontier)?, at, changes });
            }
        }
        if let Some(error) = failed.filter(|_| records.is_empty() && frontier == begun) {
            return Err(error.into());
        }
        let next = position(identity, &frontier)?;
        if let Some(last) = records.last_mut() {
            last.position = next.clone();
        }
        Ok(FeedPage::Records { records, next, unread })
    }
}

fn position(identity: &str, frontier: &Frontier) -> Result<Position, StoreError> {
    let too_long = || StoreError::Damaged("a position in too many shards".into());
    frontier.position(identity).ok_or_else(too_long)
}

#[async_trait]
impl ChangeFeed for DynamoFeed {
    async fn tip(&self) -> Result<Position, StoreError> {
        let streams = self.streams();
        match self.end().await {
            Ok(end) => position(&streams.identity, &end),
            Err(NotRead::Gone) => {
                self.look_again().await?;
                Err(StoreError::Overloaded)
            }
            Err(NotRead::Store(error)) => Err(error),
        }
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        let streams = self.streams();
        let Some(frontier) = Frontier::parse(after, &streams.identity) else { return Ok(FeedPage::Trimmed) };
        match Box::pin(self.read(&streams.identity, frontier, limit)).await {
            Ok(page) => Ok(page),
            Err(NotRead::Gone) => {
                // A disabled stream has no position to continue from.
                self.look_again().await?;
                Ok(FeedPage::Trimmed)
            }
            Err(NotRead::Store(error)) => Err(error),
        }
    }

    async fn wait(&self, _position: &Position) {
        // There are no notifications: the shards are polled.
        sleep(self.poll).await;
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        self.store.scan_rooms(after, limit).await
    }

    fn disorder(&self) -> Duration {
        STREAM_DISORDER
    }
}

impl Dynamo {
    /// Rooms in scan order, which is the same each time.
    async fn scan_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        const OPERATION: &str = "walk_rooms";
        let (mut found, mut start) = (Vec::new(), after.map(rooms::room_key));
        while found.len() < limit {
            let answer = self
                .client
                .scan()
                .table_name(&self.tables.rooms)
                .set_exclusive_start_key(start)
                .filter_expression("#i = :own")
                .projection_expression("#r, #i")
                .expression_attribute_names("#i", rooms::ITEM)
                .expression_attribute_names("#r", rooms::ROOM)
                .expression_attribute_values(":own", text(rooms::OWN))
                .consistent_read(true)
                .limit(WALK_PAGE)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| store_error(OPERATION, error))?;
            units::read(OPERATION, answer.consumed_capacity());
            // The store's own items have keys that are not valid room ids.
            let ids = answer.items().iter().filter_map(|item| get_text(item, rooms::ROOM));
            found.extend(ids.filter_map(|id| RoomId::parse(id).ok()));
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}
