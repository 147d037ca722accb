//! Reads one shard for all consumers in this process, which share its pages.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use parlance_core::Timestamp;
use parlance_runtime::random;
use tokio::time::Instant;

use super::changes;
use super::failing::{Failing, count_failure};
use super::frontier::{Place, ShardKey};
use super::iterators::{Iterators, Origin};
use super::pace::Pace;
use crate::StoreError;
use crate::dynamo::error::{CallError, store_error};
use crate::dynamo::limits::{EMPTY_PAGES, FEED_CLOCK_MARGIN, OLD_PAGES, PAGES_KEPT, STREAM_AGE, STREAM_PAGE};
use crate::feed::{Changes, UnreadPart};

/// The records after a position in a shard.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) changes: Changes,
    /// The time of the first of them.
    pub(super) at: Timestamp,
    /// Where to continue.
    pub(super) next: Place,
}

/// The result of one call.
enum Read {
    Page(Page),
    /// Only records from before the wanted time.
    Old,
    Nothing,
}

/// Why a shard was not read.
pub(super) enum NotRead {
    Gone,
    Store(StoreError),
}

impl From<StoreError> for NotRead {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The reader of one shard.
pub(super) struct Reader {
    stream: String,
    shard: ShardKey,
    /// How long to wait after a call without records.
    poll: Duration,
    pace: Pace,
    iterators: Iterators,
    pages: VecDeque<(Place, Page)>,
    /// The position without records, and when it was read.
    nothing: Option<(Place, Instant)>,
    /// The position to which others move that have no records either.
    idle: Option<Place>,
    failing: Failing,
}

impl Reader {
    pub(super) fn new(stream: String, shard: ShardKey, poll: Duration) -> Self {
        let pace = Pace::new(poll);
        let (iterators, pages) = (Iterators::default(), VecDeque::new());
        Self {
            stream,
            shard,
            poll,
            pace,
            iterators,
            pages,
            nothing: None,
            idle: None,
            failing: Failing::default(),
        }
    }

    /// The end of the shard: later records follow it.
    pub(super) async fn end(&mut self, client: &Client, now: Timestamp) -> Result<Place, NotRead> {
        // All consumers that start here share a position and its pages: an earlier position only repeats records.
        if let Some((place, _)) = self.nothing.clone() {
            match self.read(client, &place).await {
                Ok(Read::Nothing) => return Ok(place),
                // The records after the place were trimmed, the end was not.
                Ok(_) | Err(NotRead::Gone) => self.nothing = None,
                Err(error) => return Err(error),
            }
        }
        let place = Place::Since(now);
        // Keeps an earlier iterator of the same time, which returns more records.
        if self.iterators.of(&place).is_none() {
            let iterator = self.iterator(client, ShardIteratorType::Latest, None).await?;
            self.iterators.keep(place.clone(), iterator, Origin::End);
        }
        Ok(place)
    }

    /// Why the shard cannot be read, if the last attempt failed: also while the next one is not due yet.
    pub(super) fn unread(&self) -> Option<UnreadPart> {
        self.failing.unread()
    }

    /// The records after `place`; `None` if there are none yet.
    pub(super) async fn page(
        &mut self,
        client: &Client,
        place: &Place,
        now: Timestamp,
    ) -> Result<Option<Page>, NotRead> {
        if let Some((_, page)) = self.pages.iter().find(|(of, _)| of == place) {
            return Ok(Some(page.clone()));
        }
        let has_iterator = self.iterators.of(place).is_some();
        // The service detects lost records only for positions after a record.
        if let Place::Start(at) | Place::Since(at) = place
            && !has_iterator
            && now.since(*at) > STREAM_AGE.as_millis() as u64
        {
            return Err(NotRead::Gone);
        }
        let is_soon = |(of, at): &(Place, Instant)| of == place && at.elapsed() < self.poll;
        if self.nothing.as_ref().is_some_and(is_soon) || !self.pace.allows(Instant::now()) {
            return Ok(None);
        }
        // An empty page is not the end of the shard. A position that was read before is read once.
        let mut empty = if has_iterator { 1 } else { EMPTY_PAGES };
        let mut is_idle = false;
        for _ in 0..OLD_PAGES {
            let read = self.read(client, place).await;
            match &read {
                Err(NotRead::Store(error)) => {
                    if *error == StoreError::Overloaded {
                        self.pace.throttled(Instant::now(), random::bits());
                    }
                    count_failure(error);
                    self.failing.failed(error, now);
                }
                Err(NotRead::Gone) => {}
                Ok(_) => {
                    self.pace.answered(Instant::now());
                    self.failing.answered();
                }
            }
            match read? {
                Read::Page(page) => {
                    self.idle.take_if(|idle| idle == place);
                    self.pages.push_back((place.clone(), page.clone()));
                    self.pages.drain(..self.pages.len().saturating_sub(PAGES_KEPT));
                    return Ok(Some(page));
                }
                Read::Old => {}
                Read::Nothing => {
                    empty -= 1;
                    if empty == 0 {
                        is_idle = true;
                        break;
                    }
                }
            }
        }
        if is_idle {
            if let Some(next) = self.idle.clone().filter(|idle| self.iterators.covers(idle, place)) {
                self.iterators.forget(place);
                return Ok(Some(Page { changes: Changes::default(), at: now, next }));
            }
            self.idle = Some(place.clone());
        }
        self.nothing = Some((place.clone(), Instant::now()));
        Ok(None)
    }

