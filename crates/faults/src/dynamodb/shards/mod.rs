//! DynamoDB Streams with everything that the service does not promise.
//!
//! The emulator has one shard per table, which is always in order. This distributes its records over shards that split,
//! close and are trimmed, publishes some late or twice, and has iterators expire. Requests are answered here by the
//! rules of the service; the records come from the emulator.

mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use self::stream::{Fate, From, NOT_FOUND, Refusal, Stream};
use super::answers::{Answer, answer};
use super::plan::next_chance;

/// Shards that one `DescribeStream` lists.
const LISTED: usize = 3;

/// How often the service does what it may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Shards of a new stream.
    pub shards: u64,
    /// Probability that a record is published later than others that follow it.
    pub late: f64,
    /// Probability that late records of a stream are published, at each request.
    pub arrive: f64,
    /// Probability that a record is published twice.
    pub twice: f64,
    /// Probability that a page is empty although there are records.
    pub empty: f64,
    /// Probability that a request finds its iterator expired.
    pub expired: f64,
}

/// The streams of an endpoint. Clones share the same streams.
#[derive(Debug, Clone, Default)]
pub struct Shards(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// `None` until enabled: then the emulator answers.
    habits: Option<Habits>,
    tables: HashMap<String, Table>,
    chance: u64,
    hides_children: bool,
    early: u64,
}

#[derive(Debug, Default)]
struct Table {
    /// Where to continue in the emulator.
    iterator: Option<String>,
    streams: HashMap<String, Stream>,
}

/// Requests to the emulator behind it.
pub(super) trait Upstream {
    async fn request(&self, target: &str, body: Value) -> Option<Value>;
}

impl Shards {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams have shards, and these `habits`, from now on.
    pub fn begin(&self, habits: Habits, seed: u64) {
        let mut state = self.state();
        state.habits = Some(habits);
        state.chance = seed;
    }

    /// Closes all open shards; `children` shards follow each. With one child, as happens every few hours; with two or
    /// more, as happens when a table grows, while there are few shards.
    pub fn split(&self, children: u64) {
        self.each(|stream| stream.split(children));
    }

    /// Publishes all late records.
    pub fn arrive(&self) {
        self.each(Stream::arrive);
    }

    /// Drops all records and closed shards, as after 24 hours.
    pub fn trim(&self) {
        self.each(Stream::trim);
    }

    /// Simulates a mistake of a reader: children of shards are never listed, so they are skipped.
    pub fn hide_children(&self) {
        self.state().hides_children = true;
    }

    /// How often records of a shard were read before its parent was read to its end.
    pub fn early(&self) -> u64 {
        self.state().early
    }

    fn each(&self, change: impl Fn(&mut Stream)) {
        let mut state = self.state();
        let streams = state.tables.values_mut().flat_map(|table| table.streams.values_mut());
        streams.filter(|stream| !stream.is_off).for_each(change);
    }

    /// The answer to a request; `None` if the emulator has to answer it.
    pub(super) async fn answer(
        &self,
        operation: &str,
        body: &[u8],
        upstream: &impl Upstream,
    ) -> Option<Answer> {
        self.state().habits?;
        if !matches!(operation, "DescribeStream" | "GetShardIterator" | "GetRecords") {
            return None;
        }
        let request: Value = serde_json::from_slice(body).ok()?;
        let arn = match operation {
            "GetRecords" => request["ShardIterator"].as_str()?.split('|').next()?,
            _ => request["StreamArn"].as_str()?,
        };
        let arn = arn.to_owned();
        self.pull(&arn, operation == "DescribeStream", upstream).await;
        let mut state = self.state();
        let result = match operation {
            "DescribeStream" => state.describe(&arn, &request),
            "GetShardIterator" => state.iterator(&arn, &request),
            _ => state.records(&arn, &request),
        };
        Some(result.map_or_else(refused, |found| answer(StatusCode::OK, &found)))
    }

    /// Fetches what the table has written since; with `describe` also the state of its stream.
    async fn pull(&self, arn: &str, describe: bool, upstream: &impl Upstream) {
        let Some(name) = arn.split('/').nth(1).map(ToOwned::to_owned) else { return };
        let known = self.state().current(&name);
        let latest = if let (Some(known), false) = (known, describe) {
            known
        } else if let Some(latest) = self.describe(&name, upstream).await {
            latest
        } else {
            return;
        };
        self.take_from(&name, &latest, upstream).await;
    }

    /// The current stream of a table.
    async fn describe(&self, name: &str, upstream: &impl Upstream) -> Option<String> {
        let table = upstream.request("DynamoDB_20120810.DescribeTable", json!({ "TableName": name })).await;
        let table = table.unwrap_or_default();
        let latest = table["Table"]["LatestStreamArn"].as_str().map(ToOwned::to_owned);
        let is_on = table["Table"]["StreamSpecification"]["StreamEnabled"] == true;
        let latest = latest.filter(|_| is_on);
        self.state().meet(name, latest.as_deref());
        latest
    }

    async fn take_from(&self, name: &str, arn: &str, upstream: &impl Upstream) {
        loop {
            let known = self.state().tables.get(name).and_then(|table| table.iterator.clone());
            let iterator = match known {
                Some(iterator) => iterator,
                None => match first_iterator(arn, upstream).await {
                    Some(iterator) => iterator,
                    None => return,
                },
            };
            let request = json!({ "ShardIterator": iterator });
            let Some(page) = upstream.request("DynamoDBStreams_20120810.GetRecords", request).await else {
                return;
            };
            let records = page["Records"].as_array().cloned().unwrap_or_default();
            let is_end = records.is_empty();
            self.state().take(name, arn, &iterator, page["NextShardIterator"].as_str(), records);
            if is_end {
                return;
            }
        }
    }
}

