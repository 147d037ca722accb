//! One stream as in the service: shards that split, close and are trimmed. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

/// The first sequence number; all have 21 digits.
const FIRST_NUMBER: u128 = 100_000_000_000_000_000_000;

/// Number of open shards from which on they are no longer split.
const MANY: usize = 3;

/// The hash of an item.
type Point = u64;

/// A range of a table's items, for a period of time.
#[derive(Debug)]
struct Shard {
    id: String,
    parent: Option<String>,
    /// Its items: those with hashes from the first to the last of these.
    range: (Point, Point),
    records: Vec<(u128, Value)>,
    /// Number of records trimmed from the beginning.
    trimmed: usize,
    closed: bool,
    /// No longer listed nor found.
    gone: bool,
    /// Whether a reader has reached its end.
    read_to_end: bool,
}

/// The service's name of a refusal.
pub(super) type Refusal = &'static str;

pub(super) const TRIMMED: Refusal = "TrimmedDataAccessException";
pub(super) const NOT_FOUND: Refusal = "ResourceNotFoundException";

/// Where an iterator starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Horizon,
    Latest,
    After(u128),
}

/// All shards of one stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    shards: Vec<Shard>,
    /// Records that are not published yet, by the hash of their items.
    held: Vec<(Point, Value)>,
    numbers: u128,
    pub(super) is_off: bool,
}

/// How a record is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// Published later.
    pub(super) late: bool,
    /// Published twice.
    pub(super) twice: bool,
}

impl Stream {
    pub(super) fn new(shards: u64) -> Self {
        let mut stream = Self::default();
        let width = Point::MAX / shards.max(1);
        for number in 0..shards.max(1) {
            let last = if number + 1 == shards.max(1) { Point::MAX } else { width * (number + 1) - 1 };
            stream.open(None, (width * number, last));
        }
        stream
    }

    fn open(&mut self, parent: Option<String>, range: (Point, Point)) {
        let id = format!("shardId-{:020}", self.shards.len() + 1);
        self.shards.push(Shard {
            id,
            parent,
            range,
            records: Vec::new(),
            trimmed: 0,
            closed: false,
            gone: false,
            read_to_end: false,
        });
    }

    /// Adds a record of the table. Those of one item stay in order.
    pub(super) fn take(&mut self, record: Value, fate: Fate) {
        let mut hash = DefaultHasher::new();
        record["dynamodb"]["Keys"].to_string().hash(&mut hash);
        let point = hash.finish();
        if fate.late || self.held.iter().any(|(held, _)| *held == point) {
            self.held.push((point, record));
            return;
        }
        if fate.twice {
            self.publish(point, record.clone());
        }
        self.publish(point, record);
    }

    fn publish(&mut self, point: Point, mut record: Value) {
        self.numbers += 1;
        let number = FIRST_NUMBER + self.numbers;
        record["dynamodb"]["SequenceNumber"] = number.to_string().into();
        let mut open = self.shards.iter_mut().filter(|shard| !shard.closed);
        let shard = open.find(|shard| (shard.range.0..=shard.range.1).contains(&point));
        if let Some(shard) = shard {
            shard.records.push((number, record));
        }
    }

    /// Publishes late records: those of one item in order, the items in any order.
    pub(super) fn arrive(&mut self) {
        let mut items: BTreeMap<Point, Vec<Value>> = BTreeMap::new();
        for (point, record) in std::mem::take(&mut self.held) {
            items.entry(point).or_default().push(record);
        }
        for (point, records) in items {
            records.into_iter().for_each(|record| self.publish(point, record));
        }
    }

