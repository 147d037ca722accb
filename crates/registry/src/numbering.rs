//! Numbers of the envelopes between nodes, so that receivers notice what was lost.
//!
//! The envelopes that a node publishes to one channel are numbered. Once a second each node
//! publishes a [`Beat`] to all others, with the last number of every channel that it has used
//! since. A number that has not arrived a heartbeat after it was known to be sent is lost; so is
//! everything from a node whose beats do not arrive. All of this is pure: time is counted in
//! ticks, one in each heartbeat.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::limits::{IDLE_BEATS, MAX_AHEAD, MAX_ANNOUNCED};

/// A stream that begins anew gets another generation, in the bits above these of its numbers.
const GENERATION_SHIFT: u32 = 32;

/// What a node announces of the envelopes that it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Rises by one with each beat of a node.
    pub number: u64,
    /// Rises when something could not be published for a while.
    pub unpublished: u64,
    /// Channels, and the last number sent to each.
    pub last: Vec<(String, u64)>,
}

/// The numbers that a node has given to what it publishes.
#[derive(Debug, Default)]
pub struct Sent {
    streams: HashMap<String, SentStream>,
    /// Channels that are to be announced, each once, in the order in which they were used.
    pending: VecDeque<String>,
    generations: u64,
    beats: u64,
    unpublished: u64,
}

#[derive(Debug)]
struct SentStream {
    last: u64,
    announced: bool,
    idle_beats: u32,
}

impl Sent {
    /// The number of the next envelope to `channel`.
    pub fn next(&mut self, channel: &str) -> u64 {
        if let Some(stream) = self.streams.get_mut(channel) {
            stream.last += 1;
            if std::mem::take(&mut stream.announced) {
                self.pending.push_back(channel.to_owned());
            }
            return stream.last;
        }
        let last = (self.generations << GENERATION_SHIFT) + 1;
        self.generations += 1;
        self.pending.push_back(channel.to_owned());
        self.streams.insert(channel.to_owned(), SentStream { last, announced: false, idle_beats: 0 });
        last
    }

    /// Has the receivers informed that something was not published to them.
    pub fn report_unpublished(&mut self) {
        self.unpublished += 1;
    }

    /// The next beat. What it has no room for is first in the one after: of n channels that are
    /// always in use, each is announced at least once in n / 1,000 beats, rounded up.
    pub fn beat(&mut self) -> Beat {
        self.beats += 1;
        for stream in self.streams.values_mut().filter(|stream| stream.announced) {
            stream.idle_beats += 1;
        }
        let mut last = Vec::new();
        for channel in self.pending.drain(..self.pending.len().min(MAX_ANNOUNCED)) {
            let Some(stream) = self.streams.get_mut(&channel) else { continue };
            stream.announced = true;
            stream.idle_beats = 0;
            last.push((channel, stream.last));
        }
        self.streams.retain(|_, stream| !stream.announced || stream.idle_beats < IDLE_BEATS);
        Beat { number: self.beats, unpublished: self.unpublished, last }
    }
}

/// Why news is taken for lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A number, or a beat, did not arrive.
    Gap,
    /// No beat of a node that is alive has arrived for a while.
    Silence,
    /// A node reported that it could not publish.
    Unpublished,
    /// Envelopes of another fleet were dropped: a part of this one may be on a store that was
    /// restored.
    Foreign,
}

/// How long what does not arrive is waited for, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without a beat, until a node that is alive is silent. Longer than a lease, so that a node
    /// that has died is known to be gone by then.
    pub silence: u32,
    /// Between reports of dropped envelopes of another fleet.
    pub foreign: u32,
}

/// The numbers that have reached a node.
#[derive(Debug)]
pub struct Arrivals {
    /// The node's own channel: subscribed to before anyone can publish to it.
    own: String,
    patience: Patience,
    senders: HashMap<String, Sender>,
    foreign: bool,
    /// Ticks until dropped envelopes are reported once more.
    foreign_pause: u32,
}

