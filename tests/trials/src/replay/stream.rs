//! One user's stream: every update is checked as it arrives.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use parlance_client::{Update, Updates, Violation};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use tokio::sync::oneshot;

use super::plan::{Plan, User};
use super::run::{Run, lock};
use super::verifier::{Taken, Tally, Verifier};

/// What has reached one user.
#[derive(Debug)]
pub(super) struct Streams {
    user: User,
    /// By room, for all rooms that the user is ever in.
    rooms: HashMap<usize, Verifier>,
    /// Gaps reported by the stream: room, first and last seq. To be paged.
    pub(super) gaps: Vec<(usize, u64, u64)>,
}

impl Streams {
    pub(super) fn new(plan: &Plan, user: User) -> Self {
        let rooms = plan.rooms.iter().zip(0..).filter_map(|(planned, room)| {
            let expected = planned.memberships.get(&user)?;
            Some((room, Verifier::new(expected.clone())))
        });
        Self { user, rooms: rooms.collect(), gaps: Vec::new() }
    }

    /// Total number of expected messages.
    pub(super) fn total(&self) -> u64 {
        self.rooms.values().map(Verifier::total).sum()
    }

    pub(super) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for verifier in self.rooms.values() {
            sum += verifier.tally();
        }
        sum
    }

    /// Checks a message received on the stream or in a page.
    pub(super) fn message(&mut self, run: &Run, room: usize, event: &v1::Event, paged: bool) {
        let Some(Body::Message(message)) = &event.body else { return };
        let verifier = self.rooms.entry(room).or_insert_with(|| Verifier::new(Vec::new()));
        let Some(place) = as_planned(&run.plan, room, event, message) else {
            return verifier.altered();
        };
        let taken = if paged { verifier.take_paged(place) } else { verifier.take(place) };
        match taken {
            Taken::Delivered if paged => {
                run.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Taken::Delivered => run.delivered(room, place),
            Taken::Wrong => {}
        }
    }

    fn gap(&mut self, run: &Run, gap: &v1::Gap) {
        let Some(room) = run.room_of(&gap.room_id) else { return };
        match gap.reason() {
            // Not available; messages that should have arrived still count as missing.
            v1::GapReason::NotMember | v1::GapReason::Retention => {}
            _ => self.gaps.push((room, gap.from_seq, gap.to_seq)),
        }
    }

    fn violation(&mut self, run: &Run, violation: &Violation) {
        if let Violation::Repeat { room_id, .. } = violation
            && let Some(verifier) = run.room_of(room_id).and_then(|room| self.rooms.get_mut(&room))
        {
            verifier.repeated();
        }
        run.problem(format!("{}: {violation:?}", run.plan.users[self.user].id));
    }
}

/// The place of a message in the plan, if it equals what was sent there.
pub(super) fn as_planned(
    plan: &Plan,
    room: usize,
    event: &v1::Event,
    message: &v1::Message,
) -> Option<usize> {
    let place = plan.place_of(room, &event.request_id)?;
    let planned = &plan.rooms[room].messages[place];
    let same = planned.text == message.text && plan.users[planned.sender].id == event.actor_id;
    same.then_some(place)
}

/// Consumes a user's updates until the session ends. Reports once it is connected.
pub(super) async fn consume(
    run: Arc<Run>,
    streams: Arc<Mutex<Streams>>,
    mut updates: Updates,
    connected: oneshot::Sender<Result<v1::Welcome>>,
) {
    let mut connected = Some(connected);
    while let Some(update) = updates.recv().await {
        match update {
            Update::Connected(welcome) => {
                if let Some(connected) = connected.take() {
                    let _ = connected.send(Ok(welcome));
                }
            }
            Update::Event(event) => {
                if let Some(room) = run.room_of(&event.room_id) {
                    lock(&streams).message(&run, room, &event, false);
                }
            }
            Update::Gap(gap) => lock(&streams).gap(&run, &gap),
            Update::Violation(violation) => lock(&streams).violation(&run, &violation),
            Update::Signal(_) | Update::Command(_) | Update::Storage(_) => {}
            Update::Disconnected { .. } => {
                run.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            Update::Stopped(error) => {
                if let Some(connected) = connected.take() {
                    let _ = connected.send(Err(error.into()));
                }
            }
        }
    }
}

/// Reads the events in gaps of a user's stream, and counts them as received.
pub(super) async fn page_gaps(run: &Run, user: User) -> Result<()> {
    let gaps = std::mem::take(&mut lock(&run.user(user).streams).gaps);
    for (room, from, to) in gaps {
        let mut from_seq = from;
        loop {
            let room_id = run.room_id(room).to_owned();
            let request = v1::ListEventsRequest { room_id, from_seq, to_seq: to, page_size: 200 };
            let page = run.call(user, request).await?;
            for event in &page.events {
                lock(&run.user(user).streams).message(run, room, event, true);
            }
            if page.next_from_seq == 0 {
                break;
            }
            if page.next_from_seq <= from_seq {
                bail!("a page of events does not go forward from {from_seq}");
            }
            from_seq = page.next_from_seq;
        }
    }
    Ok(())
}
