//! One connection, from the welcome to its end: everything received is recorded.

use std::sync::atomic::Ordering;
use std::time::Duration;

use parlance_client::transport::{Connection, Receiver, Sender};
use parlance_proto::v1;
use parlance_proto::v1::server_frame::Frame as Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::history::{ChangedText, Frame, RoomIndex, SessionRecord, Text, print};
use super::super::world::OpId;
use super::{Client, Control, Counts, Phase, What};

/// A session being recorded.
struct Session {
    record: SessionRecord,
    /// Heads of the welcome that were not reached yet.
    missing: Vec<(RoomIndex, u64)>,
    frames: mpsc::UnboundedSender<v1::ClientFrame>,
    /// When to leave a draining node.
    leave_at: Option<Instant>,
}

#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Turn {
    Phase,
    Control(Control),
    Frame(Option<v1::ServerFrame>),
    Step,
    Delayed,
    Leave,
}

impl Client {
    pub(super) async fn serve(&mut self, connection: Connection, welcome: v1::Welcome) {
        let (sender, mut receiver) = connection.split();
        // Bounded by the operations in flight.
        let (frames, queue) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(sender, queue));
        let mut session = self.begin(&welcome, frames);
        let ended = self.turns(&mut session, &mut receiver).await;
        writer.abort();
        session.record.ended = ended.then(|| self.stage.now());
        self.history.sessions.push(session.record);
    }

    fn begin(&mut self, welcome: &v1::Welcome, frames: mpsc::UnboundedSender<v1::ClientFrame>) -> Session {
        let cursors = self.rooms.positions();
        self.rooms.welcomed(welcome);
        let heads =
            welcome.heads.iter().filter_map(|head| Some((self.rooms.find(&head.room_id)?.1, head.seq)));
        let heads: Vec<_> = heads.collect();
        let missing = heads
            .iter()
            .copied()
            .filter(|(room, head)| cursors.get(room).copied().unwrap_or(0) < *head)
            .collect();
        let record = SessionRecord {
            node: self.node as u8,
            opened: self.stage.now(),
            cursors,
            heads: heads.into_iter().collect(),
            ..SessionRecord::default()
        };
        Counts::add(&self.stage.counts.sessions);
        self.standing.session.store(self.history.sessions.len() as u64 + 1, Ordering::Relaxed);
        // On a new connection all unanswered operations are sent again, in order.
        let delayed: Vec<u64> = self.delayed.iter().map(|(_, frame)| *frame).collect();
        self.ready = self.pending.keys().copied().filter(|frame| !delayed.contains(frame)).collect();
        let mut session = Session { record, missing, frames, leave_at: None };
        session.note_caught_up(self.stage.now());
        session
    }

    /// Serves the connection; returns whether it ended before the run.
    async fn turns(&mut self, session: &mut Session, receiver: &mut Receiver) -> bool {
        loop {
            self.send_ready(session);
            self.report();
            let phase = *self.phase.borrow_and_update();
            if phase == Phase::Stop {
                return false;
            }
            let may_step = phase == Phase::Run
                && session.leave_at.is_none()
                && self.pending.len() < self.stage.in_flight;
            let delayed = self.delayed.first().map(|(due, _)| *due);
            let far = Instant::now() + Duration::from_secs(3600);
            let turn = tokio::select! {
                _ = self.phase.changed() => Turn::Phase,
                Some(control) = self.control.recv() => Turn::Control(control),
                frame = receiver.recv() => Turn::Frame(frame.ok().flatten()),
                () = sleep_until(self.next_step), if may_step => Turn::Step,
                () = sleep_until(delayed.unwrap_or(far)), if delayed.is_some() => Turn::Delayed,
                () = sleep_until(session.leave_at.unwrap_or(far)), if session.leave_at.is_some() => Turn::Leave,
            };
            match turn {
                Turn::Phase => {}
                Turn::Frame(Some(frame)) => self.take(session, frame),
                Turn::Frame(None) | Turn::Leave => return true,
                Turn::Control(Control::Stall(length)) => self.stall(session, length).await,
                Turn::Control(Control::Silence(length)) => self.next_step = Instant::now() + length,
                Turn::Control(Control::Move) => return true,
                Turn::Control(Control::HangUp) => {
                    if phase == Phase::Run {
                        self.step();
                        self.send_ready(session);
                    }
                    // At any point on its way to the node, through it and back.
                    sleep(Duration::from_micros(self.chance.below(30_000))).await;
                    return true;
                }
                Turn::Control(Control::Fresh) => {
                    self.forget();
                    return true;
                }
                Turn::Step => {
                    self.step();
                    // Twice the pace at most, so that clients do not run in
                    // lockstep.
                    let pace = self.stage.pace.as_micros() as u64;
                    let pause = Duration::from_micros(self.chance.below(2 * pace));
                    self.next_step = (self.next_step + pause).max(Instant::now());
                }
                Turn::Delayed => {
                    if let Some((_, frame)) = self.delayed.pop_first() {
                        self.ready.push_back(frame);
                    }
                }
            }
        }
    }

    fn send_ready(&mut self, session: &Session) {
        if session.leave_at.is_some() {
            return;
        }
        while let Some(frame) = self.ready.pop_front() {
            let Some(pending) = self.pending.get(&frame) else { continue };
            if let What::Op(op) = pending.what {
                let attempts = &mut self.history.ops[op].attempts;
                *attempts = attempts.saturating_add(1);
            }
            let operation = Some(pending.operation.clone());
            // An ended connection is reported when it is read.
            let _ = session.frames.send(v1::ClientFrame {
                request_id: frame.to_string(),
                operation,
                as_user: String::new(),
            });
        }
    }

    fn take(&mut self, session: &mut Session, frame: v1::ServerFrame) {
        let at = self.stage.now();
        match frame.frame {
            Some(Incoming::Reply(reply)) => self.replied(reply),
            Some(Incoming::Event(event)) => {
                let Some((place, room)) = self.rooms.find(&event.room_id) else {
                    self.history.strange.push((event.room_id, event.seq));
                    return;
                };
                self.rooms.event(place, &event);
                self.see_own(&event);
                let seen = Frame::Event { seq: event.seq as u32, at, print: print(&event) };
                session.came(room, seen, event.seq, at);
                if let Some(text) = Text::changed(&event) {
                    session.record.changed.push(ChangedText { room, seq: event.seq as u32, at, text });
                }
                Counts::add(&self.stage.counts.delivered);
            }
            Some(Incoming::Gap(gap)) => {
                let Some((place, room)) = self.rooms.find(&gap.room_id) else { return };
                self.rooms.gap(place, &gap);
                for pending in self.pending.values_mut() {
                    pending.blind = true;
                }
                let (from, to) = (gap.from_seq as u32, gap.to_seq as u32);
                session.came(room, Frame::Gap { from, to, at, reason: gap.reason() }, gap.to_seq, at);
                Counts::add(&self.stage.counts.gaps);
            }
            Some(Incoming::Draining(draining)) => {
                let delay = draining.reconnect_after.and_then(|delay| Duration::try_from(delay).ok());
                let leave_at = Instant::now() + delay.unwrap_or_default();
                session.leave_at.get_or_insert(leave_at);
                Counts::add(&self.stage.counts.draining);
            }
            Some(Incoming::Signal(_) | Incoming::Welcome(_) | Incoming::TokenExpiring(_)) | None => {}
        }
    }

    /// The client's own event arrived before its answer.
    fn see_own(&mut self, event: &v1::Event) {
        let Some(id) = OpId::parse(&event.request_id).filter(|id| id.client == self.user) else { return };
        for pending in self.pending.values_mut() {
            if let What::Op(op) = pending.what
                && self.history.ops[op].id == id
            {
                pending.seen = true;
            }
        }
    }

    /// Reads nothing for a while.
    async fn stall(&mut self, session: &mut Session, length: Duration) {
        let from = self.stage.now();
        tokio::select! {
            () = sleep(length) => {}
            _ = self.phase.wait_for(|phase| *phase != Phase::Run) => {}
        }
        session.record.stalls.push((from, self.stage.now()));
    }

    fn report(&self) {
        let unanswered = self.pending.len() as u32;
        self.standing.unanswered.store(unanswered, Ordering::Relaxed);
        self.rooms.report(&self.standing.reached);
    }
}

impl Session {
    fn came(&mut self, room: RoomIndex, frame: Frame, reaches: u64, at: u32) {
        self.record.rooms.entry(room).or_default().push(frame);
        if !self.missing.is_empty() {
            self.missing.retain(|(missing, head)| *missing != room || *head > reaches);
            self.note_caught_up(at);
        }
    }

    fn note_caught_up(&mut self, at: u32) {
        if self.missing.is_empty() {
            self.record.caught_up.get_or_insert(at);
        }
    }
}

/// Writes queued frames until the connection or the session ends.
async fn write(sender: Sender, mut queue: mpsc::UnboundedReceiver<v1::ClientFrame>) {
    while let Some(frame) = queue.recv().await {
        if sender.send(frame).await.is_err() {
            break;
        }
    }
}