    /// Closes all open shards; `children` follow each, or one if there are many.
    pub(super) fn split(&mut self, children: u64) {
        let open = self.shards.iter().filter(|shard| !shard.closed).count();
        let children = if open >= MANY { children.min(1) } else { children };
        let mut follow = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| !shard.closed) {
            shard.closed = true;
            let (first, last) = shard.range;
            let width = (last - first) / children.max(1);
            for number in 0..children {
                let begin = first + width * number;
                let end = if number + 1 == children { last } else { begin + width - 1 };
                follow.push((Some(shard.id.clone()), (begin, end)));
            }
        }
        follow.into_iter().for_each(|(parent, range)| self.open(parent, range));
    }

    /// Closes all shards for good.
    pub(super) fn switch_off(&mut self) {
        self.arrive();
        self.split(0);
        self.is_off = true;
    }

    /// Drops all records and all closed shards, as after 24 hours.
    pub(super) fn trim(&mut self) {
        self.arrive();
        for shard in &mut self.shards {
            shard.trimmed = shard.records.len();
            shard.gone |= shard.closed;
        }
    }

    /// Shards as listed by `DescribeStream`: up to `limit` after `after`. Without `children`, only those without
    /// a parent.
    pub(super) fn list(
        &self,
        after: Option<&str>,
        limit: usize,
        children: bool,
    ) -> (Vec<Value>, Option<String>) {
        let listed = |shard: &&Shard| !shard.gone && (children || shard.parent.is_none());
        let from = after
            .map_or(0, |after| self.shards.iter().position(|shard| shard.id == after).map_or(0, |at| at + 1));
        let mut rest = self.shards.iter().skip(from).filter(listed);
        let page: Vec<&Shard> = rest.by_ref().take(limit).collect();
        let next = page.last().filter(|_| rest.next().is_some()).map(|shard| shard.id.clone());
        let in_words = |shard: &&Shard| {
            let mut listed = json!({ "ShardId": shard.id, "SequenceNumberRange": {} });
            if let Some(parent) = &shard.parent {
                listed["ParentShardId"] = parent.clone().into();
            }
            listed
        };
        (page.iter().map(in_words).collect(), next)
    }

    /// The index of the first record of an iterator.
    pub(super) fn iterator(&self, id: &str, from: From) -> Result<usize, Refusal> {
        let shard = self.find(id)?;
        match from {
            From::Horizon => Ok(shard.trimmed),
            From::Latest => Ok(shard.records.len()),
            From::After(number) => {
                let at = shard.records.iter().position(|(other, _)| *other >= number);
                let at = at.unwrap_or(shard.records.len());
                // The record itself must still be there.
                if at < shard.trimmed { Err(TRIMMED) } else { Ok(at + 1) }
            }
        }
    }

    /// Records from `index` on, and where to continue; `None` at the end of a closed shard. `early` is set if
    /// the parent was not read to its end before.
    pub(super) fn read(&mut self, id: &str, index: usize, limit: usize) -> Result<Read, Refusal> {
        let parent = self.find(id)?.parent.clone();
        let parent = parent.and_then(|parent| self.shards.iter().find(|shard| shard.id == parent));
        let early = parent.is_some_and(|parent| !parent.read_to_end && !parent.gone);
        let shard = self.shards.iter_mut().find(|shard| shard.id == id && !shard.gone).ok_or(NOT_FOUND)?;
        if index < shard.trimmed {
            return Err(TRIMMED);
        }
        let to = shard.records.len().min(index.saturating_add(limit));
        let records = shard.records.get(index..to).unwrap_or_default();
        let records: Vec<Value> = records.iter().map(|(_, record)| record.clone()).collect();
        let has_more = !shard.closed || to < shard.records.len();
        shard.read_to_end |= !has_more;
        Ok(Read { early: early && !records.is_empty(), records, next: has_more.then_some(to) })
    }

    fn find(&self, id: &str) -> Result<&Shard, Refusal> {
        self.shards.iter().find(|shard| shard.id == id && !shard.gone).ok_or(NOT_FOUND)
    }
}

/// What a read returns.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) records: Vec<Value>,
    pub(super) next: Option<usize>,
    pub(super) early: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(item: u64) -> Value {
        json!({ "dynamodb": { "Keys": { "k": { "N": item.to_string() } } } })
    }

    const NOW: Fate = Fate { late: false, twice: false };

    #[test]
    fn split_shards_close_and_their_children_take_over() {
        let mut stream = Stream::new(1);
        (0..20).for_each(|item| stream.take(record(item), NOW));
        stream.split(2);
        (0..20).for_each(|item| stream.take(record(item), NOW));
        let (shards, next) = stream.list(None, 3, true);
        assert_eq!((shards.len(), next), (3, None));
        let ids: Vec<&str> = shards.iter().map(|shard| shard["ShardId"].as_str().unwrap()).collect();
        let child = stream.read(ids[1], 0, 100).unwrap();
        assert!(child.early && child.next.is_some() && !child.records.is_empty());
        let parent = stream.read(ids[0], 0, 100).unwrap();
        assert_eq!((parent.records.len(), parent.next, parent.early), (20, None, false));
        let other = stream.read(ids[2], 0, 100).unwrap();
        assert!(!other.early && other.records.len() + child.records.len() == 20);
    }

    #[test]
    fn trimmed_records_are_not_read() {
        let mut stream = Stream::new(1);
        stream.take(record(1), NOW);
        let id = stream.list(None, 1, true).0[0]["ShardId"].as_str().unwrap().to_owned();
        stream.trim();
        assert_eq!(stream.iterator(&id, From::After(FIRST_NUMBER + 1)).unwrap_err(), TRIMMED);
        assert_eq!(stream.iterator(&id, From::Horizon), Ok(1));
        assert_eq!(stream.read(&id, 0, 1).unwrap_err(), TRIMMED);
        stream.split(1);
        stream.trim();
        assert_eq!(stream.read(&id, 1, 1).unwrap_err(), NOT_FOUND);
    }

    #[test]
    fn late_records_keep_the_order_of_their_item() {
        let mut stream = Stream::new(1);
        stream.take(record(1), Fate { late: true, twice: false });
        stream.take(record(2), NOW);
        stream.take(record(1), NOW);
        let id = stream.list(None, 1, true).0[0]["ShardId"].as_str().unwrap().to_owned();
        assert_eq!(stream.read(&id, 0, 9).unwrap().records.len(), 1);
        stream.arrive();
        let read = stream.read(&id, 0, 9).unwrap().records;
        let items: Vec<&Value> = read.iter().map(|record| &record["dynamodb"]["Keys"]["k"]["N"]).collect();
        assert_eq!(items, ["2", "1", "1"]);
    }
}
