//! A sink that is unavailable, and what ends that.

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::EventKey;
use parlance_store::feed::{Changes, MovedHead, Position, Record};

use super::{Ended, Limits, Outcome, Tracker};

const LIMITS: Limits = Limits { away_after: 5, max_away_ms: 60_000, ..Limits::PRODUCTION };

const HOUR_MS: u64 = 3_600_000;

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

/// A tracker of rooms with one event each.
fn tracker(rooms: u64) -> Tracker {
    let mut tracker = Tracker::new(Position::numbered("s", 0), false, None, LIMITS);
    for number in 0..rooms {
        let head = MovedHead { room: room(number), first: 1, last: 1 };
        let changes = Changes { heads: vec![head], ..Changes::default() };
        tracker
            .record(&Record { position: Position::numbered("s", number + 1), at: Timestamp(1), changes }, 0);
    }
    tracker
}

/// The sink is asked for the first `rooms` rooms, and wants each of them an hour later.
fn limited(tracker: &mut Tracker, rooms: u64) {
    for number in 0..rooms {
        assert_eq!(tracker.next(number), Some(room(number)));
        let outcome = Outcome::Unavailable { retry_after_ms: HOUR_MS, is_fault: false };
        tracker.ended(&room(number), Ended { outcome, ..Ended::NOTHING }, number);
    }
    assert_eq!(tracker.is_away(), rooms >= u64::from(LIMITS.away_after));
}

#[test]
fn a_sink_that_limits_some_rooms_is_asked_for_others_within_a_minute() {
    let mut tracker = tracker(6);
    limited(&mut tracker, 5);
    assert_eq!(tracker.next(5 + LIMITS.max_away_ms), Some(room(5)));
    // The limited rooms wait for as long as they were asked to.
    tracker.ended(&room(5), Ended { outcome: Outcome::Failed, ..Ended::NOTHING }, HOUR_MS / 2);
    assert_eq!(tracker.next(HOUR_MS / 2), None);
}

#[test]
fn an_operator_who_resumes_does_not_wait_for_a_sink_that_was_away() {
    let mut tracker = tracker(6);
    limited(&mut tracker, 5);
    assert_eq!(tracker.next(5), None);
    tracker.pause(false);
    assert!(!tracker.is_away());
    let next: Vec<_> = std::iter::from_fn(|| tracker.next(5)).collect();
    assert_eq!(next.len(), 6);
}

#[test]
fn a_refused_event_shows_that_the_sink_is_back() {
    let mut tracker = tracker(6);
    limited(&mut tracker, 5);
    let at = 5 + LIMITS.max_away_ms;
    assert_eq!(tracker.next(at), Some(room(5)));
    let done = Some(EventKey { epoch: 1, seq: 1 });
    let outcome = Outcome::UpTo { head: 1 };
    tracker.ended(&room(5), Ended { done, answered: true, outcome, ..Ended::NOTHING }, at);
    assert!(!tracker.is_away() && tracker.is_answering());
}

/// The sink accepts a room at this time.
fn accepted(tracker: &mut Tracker, number: u64, at: u64) {
    let (done, outcome) = (Some(EventKey { epoch: 1, seq: 1 }), Outcome::UpTo { head: 1 });
    tracker.ended(&room(number), Ended { done, answered: true, outcome, ..Ended::NOTHING }, at);
}

#[test]
fn a_sink_that_is_back_is_not_asked_earlier_for_rooms_that_it_limits() {
    let mut tracker = tracker(6);
    limited(&mut tracker, 5);
    let at = 5 + LIMITS.max_away_ms;
    assert_eq!(tracker.next(at), Some(room(5)));
    accepted(&mut tracker, 5, at);
    assert_eq!((tracker.is_away(), tracker.next(at)), (false, None));
    let next: Vec<_> = std::iter::from_fn(|| tracker.next(5 + HOUR_MS)).collect();
    assert_eq!(next.len(), 5);
}

#[test]
fn an_unavailable_sink_is_probed_with_rooms_that_have_not_failed_and_then_with_the_oldest_failure() {
    let mut tracker = tracker(7);
    let failed = |tracker: &mut Tracker, number: u64, at: u64| {
        let outcome = Outcome::Unavailable { retry_after_ms: 0, is_fault: true };
        tracker.ended(&room(number), Ended { outcome, ..Ended::NOTHING }, at);
    };
    for number in 0..5 {
        assert_eq!(tracker.next(number), Some(room(number)));
        failed(&mut tracker, number, number);
    }
    assert!(tracker.is_away());
    let mut at = 0;
    // Two that have not failed, then in the order of failures.
    for number in [5, 6, 0, 1, 2, 3, 4, 5, 6, 0] {
        at += LIMITS.max_away_ms + 1_000;
        assert_eq!(tracker.next(at), Some(room(number)));
        assert_eq!(tracker.next(at), None, "one at a time");
        failed(&mut tracker, number, at);
    }
}
