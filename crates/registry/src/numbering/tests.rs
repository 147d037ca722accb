use std::collections::HashMap;

use super::*;
use crate::limits::{IDLE_BEATS, MAX_ANNOUNCED};

const OWN: &str = "node:me";
const ROOM: &str = "room:r";

/// A sending and a receiving node.
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

    /// Advances by a second: sends a beat, then returns what the receiver finds lost.
    fn second(&mut self) -> Vec<Loss> {
        self.beat();
        self.tick()
    }
}

#[test]
fn nothing_is_reported_lost_if_everything_arrives() {
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

/// Everything published to a node can reach it, because its channel is subscribed first.
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
fn messages_before_following_a_room_are_not_missed() {
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
    // Announced once, with nobody subscribed.
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
    // The remaining ones, and then nothing.
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
fn restarted_streams_are_followed_from_their_start() {
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
fn impossible_numbers_are_ignored() {
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
