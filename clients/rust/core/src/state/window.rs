//! The messages of an open room.

use std::ops::RangeInclusive;
use std::sync::Arc;

use imbl::OrdMap;
use parlance_proto::v1;

use super::changes::{Changed, Early};
use super::message::{Message, target_of};

/// Maximum number of changes of messages that are not loaded.
const MAX_EARLY: usize = 256;

/// Maximum number of contiguous runs.
const MAX_RUNS: usize = 32;

/// Messages of a room, and the parts of its log for which they are complete. Parts may arrive
/// in any order: for each message the form with the latest change wins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    limit: usize,
    messages: OrdMap<u64, Changed>,
    /// First and last seq of each contiguous part of the log; no two are adjacent.
    runs: OrdMap<u64, u64>,
    /// Changes of messages that are not loaded.
    early: Early,
}

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            messages: OrdMap::new(),
            runs: OrdMap::new(),
            early: Early::new(MAX_EARLY),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.limit == other.limit
            && self.early == other.early
            && (self.messages.ptr_eq(&other.messages) || self.messages == other.messages)
            && (self.runs.ptr_eq(&other.runs) || self.runs == other.runs)
    }

    /// Clears it; received state of another epoch does not belong into it.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Applies a received event.
    pub(super) fn event(&mut self, event: &v1::Event) {
        if let Some(message) = Message::of(event) {
            if !self.early.is_enough(event.seq) {
                return;
            }
            self.read(message);
        } else if let Some(target) = target_of(event) {
            self.change(target, event);
        }
        self.cover(event.seq..=event.seq);
        self.trim();
    }

    /// Applies a part of the log that was read, with all changes up to `as_of`. A page older
    /// than dropped changes is useless, and has to be read again.
    pub(super) fn page(&mut self, events: &[v1::Event], covers: RangeInclusive<u64>, as_of: u64) {
        if !self.early.is_enough(as_of) {
            return;
        }
        for event in events {
            if let Some(message) = Message::of(event) {
                self.read(message);
            } else if let Some(target) = target_of(event) {
                self.change(target, event);
            }
        }
        self.cover(covers);
        self.trim();
    }

    /// A part of the log that is unavailable: nothing is missing there.
    pub(super) fn skip(&mut self, part: RangeInclusive<u64>) {
        self.cover(part);
        self.trim();
    }

    /// First and last seq of the latest part of the log.
    pub(super) fn last_run(&self) -> Option<(u64, u64)> {
        self.runs.get_max().copied()
    }

    /// The messages of that part, in ascending order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        // Without a run there are no messages.
        let (from, to) = self.last_run().unwrap_or((1, 0));
        let bounds = if from <= to { from..to.saturating_add(1) } else { 0..0 };
        self.messages.range(bounds).map(|(_, message)| message.now())
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Arc<Message>> {
        self.messages.get(&seq).map(Changed::now)
    }

    fn read(&mut self, message: Message) {
        let seq = message.seq;
        match self.messages.get_mut(&seq) {
            Some(held) => held.read(message),
            None => {
                let changes = self.early.take(seq);
                self.messages.insert(seq, Changed::new(message, changes));
            }
        }
    }

    fn change(&mut self, target: u64, event: &v1::Event) {
        match self.messages.get_mut(&target) {
            Some(held) => held.change(event),
            None => self.early.keep(event),
        }
    }

    fn cover(&mut self, part: RangeInclusive<u64>) {
        let (mut from, mut to) = part.into_inner();
        if from > to {
            return;
        }
        // Parts that overlap this one or directly follow it.
        while let Some((start, end)) =
            self.runs.get_prev(&to.saturating_add(1)).map(|(start, end)| (*start, *end))
            && end.saturating_add(1) >= from
        {
            if start <= from && end >= to {
                return;
            }
            self.runs.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.runs.insert(from, to);
    }

    /// Drops what exceeds the limits, oldest first.
    fn trim(&mut self) {
        while self.messages.len() > self.limit || self.runs.len() > MAX_RUNS {
            let Some((start, end)) = self.runs.get_min().copied() else { return };
            if self.runs.len() > MAX_RUNS {
                self.drop_messages(end);
                self.runs.remove(&start);
                continue;
            }
            let Some(oldest) = self.messages.get_min().map(|(seq, _)| *seq) else { return };
            self.messages.remove(&oldest);
            if oldest >= start {
                self.runs.remove(&start);
                if oldest < end {
                    self.runs.insert(oldest + 1, end);
                }
            }
        }
    }

    fn drop_messages(&mut self, up_to: u64) {
        while let Some(oldest) = self.messages.get_min().map(|(seq, _)| *seq).filter(|seq| *seq <= up_to) {
            if let Some(message) = self.messages.remove(&oldest) {
                // When read again, it has to contain its known changes.
                self.early.forget(message.now().changed_seq);
            }
        }
    }
}