    /// Makes one call.
    async fn read(&mut self, client: &Client, place: &Place) -> Result<Read, NotRead> {
        let (iterator, origin) = match self.iterators.of(place) {
            Some(kept) => kept,
            None => (self.iterator_at(client, place).await?, Origin::of(place)),
        };
        let answer = client.get_records().shard_iterator(&iterator).limit(STREAM_PAGE).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if code(&error) == Some("ExpiredIteratorException") => {
                // The next call has a new one.
                self.iterators.forget(place);
                return Ok(Read::Nothing);
            }
            Err(error) => return Err(not_read("get_records", error)),
        };
        let records = answer.records();
        let since = match place {
            Place::Since(at) => at.0.saturating_sub(FEED_CLOCK_MARGIN.as_millis() as u64),
            _ => 0,
        };
        let mut page = Page { changes: Changes::default(), at: Timestamp(u64::MAX), next: place.clone() };
        for record in records {
            let at = changes::made_at(record);
            if at.0 >= since {
                changes::add(&mut page.changes, self.shard.0, record);
                page.at = page.at.min(at);
            }
        }
        let last = records.last().and_then(|record| record.dynamodb()?.sequence_number());
        // If all records were too old, the following ones may be, too.
        let is_old = !records.is_empty() && page.at == Timestamp(u64::MAX);
        if let Some(last) = last.filter(|_| !is_old) {
            page.next = Place::After(last.to_owned());
        }
        match answer.next_shard_iterator {
            Some(next) => {
                let origin = if page.next == *place { origin } else { Origin::Record };
                self.iterators.keep(page.next.clone(), next, origin);
            }
            None => page.next = Place::End,
        }
        Ok(match (page.next != *place, is_old) {
            (true, _) => Read::Page(page),
            (false, true) => Read::Old,
            (false, false) => Read::Nothing,
        })
    }

    async fn iterator_at(&self, client: &Client, place: &Place) -> Result<String, NotRead> {
        match place {
            Place::After(number) => {
                self.iterator(client, ShardIteratorType::AfterSequenceNumber, Some(number)).await
            }
            // Iterators cannot start at a time.
            _ => self.iterator(client, ShardIteratorType::TrimHorizon, None).await,
        }
    }

    async fn iterator(
        &self,
        client: &Client,
        kind: ShardIteratorType,
        number: Option<&String>,
    ) -> Result<String, NotRead> {
        let call = client.get_shard_iterator().stream_arn(&self.stream).shard_id(&self.shard.1);
        let call = call.shard_iterator_type(kind).set_sequence_number(number.cloned());
        let answer = call.send().await.map_err(|error| not_read("get_shard_iterator", error))?;
        let missing = || StoreError::Damaged("no iterator of a shard".into());
        Ok(answer.shard_iterator.ok_or_else(missing)?)
    }
}

fn code<E: ProvideErrorMetadata>(error: &CallError<E>) -> Option<&str> {
    error.as_service_error().and_then(E::code)
}

/// Classifies the error of a call on a stream.
pub(super) fn not_read<E>(operation: &'static str, error: CallError<E>) -> NotRead
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match code(&error) {
        Some("TrimmedDataAccessException" | "ResourceNotFoundException") => NotRead::Gone,
        _ => NotRead::Store(store_error(operation, error)),
    }
}
