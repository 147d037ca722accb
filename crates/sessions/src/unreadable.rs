//! Rooms of a session that could not be read, with their retry times.
use std::future::pending;
use std::pin::Pin;

use parlance_core::{Backoff, RoomId};
use parlance_runtime::map::HashMap;
use parlance_store::StoreError;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::cursor::Cursor;
use crate::limits::{DAMAGED_BACKOFF, UNANSWERED_BACKOFF};

/// Each room backs off by its own failures; one timer serves them all.
#[derive(Default)]
pub(crate) struct Unreadable {
    rooms: HashMap<RoomId, Waiting>,
    /// Failures of rooms that were opened since but are not known to be readable to their end.
    reopened: HashMap<RoomId, u32>,
    /// Fires when the first of them is due.
    timer: Option<Pin<Box<Sleep>>>,
}

struct Waiting {
    /// The client's cursor in the room.
    cursor: Option<Cursor>,
    /// The number of failures.
    failures: u32,
    /// `None` during a retry.
    due: Option<Instant>,
}

impl Unreadable {
    /// `room` cannot be read: retried after a delay, longer if it failed right before.
    pub(crate) fn add(&mut self, room: RoomId, cursor: Option<Cursor>, error: &StoreError) {
        let failures = self.reopened.remove(&room).unwrap_or_default().saturating_add(1);
        let due = Some(Instant::now() + backoff(error).delay(failures));
        self.rooms.insert(room, Waiting { cursor, failures, due });
        self.set_timer();
    }

    /// `room` is being read already, and takes long.
    pub(crate) fn add_late(&mut self, room: RoomId, cursor: Option<Cursor>) {
        self.rooms.insert(room, Waiting { cursor, failures: 0, due: None });
    }

    /// The client's cursor in `room`, if it is one of these.
    pub(crate) fn cursor(&self, room: &RoomId) -> Option<Option<Cursor>> {
        self.rooms.get(room).map(|waiting| waiting.cursor)
    }

    /// The number of those rooms.
    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Those rooms.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    /// The retry of `room` failed.
    pub(crate) fn failed_again(&mut self, room: &RoomId, error: &StoreError) {
        if let Some(waiting) = self.rooms.get_mut(room) {
            waiting.failures = waiting.failures.saturating_add(1);
            waiting.due = Some(Instant::now() + backoff(error).delay(waiting.failures));
        }
        self.set_timer();
    }

    /// `room` was opened; earlier parts of it may still be unreadable.
    pub(crate) fn reopened(&mut self, room: &RoomId) {
        if let Some(waiting) = self.rooms.remove(room) {
            self.reopened.insert(room.clone(), waiting.failures);
        }
        self.set_timer();
    }

    /// `room` was read to its end, or is no longer needed.
    pub(crate) fn forget(&mut self, room: &RoomId) {
        if !self.reopened.is_empty() {
            self.reopened.remove(room);
        }
        if self.rooms.remove(room).is_some() {
            self.set_timer();
        }
    }

    /// Waits until rooms are due. Cancel-safe.
    pub(crate) async fn ring(&mut self) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().await,
            None => pending().await,
        }
    }

    /// The rooms to retry now.
    pub(crate) fn take_due(&mut self) -> Vec<RoomId> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (room, waiting) in &mut self.rooms {
            if waiting.due.take_if(|at| *at <= now).is_some() {
                due.push(room.clone());
            }
        }
        self.set_timer();
        due
    }

    fn set_timer(&mut self) {
        let first = self.rooms.values().filter_map(|waiting| waiting.due).min();
        match (first, &mut self.timer) {
            (None, timer) => *timer = None,
            (Some(first), Some(timer)) if timer.deadline() == first && !timer.is_elapsed() => {}
            (Some(first), timer) => *timer = Some(Box::pin(sleep_until(first))),
        }
    }
}

fn backoff(error: &StoreError) -> Backoff {
    if let StoreError::Damaged(_) = error { DAMAGED_BACKOFF } else { UNANSWERED_BACKOFF }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn damage() -> StoreError {
        StoreError::Damaged("test".to_owned())
    }

    fn room(number: usize) -> RoomId {
        RoomId::parse(&format!("room-{number}")).unwrap()
    }

    /// Waits for the next round; returns how long that took, and which rooms it is for.
    async fn round(rooms: &mut Unreadable) -> (Duration, Vec<RoomId>) {
        let begun = Instant::now();
        rooms.ring().await;
        let mut due = rooms.take_due();
        due.sort();
        // The runtime's timer has a resolution of milliseconds.
        (Duration::from_secs(begun.elapsed().as_secs_f64().round() as u64), due)
    }

    #[tokio::test(start_paused = true)]
    async fn many_rooms_are_retried_as_soon_as_one() {
        let mut rooms = Unreadable::default();
        let all: Vec<RoomId> = (0..10).map(room).collect();
        for room in &all {
            rooms.add(room.clone(), None, &damage());
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(round(&mut rooms).await, (Duration::from_secs(seconds), all.clone()));
            for room in &all {
                rooms.failed_again(room, &damage());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_asked_again_soon() {
        let mut rooms = Unreadable::default();
        rooms.add_late(room(1), None);
        let unanswered = StoreError::Overloaded;
        for seconds in [1, 2, 4, 8, 10, 10] {
            rooms.failed_again(&room(1), &unanswered);
            assert_eq!(round(&mut rooms).await, (Duration::from_secs(seconds), vec![room(1)]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn first_failure_of_a_room_waits_for_no_other() {
        let mut rooms = Unreadable::default();
        rooms.add(room(1), None, &damage());
        for _ in 0..6 {
            round(&mut rooms).await;
            rooms.failed_again(&room(1), &damage());
        }
        rooms.add(room(2), None, &damage());
        assert_eq!(round(&mut rooms).await, (DAMAGED_BACKOFF.first, vec![room(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_other_rooms_delay_nothing() {
        let mut rooms = Unreadable::default();
        rooms.add(room(0), None, &damage());
        for number in 1..4 {
            tokio::time::advance(Duration::from_millis(300)).await;
            rooms.add(room(number), None, &damage());
        }
        let begun = Instant::now();
        rooms.ring().await;
        assert_eq!(rooms.take_due(), [room(0)]);
        assert!(begun.elapsed() <= Duration::from_millis(110), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn reopened_room_backs_off_until_read_to_its_end() {
        let mut rooms = Unreadable::default();
        rooms.add(room(1), None, &damage());
        for seconds in [1, 2, 4] {
            assert_eq!(round(&mut rooms).await, (Duration::from_secs(seconds), vec![room(1)]));
            rooms.reopened(&room(1));
            rooms.add(room(1), None, &damage());
        }
        rooms.reopened(&room(1));
        rooms.forget(&room(1));
        rooms.add(room(1), None, &damage());
        assert_eq!(round(&mut rooms).await, (DAMAGED_BACKOFF.first, vec![room(1)]));
    }
}