#[derive(Debug, Default)]
struct Sender {
    streams: HashMap<String, Stream>,
    beat: Option<u64>,
    unpublished: Option<u64>,
    ticks_without_beat: u32,
    beat_lost: bool,
    reported: bool,
}

impl Sender {
    /// The stream that an envelope or a beat with `number` belongs to; `None` if no node gives such
    /// a number.
    fn stream(&mut self, channel: &str, number: u64, is_own: bool, is_envelope: bool) -> Option<&mut Stream> {
        if !is_possible(number) {
            return None;
        }
        let held = self.streams.get(channel);
        if held.is_none_or(|held| held.is_older_than(number)) {
            // While this node listens, all numbers of a generation are sent to it.
            let is_strict = is_own || held.is_some();
            self.streams.insert(channel.to_owned(), Stream::of(number, is_strict, is_envelope));
        }
        self.streams.get_mut(channel)
    }
}

#[derive(Debug)]
struct Stream {
    /// The lowest number that has not arrived.
    next: u64,
    /// Those above that have.
    ahead: BTreeSet<u64>,
    /// The highest number known to be sent.
    sent: u64,
    /// The same as of the last tick: all of these are overdue now.
    due: u64,
}

/// Whether this is a number that a node gives: the first of a generation is 1, and so many
/// generations there are not.
fn is_possible(number: u64) -> bool {
    let (generation, within) = (number >> GENERATION_SHIFT, number & ((1 << GENERATION_SHIFT) - 1));
    within != 0 && generation < 1 << 31
}

impl Stream {
    fn starting_at(next: u64) -> Self {
        Self { next, ahead: BTreeSet::new(), sent: next - 1, due: next - 1 }
    }

    /// The stream that an envelope or a beat with `number` belongs to.
    fn of(number: u64, strict: bool, is_envelope: bool) -> Self {
        Self::starting_at(match (strict, is_envelope) {
            (true, _) => (number >> GENERATION_SHIFT << GENERATION_SHIFT) + 1,
            (false, true) => number,
            (false, false) => number + 1,
        })
    }

    fn is_older_than(&self, number: u64) -> bool {
        (self.next >> GENERATION_SHIFT) < (number >> GENERATION_SHIFT)
    }

    fn arrive(&mut self, number: u64) {
        self.sent = self.sent.max(number);
        if number == self.next {
            self.next += 1;
            self.skip_arrived();
        } else if number > self.next && self.ahead.len() < MAX_AHEAD {
            self.ahead.insert(number);
        }
    }

    fn skip_arrived(&mut self) {
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// Whether a number is overdue. It is not waited for any longer.
    fn is_overdue(&mut self) -> bool {
        let overdue = self.next <= self.due;
        if overdue {
            self.next = self.due + 1;
            self.ahead = self.ahead.split_off(&self.next);
            self.skip_arrived();
        }
        self.due = self.sent;
        overdue
    }
}

impl Arrivals {
    /// Nothing has arrived yet at the node with this channel.
    pub fn new(own: String, patience: Patience) -> Self {
        Self { own, patience, senders: HashMap::new(), foreign: false, foreign_pause: 0 }
    }

    /// An envelope has arrived.
    pub fn envelope(&mut self, sender: &str, channel: &str, number: u64) {
        let is_own = channel == self.own;
        let sender = entry(&mut self.senders, sender);
        if let Some(stream) = sender.and_then(|sender| sender.stream(channel, number, is_own, true)) {
            stream.arrive(number);
        }
    }

    /// A beat has arrived. `follows` says which channels this node is subscribed to, but for its
    /// own.
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

    /// An envelope of another fleet was dropped.
    pub fn dropped_foreign(&mut self) {
        self.foreign = true;
    }

    /// The node listens again, and compares everything with the store. The beats that it has missed
    /// count as lost with the next one: they may have announced what was sent, and lost, since it
    /// began to compare.
    pub fn resume(&mut self) {
        for sender in self.senders.values_mut() {
            sender.ticks_without_beat = 0;
        }
    }

