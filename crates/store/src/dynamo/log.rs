//! Reading the log of a room.

use parlance_core::{Chunk, Entry, Event, Overlay, RoomId, SeqRange};
use std::collections::{BTreeMap, BTreeSet};

use super::calls::{Next, Range};
use super::item::number;
use super::limits::{FIRST_PAGE, MAX_PAGE};
use super::{Dynamo, messages};
use crate::StoreError;

/// Whether to continue a walk after a chunk.
#[derive(PartialEq, Eq)]
pub(super) enum Walk {
    On,
    Stop,
}

impl Dynamo {
    /// Visits the chunks whose first seqs are between `from` and `to`, until told to stop after about `wanted`
    /// events.
    pub(super) async fn walk(
        &self,
        operation: &'static str,
        room: &RoomId,
        (from, to): (u64, u64),
        backwards: bool,
        wanted: usize,
        mut visit: impl FnMut(Chunk) -> Walk + Send,
    ) -> Result<(), StoreError> {
        // Overlays are below 1.
        let from = from.max(1);
        if from > to {
            return Ok(());
        }
        let range = Range {
            operation,
            table: &self.tables.messages,
            partition: (messages::ROOM, room.as_str()),
            sort: messages::SEQ,
            low: number(from),
            high: number(to),
            backwards,
        };
        let mut limit = wanted.clamp(1, FIRST_PAGE);
        let (mut chunks, mut events) = (0, 0);
        let mut start = None;
        loop {
            let (items, next) = self.page(&range, limit, start).await?;
            for item in &items {
                let chunk = messages::chunk(room, item)?;
                chunks += 1;
                events += chunk.events().len();
                if visit(chunk) == Walk::Stop {
                    return Ok(());
                }
            }
            match next {
                Next::At(key) => start = Some(key),
                Next::End => return Ok(()),
            }
            // Estimate of the remaining chunks, from the average so far.
            let rest = wanted.saturating_sub(events).saturating_mul(chunks);
            limit = rest.div_ceil(events.max(1)).clamp((limit * 2).min(MAX_PAGE), MAX_PAGE);
        }
    }

    /// The last chunk.
    pub(super) async fn tail(
        &self,
        operation: &'static str,
        room: &RoomId,
    ) -> Result<Option<Chunk>, StoreError> {
        self.last_until(operation, room, u64::MAX).await
    }

    /// The last chunk that begins at `seq` or before.
    async fn last_until(
        &self,
        operation: &'static str,
        room: &RoomId,
        seq: u64,
    ) -> Result<Option<Chunk>, StoreError> {
        let mut last = None;
        let visit = |chunk| {
            last = Some(chunk);
            Walk::Stop
        };
        self.walk(operation, room, (1, seq), true, 1, visit).await?;
        Ok(last)
    }