/// An iterator of the emulator's only shard.
async fn first_iterator(arn: &str, upstream: &impl Upstream) -> Option<String> {
    let described =
        upstream.request("DynamoDBStreams_20120810.DescribeStream", json!({ "StreamArn": arn })).await?;
    let shard = described["StreamDescription"]["Shards"][0]["ShardId"].as_str()?.to_owned();
    let request = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
    let answer = upstream.request("DynamoDBStreams_20120810.GetShardIterator", request).await?;
    answer["ShardIterator"].as_str().map(ToOwned::to_owned)
}

fn refused(refusal: Refusal) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{refusal}");
    answer(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": "as the service does" }))
}

impl State {
    fn chance(&mut self, probability: f64) -> bool {
        next_chance(&mut self.chance) < probability
    }

    fn habits(&self) -> Habits {
        self.habits.unwrap_or_default()
    }

    /// The enabled stream, as far as is known.
    fn current(&self, name: &str) -> Option<String> {
        let streams = &self.tables.get(name)?.streams;
        streams.iter().find(|(_, stream)| !stream.is_off).map(|(arn, _)| arn.clone())
    }

    /// Records the current stream of a table, if any: others are disabled.
    fn meet(&mut self, name: &str, latest: Option<&str>) {
        let shards = self.habits().shards;
        let table = self.tables.entry(name.to_owned()).or_default();
        let others =
            table.streams.iter_mut().filter(|(arn, stream)| Some(arn.as_str()) != latest && !stream.is_off);
        others.for_each(|(_, stream)| stream.switch_off());
        if let Some(latest) = latest {
            table.streams.entry(latest.to_owned()).or_insert_with(|| Stream::new(shards));
        }
    }

    /// Adds records returned by `iterator`, unless another request has.
    fn take(&mut self, name: &str, arn: &str, iterator: &str, next: Option<&str>, records: Vec<Value>) {
        let habits = self.habits();
        let fates: Vec<Fate> = records
            .iter()
            .map(|_| Fate { late: self.chance(habits.late), twice: self.chance(habits.twice) })
            .collect();
        let Some(table) = self.tables.get_mut(name) else { return };
        if table.iterator.as_deref().is_some_and(|known| known != iterator) {
            return;
        }
        if table.iterator.is_none() && next == Some(iterator) {
            return;
        }
        table.iterator = next.map(ToOwned::to_owned);
        let Some(stream) = table.streams.get_mut(arn) else { return };
        records.into_iter().zip(fates).for_each(|(record, fate)| stream.take(record, fate));
    }

    fn stream(&mut self, arn: &str) -> Result<&mut Stream, Refusal> {
        let name = arn.split('/').nth(1).ok_or(NOT_FOUND)?;
        self.tables.get_mut(name).and_then(|table| table.streams.get_mut(arn)).ok_or(NOT_FOUND)
    }

    fn describe(&mut self, arn: &str, request: &Value) -> Result<Value, Refusal> {
        let children = !self.hides_children;
        let stream = self.stream(arn)?;
        let (shards, next) = stream.list(request["ExclusiveStartShardId"].as_str(), LISTED, children);
        let status = if stream.is_off { "DISABLED" } else { "ENABLED" };
        let mut description = json!({ "StreamArn": arn, "StreamStatus": status, "Shards": shards });
        if let Some(next) = next {
            description["LastEvaluatedShardId"] = next.into();
        }
        Ok(json!({ "StreamDescription": description }))
    }

    fn iterator(&mut self, arn: &str, request: &Value) -> Result<Value, Refusal> {
        let shard = request["ShardId"].as_str().unwrap_or_default();
        let number = || request["SequenceNumber"].as_str().and_then(|number| number.parse().ok());
        let from = match request["ShardIteratorType"].as_str() {
            Some("LATEST") => From::Latest,
            Some("AFTER_SEQUENCE_NUMBER") => From::After(number().ok_or("ValidationException")?),
            _ => From::Horizon,
        };
        let index = self.stream(arn)?.iterator(shard, from)?;
        Ok(json!({ "ShardIterator": format!("{arn}|{shard}|{index}") }))
    }

    fn records(&mut self, arn: &str, request: &Value) -> Result<Value, Refusal> {
        let habits = self.habits();
        let (expired, empty) = (self.chance(habits.expired), self.chance(habits.empty));
        let arrive = self.chance(habits.arrive);
        let iterator = request["ShardIterator"].as_str().unwrap_or_default();
        if expired {
            return Err("ExpiredIteratorException");
        }
        let mut parts = iterator.split('|').skip(1);
        let shard = parts.next().unwrap_or_default();
        let index = parts.next().and_then(|index| index.parse().ok()).ok_or("ValidationException")?;
        let limit = request["Limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(1_000);
        let stream = self.stream(arn)?;
        if arrive {
            stream.arrive();
        }
        let read = stream.read(shard, index, if empty { 0 } else { limit })?;
        self.early += u64::from(read.early);
        let mut answer = json!({ "Records": read.records });
        if let Some(next) = read.next {
            answer["NextShardIterator"] = format!("{arn}|{shard}|{next}").into();
        }
        Ok(answer)
    }
}
