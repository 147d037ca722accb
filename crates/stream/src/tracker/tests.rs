//! A sink that is unavailable, and what ends that.

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::{EventKey, Parked, RoomProgress};
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
    // Two that have not failed, the last one first, then in the order of failures.
    for number in [6, 5, 0, 1, 2, 3, 4, 6, 5, 0] {
        at += LIMITS.max_away_ms + 1_000;
        assert_eq!(tracker.next(at), Some(room(number)));
        assert_eq!(tracker.next(at), None, "one at a time");
        failed(&mut tracker, number, at);
    }
}

/// An event that is announced while the work on its room is under way, as in a lively room.
#[test]
fn an_event_that_is_announced_during_a_delivery_is_next_at_once() {
    let announce = |tracker: &mut Tracker, last: u64| {
        let head = MovedHead { room: room(0), first: last, last };
        let changes = Changes { heads: vec![head], ..Changes::default() };
        let record = Record { position: Position::numbered("s", last), at: Timestamp(1), changes };
        tracker.record(&record, 0);
    };
    let read_to = |tracker: &mut Tracker, head: u64| {
        let (done, outcome) = (Some(EventKey { epoch: 1, seq: head }), Outcome::UpTo { head });
        tracker.ended(&room(0), Ended { done, answered: true, outcome, ..Ended::NOTHING }, 0);
    };
    let mut tracker = tracker(1);
    assert_eq!(tracker.next(0), Some(room(0)));
    announce(&mut tracker, 2);
    read_to(&mut tracker, 1);
    assert_eq!(tracker.next(0), Some(room(0)));
    // One that the log does not show is waited for, unless another one is announced.
    read_to(&mut tracker, 1);
    assert_eq!(tracker.next(0), None);
    announce(&mut tracker, 3);
    assert_eq!(tracker.next(0), Some(room(0)));
    read_to(&mut tracker, 3);
    assert_eq!((tracker.next(0), tracker.active()), (None, 0));
}

/// Rooms that have failed take no more than their part of the places, however many they are.
#[test]
fn rooms_that_have_failed_leave_places_to_others() {
    let mut tracker = tracker(200);
    let part = LIMITS.max_in_flight / 4;
    let fail = |tracker: &mut Tracker, id: &RoomId, at: u64| {
        let outcome = Outcome::Unavailable { retry_after_ms: 0, is_fault: false };
        tracker.ended(id, Ended { outcome, ..Ended::NOTHING }, at);
    };
    // All of them fail, while another one is accepted now and then.
    for number in 0..199 {
        assert_eq!(tracker.next(0), Some(room(number)));
        fail(&mut tracker, &room(number), 0);
        if number % 3 == 0 {
            tracker.answered(0);
        }
    }
    let at = 2 * LIMITS.backoff_ms;
    let mut begun: Vec<RoomId> = std::iter::from_fn(|| tracker.next(at)).collect();
    assert_eq!(begun.len(), part + 1, "a quarter of the places, and one that has not failed");
    // As one ends, the next one is tried.
    begun.retain(|id| *id != room(199));
    accepted(&mut tracker, 199, at);
    for id in begun {
        fail(&mut tracker, &id, at);
        tracker.answered(at);
        let next = tracker.next(at).expect("there are more");
        assert_ne!(next, id);
    }
    assert_eq!(tracker.next(at), None);
}

/// Rows that were read before a command say that rooms are parked.
#[test]
fn a_command_during_the_work_on_a_room_outlasts_what_the_work_has_read() {
    let parked = || Parked { reason: "no".to_owned(), since: Timestamp(5) };
    let refused_at = EventKey { epoch: 1, seq: 3 };
    for skipped in [0, 1] {
        let mut tracker = tracker(1);
        assert_eq!(tracker.next(0), Some(room(0)));
        let done = EventKey { seq: refused_at.seq + skipped, ..refused_at };
        let row = RoomProgress { done, pending: true, ..RoomProgress::default() };
        if skipped == 0 {
            tracker.unparked(&[(room(0), row.clone())], Some(Timestamp(5)));
        } else {
            tracker.unpark(&room(0), row.clone(), Timestamp(5));
        }
        let end = |tracker: &mut Tracker| {
            let outcome = Outcome::Parked(parked());
            let ended = Ended { done: Some(refused_at), outcome, ..Ended::NOTHING };
            let ended = tracker.since_commands(&room(0), ended);
            tracker.ended(&room(0), ended, 0);
        };
        end(&mut tracker);
        assert_eq!(tracker.flush(0).unwrap().rows, [(room(0), row)]);
        assert_eq!(tracker.next(0), Some(room(0)));
        assert_eq!(tracker.origin(&room(0)).unwrap().done, Some(done));
        // What is refused after the command is parked.
        end(&mut tracker);
        assert_eq!((tracker.next(0), tracker.active()), (None, 0));
    }
}