    /// Whole chunks with the events from `from` to `to`, by ascending seq, until about `limit` of these events.
    pub(super) async fn chunks_from(
        &self,
        operation: &'static str,
        room: &RoomId,
        (from, to): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Chunk>, StoreError> {
        if limit == 0 || from > to {
            return Ok(Vec::new());
        }
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut count = 0;
        let visit = |chunk: Chunk| {
            count += within(&chunk, from, to);
            chunks.push(chunk);
            if count >= limit { Walk::Stop } else { Walk::On }
        };
        self.walk(operation, room, (from, to), false, limit, visit).await?;
        // The chunk that contains `from` may begin before it.
        if chunks.first().is_none_or(|first| first.first_seq() > from)
            && let Some(before) = self.last_until(operation, room, from - 1).await?
            && before.head().seq() >= from
        {
            count = within(&before, from, to);
            let fits = |chunk: &Chunk| {
                let fits = count < limit;
                count += within(chunk, from, to);
                fits
            };
            let rest: Vec<Chunk> = chunks.into_iter().take_while(fits).collect();
            chunks = std::iter::once(before).chain(rest).collect();
        }
        Ok(chunks)
    }

    /// Whole chunks with the events from `from` to `to`, by descending seq, until about `limit` of these events.
    pub(super) async fn chunks_back(
        &self,
        operation: &'static str,
        room: &RoomId,
        (from, to): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Chunk>, StoreError> {
        if limit == 0 || from > to {
            return Ok(Vec::new());
        }
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut count = 0;
        let visit = |chunk: Chunk| {
            let first = chunk.first_seq();
            count += within(&chunk, from, to);
            if chunk.head().seq() >= from {
                chunks.push(chunk);
            }
            if count >= limit || first <= from { Walk::Stop } else { Walk::On }
        };
        let wanted = usize::try_from(to - from).map_or(limit, |length| limit.min(length + 1));
        self.walk(operation, room, (1, to), true, wanted, visit).await?;
        Ok(chunks)
    }

    /// Events in their present form.
    pub(super) async fn entries(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let operation = "read";
        let bounds = (range.from.max(1), range.to);
        let mut events: Vec<Event> = if latest {
            let chunks = self.chunks_back(operation, room, bounds, limit).await?;
            chunks.into_iter().rev().flat_map(Chunk::into_events).collect()
        } else {
            let chunks = self.chunks_from(operation, room, bounds, limit).await?;
            chunks.into_iter().flat_map(Chunk::into_events).collect()
        };
        events.retain(|event| range.contains(event.seq));
        if latest {
            events.drain(..events.len().saturating_sub(limit));
        } else {
            events.truncate(limit);
        }
        // Read after the events: at least as recent.
        let overlays = self.overlays(room, &events).await?;
        let merged = events.into_iter().map(|event| {
            let overlay = Entry::overlay_key(&event).and_then(|seq| overlays.get(&seq).cloned());
            Entry::merge(event, overlay)
        });
        Ok(merged.collect())
    }

    /// The overlays that `events` need: of messages among them as one range, of edited earlier messages one by one.
    async fn overlays(&self, room: &RoomId, events: &[Event]) -> Result<BTreeMap<u64, Overlay>, StoreError> {
        let keys: BTreeSet<u64> = events.iter().filter_map(Entry::overlay_key).collect();
        // A single message is read in order to change it.
        if let ([_], Some(seq)) = (events, keys.first()) {
            let overlay = self.settled_overlay("read", room, *seq).await?;
            return Ok(overlay.map(|overlay| (*seq, overlay)).into_iter().collect());
        }
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(BTreeMap::new()) };
        let inside = |seq: &u64| first.seq <= *seq && *seq <= last.seq;
        let mut items = Vec::new();
        if keys.iter().any(inside) {
            let range = Range {
                operation: "read",
                table: &self.tables.messages,
                partition: (messages::ROOM, room.as_str()),
                sort: messages::SEQ,
                low: messages::overlay_seq(last.seq),
                high: messages::overlay_seq(first.seq),
                backwards: false,
            };
            items = self.run(&range, usize::MAX).await?;
        }
        let outside = keys.iter().filter(|seq| !inside(seq));
        let outside = outside.map(|seq| messages::overlay_key(room, *seq)).collect();
        items.extend(self.get_many("read", &self.tables.messages, outside).await?);
        items.iter().map(|item| messages::overlay(room, item)).collect()
    }

    /// Messages of `range` that an event of `range` deleted.
    pub(super) async fn deleted_in(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        let overlays = Range {
            operation: "count_deleted",
            table: &self.tables.messages,
            partition: (messages::ROOM, room.as_str()),
            sort: messages::SEQ,
            low: messages::overlay_seq(range.to.max(range.from)),
            high: messages::overlay_seq(range.from),
            backwards: false,
        };
        let (mut count, mut start) = (0, None);
        loop {
            let (items, next) = self.page(&overlays, MAX_PAGE, start).await?;
            for item in &items {
                let (seq, overlay) = messages::overlay(room, item)?;
                count += u64::from(overlay.deleted_in(range, seq));
            }
            match next {
                Next::At(key) => start = Some(key),
                Next::End => return Ok(count),
            }
        }
    }

    pub(super) async fn settled_overlay(
        &self,
        operation: &'static str,
        room: &RoomId,
        seq: u64,
    ) -> Result<Option<Overlay>, StoreError> {
        if seq == 0 {
            return Ok(None);
        }
        let key = messages::overlay_key(room, seq);
        let item = self.get_settled(operation, &self.tables.messages, key).await?;
        item.map(|item| Ok(messages::overlay(room, &item)?.1)).transpose()
    }
}

/// Events of `chunk` from `from` to `to`.
fn within(chunk: &Chunk, from: u64, to: u64) -> usize {
    let (first, last) = (chunk.first_seq().max(from), chunk.head().seq().min(to));
    usize::try_from((last + 1).saturating_sub(first)).unwrap_or(usize::MAX)
}