    /// What was lost, each cause once. To be called in each heartbeat.
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

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "node:me";
    const ROOM: &str = "room:r";

    /// One node that sends, and one that receives.
    struct Pair {
        sent: Sent,
        arrivals: Arrivals,
    }

    impl Pair {
        fn new() -> Self {
            Self {
                sent: Sent::default(),
                arrivals: Arrivals::new(OWN.to_owned(), Patience { silence: 3, foreign: 3 }),
            }
        }

        fn send(&mut self, channel: &str) {
            let number = self.sent.next(channel);
            self.arrivals.envelope("peer", channel, number);
        }

        fn lose(&mut self, channel: &str) {
            self.sent.next(channel);
        }

        fn beat(&mut self) {
            let beat = self.sent.beat();
            self.arrivals.beat("peer", &beat, |channel| channel == ROOM);
        }

        fn tick(&mut self) -> Vec<Loss> {
            self.arrivals.tick(|_| true, |channel| channel == ROOM).into_iter().collect()
        }

        /// A second: a beat, then what the receiver finds.
        fn second(&mut self) -> Vec<Loss> {
            self.beat();
            self.tick()
        }
    }

    #[test]
    fn nothing_is_lost_where_everything_arrives() {
        let mut pair = Pair::new();
        for round in 0..10 {
            for _ in 0..round {
                pair.send(OWN);
                pair.send(ROOM);
            }
            assert_eq!(pair.second(), []);
        }
    }

    #[test]
    fn lost_envelope_is_noticed_once_with_the_next_or_with_the_beat() {
        for (channel, followed_by_another) in [(OWN, true), (OWN, false), (ROOM, true), (ROOM, false)] {
            let mut pair = Pair::new();
            pair.send(channel);
            assert_eq!(pair.second(), []);
            pair.lose(channel);
            if followed_by_another {
                pair.send(channel);
            }
            assert_eq!(pair.second(), [], "it may be on its way");
            assert_eq!(pair.second(), [Loss::Gap], "{channel} {followed_by_another}");
            pair.send(channel);
            for _ in 0..5 {
                assert_eq!(pair.second(), []);
            }
        }
    }

