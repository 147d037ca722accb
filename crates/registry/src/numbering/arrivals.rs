use std::collections::{BTreeSet, HashMap};

use super::sent::Beat;
use super::stream::{Stream, is_possible};
use crate::limits::IDLE_BEATS;

/// Why messages count as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A number or a beat did not arrive.
    Gap,
    /// No beat of a live node has arrived for a while.
    Silence,
    /// A node reported that it could not publish.
    Unpublished,
    /// Envelopes of another fleet were dropped: some nodes of this one may be on a restored store.
    Foreign,
}

/// How long to wait for missing messages, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Time without a beat until a live node counts as silent. Longer than a lease, so that a
    /// crashed node is known to be gone by then.
    pub silence: u32,
    /// Between reports of dropped envelopes of another fleet.
    pub foreign: u32,
}

/// The numbers that have arrived at a node.
#[derive(Debug)]
pub struct Arrivals {
    /// The node's own channel: subscribed to before anyone can publish to it.
    own: String,
    patience: Patience,
    pub(super) senders: HashMap<String, Sender>,
    foreign: bool,
    /// Ticks until dropped envelopes are reported again.
    foreign_pause: u32,
}

#[derive(Debug, Default)]
pub(super) struct Sender {
    streams: HashMap<String, Stream>,
    beat: Option<u64>,
    unpublished: Option<u64>,
    ticks_without_beat: u32,
    beat_lost: bool,
    reported: bool,
}

impl Sender {
    /// The stream of an envelope or a beat with `number`; `None` if no node assigns such a number.
    fn stream(&mut self, channel: &str, number: u64, is_own: bool, is_envelope: bool) -> Option<&mut Stream> {
        if !is_possible(number) {
            return None;
        }
        let held = self.streams.get(channel);
        if held.is_none_or(|held| held.is_older_than(number)) {
            // While this node is subscribed, it receives all numbers of a generation.
            let is_strict = is_own || held.is_some();
            self.streams.insert(channel.to_owned(), Stream::of(number, is_strict, is_envelope));
        }
        self.streams.get_mut(channel)
    }
}

impl Arrivals {
    /// Starts without arrivals, for the node with this channel.
    pub fn new(own: String, patience: Patience) -> Self {
        Self { own, patience, senders: HashMap::new(), foreign: false, foreign_pause: 0 }
    }

    /// Records an arrived envelope.
    pub fn envelope(&mut self, sender: &str, channel: &str, number: u64) {
        let is_own = channel == self.own;
        let sender = entry(&mut self.senders, sender);
        if let Some(stream) = sender.and_then(|sender| sender.stream(channel, number, is_own, true)) {
            stream.arrive(number);
        }
    }

    /// Records an arrived beat. `follows` says which channels this node is subscribed to, except
    /// for its own.
    pub fn beat(&mut self, sender: &str, beat: &Beat, follows: impl Fn(&str) -> bool) {
        let own = self.own.as_str();
        let Some(sender) = entry(&mut self.senders, sender) else { return };
        sender.ticks_without_beat = 0;
        sender.beat_lost |= sender.beat.is_some_and(|before| beat.number > before + 1);
        sender.beat = sender.beat.max(Some(beat.number));
        sender.reported |= sender.unpublished.is_some_and(|before| beat.unpublished > before);
        sender.unpublished = sender.unpublished.max(Some(beat.unpublished));
        for (channel, number) in beat.last.iter().filter(|(channel, _)| channel == own || follows(channel)) {
            if let Some(stream) = sender.stream(channel, *number, channel == own, false) {
                stream.sent = stream.sent.max(*number);
            }
        }
    }

    /// Records a dropped envelope of another fleet.
    pub fn dropped_foreign(&mut self) {
        self.foreign = true;
    }

    /// Called when the node is subscribed again and compares everything with the store. The beats
    /// that it has missed count as lost with the next one: they may have announced messages sent
    /// and lost since the comparison began.
    pub fn resume(&mut self) {
        for sender in self.senders.values_mut() {
            sender.ticks_without_beat = 0;
        }
    }

    /// Returns what was lost, each cause once. Called on each heartbeat.
    pub fn tick(
        &mut self,
        is_alive: impl Fn(&str) -> bool,
        follows: impl Fn(&str) -> bool,
    ) -> BTreeSet<Loss> {
        let mut losses = BTreeSet::new();
        for (name, sender) in &mut self.senders {
            sender.streams.retain(|channel, _| *channel == self.own || follows(channel));
            let overdue = sender.streams.values_mut().fold(false, |any, stream| stream.is_overdue() | any);
            if std::mem::take(&mut sender.beat_lost) | overdue {
                losses.insert(Loss::Gap);
            }
            if std::mem::take(&mut sender.reported) {
                losses.insert(Loss::Unpublished);
            }
            sender.ticks_without_beat += 1;
            let silent = sender.ticks_without_beat.is_multiple_of(self.patience.silence.max(1));
            if silent && sender.unpublished.is_some() && is_alive(name) {
                losses.insert(Loss::Silence);
            }
        }
        self.senders.retain(|name, sender| is_alive(name) || sender.ticks_without_beat < IDLE_BEATS);
        self.foreign_pause = self.foreign_pause.saturating_sub(1);
        if self.foreign && self.foreign_pause == 0 {
            self.foreign = false;
            self.foreign_pause = self.patience.foreign;
            losses.insert(Loss::Foreign);
        }
        losses
    }
}

/// The sender's entry. Allocates only for the first envelope of a node.
fn entry<'a>(senders: &'a mut HashMap<String, Sender>, name: &str) -> Option<&'a mut Sender> {
    if !senders.contains_key(name) {
        senders.insert(name.to_owned(), Sender::default());
    }
    senders.get_mut(name)
}
