//! The messages of a room that is open.

use std::ops::RangeInclusive;
use std::sync::Arc;

use imbl::OrdMap;
use parlance_proto::v1;

use super::changes::{Changed, Early};
use super::message::{Message, target_of};

/// Changes that wait for messages that are not there.
const MAX_EARLY: usize = 256;

/// Runs without a hole that are held.
const MAX_RUNS: usize = 32;

/// Messages of a room, and which parts of its log they are all of. Parts may arrive in any
/// order: of one message the form with the later change stays.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    limit: usize,
    messages: OrdMap<u64, Changed>,
    /// First and last seq of each part of the log that is known without a hole; no two touch.
    runs: OrdMap<u64, u64>,
    /// Changes to messages that are not there.
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

    /// Empties it; what was received of another epoch has no place in it.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// Takes an event as it is received.
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

    /// Takes what was read of a part of the log, with all changes up to `as_of`. A page that is
    /// older than changes that were dropped is of no use: it has to be read again.
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

    /// A part of the log that is not to be had: nothing is missing there.
    pub(super) fn skip(&mut self, part: RangeInclusive<u64>) {
        self.cover(part);
        self.trim();
    }

    /// First and last seq of the part of the log that reaches furthest.
    pub(super) fn last_run(&self) -> Option<(u64, u64)> {
        self.runs.get_max().copied()
    }

    /// The messages of that part, by rising seq.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        // Without a run there is no message.
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
        // Those that begin before the end of this part, or just behind it, and reach it.
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

    /// Drops what is too much, the oldest first.
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
                // Read again, it has to contain what is known of it.
                self.early.forget(message.now().changed_seq);
            }
        }
    }
}