    /// Everything that is published to a node can reach it: its channel is subscribed first.
    #[test]
    fn first_envelope_to_a_node_may_not_be_lost() {
        let mut pair = Pair::new();
        pair.lose(OWN);
        pair.send(OWN);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![Loss::Gap]]);
        let mut pair = Pair::new();
        pair.lose(OWN);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![Loss::Gap]]);
    }

    #[test]
    fn what_was_sent_to_a_room_before_it_was_followed_is_not_missed() {
        let mut pair = Pair::new();
        pair.lose(ROOM);
        pair.lose(ROOM);
        pair.send(ROOM);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]]);
        let mut pair = Pair::new();
        pair.lose(ROOM);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]]);
        pair.lose(ROOM);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![Loss::Gap]]);
    }

    #[test]
    fn order_does_not_matter_within_a_heartbeat() {
        let mut pair = Pair::new();
        let numbers: Vec<u64> = (0..5).map(|_| pair.sent.next(OWN)).collect();
        for number in [1, 0, 4, 3, 3] {
            pair.arrivals.envelope("peer", OWN, numbers[number]);
        }
        assert_eq!(pair.second(), []);
        pair.arrivals.envelope("peer", OWN, numbers[2]);
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]]);
    }

    #[test]
    fn lost_and_missing_beats_are_noticed() {
        let mut pair = Pair::new();
        pair.beat();
        pair.sent.beat();
        pair.beat();
        assert_eq!(pair.tick(), [Loss::Gap]);
        assert_eq!([pair.tick(), pair.tick(), pair.tick()], [vec![], vec![Loss::Silence], vec![]]);
        assert_eq!([pair.tick(), pair.tick()], [vec![], vec![Loss::Silence]], "again and again");
    }

    #[test]
    fn beats_missed_before_resuming_count_with_the_next_one() {
        let mut pair = Pair::new();
        pair.send(ROOM);
        assert_eq!(pair.second(), []);
        pair.arrivals.resume();
        // Announced once, to nobody.
        pair.lose(ROOM);
        pair.sent.beat();
        assert_eq!(pair.second(), [Loss::Gap]);
        assert_eq!(pair.second(), []);
        pair.arrivals.resume();
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]], "none was missed");
    }

    #[test]
    fn every_busy_channel_is_announced_in_turn() {
        let mut sent = Sent::default();
        let channels: Vec<String> = (0..5 * MAX_ANNOUNCED / 2).map(|at| format!("room:{at}")).collect();
        let mut last_announced = HashMap::new();
        for beat in 1..=12 {
            for channel in &channels {
                sent.next(channel);
            }
            let announced = sent.beat().last;
            assert_eq!(announced.len(), MAX_ANNOUNCED);
            last_announced.extend(announced.into_iter().map(|(channel, _)| (channel, beat)));
            let oldest = last_announced.values().min();
            assert!(beat < 3 || (last_announced.len() == channels.len() && oldest > Some(&(beat - 3))));
        }
        // Those left over, and then nothing.
        assert_eq!([sent.beat().last.len(), sent.beat().last.len()], [MAX_ANNOUNCED, MAX_ANNOUNCED / 2]);
        assert_eq!(sent.beat().last, []);
    }

    #[test]
    fn unpublished_envelopes_are_reported() {
        let mut pair = Pair::new();
        pair.sent.report_unpublished();
        assert_eq!(pair.second(), [], "before this node had joined");
        pair.sent.report_unpublished();
        assert_eq!([pair.second(), pair.second()], [vec![Loss::Unpublished], vec![]]);
    }

    #[test]
    fn foreign_envelopes_are_reported_now_and_then() {
        let mut pair = Pair::new();
        let reported = (0..9).filter(|_| {
            pair.arrivals.dropped_foreign();
            !pair.tick().is_empty()
        });
        assert_eq!(reported.count(), 3);
    }

    #[test]
    fn streams_that_begin_anew_are_followed_from_their_beginning() {
        let mut pair = Pair::new();
        for channel in [OWN, ROOM] {
            pair.send(channel);
        }
        pair.second();
        for _ in 0..=IDLE_BEATS {
            assert_eq!(pair.second(), []);
        }
        assert!(pair.sent.streams.is_empty());
        for channel in [OWN, ROOM] {
            pair.send(channel);
        }
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]]);
        for channel in [OWN, ROOM] {
            pair.lose(channel);
            assert_eq!([pair.second(), pair.second()], [vec![], vec![Loss::Gap]], "{channel}");
        }
    }

    #[test]
    fn the_first_envelope_after_a_long_pause_is_missed_in_a_room_too() {
        let mut pair = Pair::new();
        for channel in [OWN, ROOM] {
            pair.send(channel);
            pair.second();
            for _ in 0..=IDLE_BEATS {
                assert_eq!(pair.second(), []);
            }
            pair.lose(channel);
            assert_eq!([pair.second(), pair.second()], [vec![], vec![Loss::Gap]], "{channel}");
        }
    }

    #[test]
    fn numbers_that_no_node_gives_are_ignored() {
        let mut pair = Pair::new();
        pair.send(ROOM);
        let sender = pair.arrivals.senders.keys().next().unwrap().clone();
        for number in [0, 1 << GENERATION_SHIFT, u64::MAX] {
            pair.arrivals.envelope(&sender, ROOM, number);
        }
        assert_eq!([pair.second(), pair.second()], [vec![], vec![]]);
    }

    #[test]
    fn nodes_that_have_ended_are_forgotten() {
        let mut pair = Pair::new();
        pair.send(OWN);
        pair.beat();
        for _ in 0..=IDLE_BEATS {
            assert_eq!(pair.arrivals.tick(|_| false, |_| true).len(), 0);
        }
        assert!(pair.arrivals.senders.is_empty());
    }
}
