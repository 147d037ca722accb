mod connection;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use v1::server_frame::Frame;

use self::connection::{Connection, Device, End};
use crate::asks::set_after;
use crate::dice::lock;
use crate::history::{Answer, Seen, is_passing};
use crate::orders::Do;
use crate::world::World;

/// How long a client waits for an answer before it tries another node.
const PATIENCE: Duration = Duration::from_millis(3_000);

/// Attempts after which it gives up.
const ATTEMPTS: u32 = 40;

/// One device of one user. It connects whenever it is not connected.
pub(crate) struct Client {
    world: Arc<World>,
    device: Device,
    todo: mpsc::UnboundedReceiver<Do>,
    cursors: BTreeMap<RoomId, u64>,
    /// Unanswered operations, each with whether it is retried.
    outstanding: BTreeMap<usize, bool>,
    /// Operations to retry, each from then on.
    again: BTreeMap<usize, Instant>,
    slow: Duration,
    prefer: Option<usize>,
}

impl Client {
    /// Starts a client of `user` in `world`; returns its index.
    pub(crate) fn start(world: &Arc<World>, user: &UserId) -> usize {
        let (index, todo) = world.register_client(user);
        let device = Device { index, user: user.clone() };
        tokio::spawn(Self::new(world.clone(), device, todo).run());
        index
    }

    fn new(world: Arc<World>, device: Device, todo: mpsc::UnboundedReceiver<Do>) -> Self {
        Self {
            world,
            device,
            todo,
            cursors: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            again: BTreeMap::new(),
            slow: Duration::ZERO,
            prefer: None,
        }
    }

    /// Runs for as long as the simulation.
    async fn run(mut self) {
        loop {
            let mut away = self.world.weather.dice().millis(20, 400);
            if let Some(mut connection) = self.connect() {
                let end = self.serve(&mut connection, &mut away).await;
                self.disconnect(connection, end);
            }
            // Unanswered operations are retried on the next connection.
            self.outstanding.retain(|_, retry| *retry);
            let back = Instant::now() + away;
            loop {
                tokio::select! {
                    biased;
                    todo = self.todo.recv() => match todo {
                        Some(todo) => drop(self.take(todo, &mut None, &mut away)),
                        None => return,
                    },
                    () = sleep_until(back) => break,
                }
            }
        }
    }

    fn connect(&self) -> Option<Connection> {
        let anywhere = || self.world.weather.dice().below(self.world.places() as u64) as usize;
        let node = self.world.node(self.prefer.unwrap_or_else(anywhere))?;
        Connection::open(&self.world, &self.device, node, &self.cursors, self.slow)
    }

    async fn serve(&mut self, connection: &mut Connection, away: &mut Duration) -> End {
        loop {
            let patience = connection.sent.values().min().map(|sent| *sent + PATIENCE);
            let again = self.again.values().min().copied();
            let fence = connection.node.fence.clone();
            tokio::select! {
                biased;
                () = fence.dead().cancelled() => return End::Over,
                todo = self.todo.recv() => {
                    let Some(todo) = todo else { return End::Over };
                    if let Some(end) = self.take(todo, &mut Some(connection), away) {
                        return end;
                    }
                }
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() && connection.open => {
                    self.ask_due(connection);
                }
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                    return End::Cut(Duration::from_millis(500));
                }
                frame = connection.next(&fence) => {
                    let Some(Ok(frame)) = frame else { return End::Over };
                    connection.read_from = Instant::now() + self.slow;
                    let Ok(v1::ServerFrame { frame: Some(frame) }) = frame.decode_frame() else { continue };
                    if !self.frame(connection, frame) {
                        return End::Over;
                    }
                }
            }
        }
    }

    /// Executes an order of the script; returns how the connection ends, if it does.
    fn take(
        &mut self,
        todo: Do,
        connection: &mut Option<&mut Connection>,
        away: &mut Duration,
    ) -> Option<End> {
        match todo {
            Do::Ask { asked, retry } => {
                self.outstanding.insert(asked, retry);
                if let Some(connection) = connection
                    && connection.open
                {
                    self.ask(connection, asked);
                }
            }
            Do::Cut { half_open } => return Some(End::Cut(half_open)),
            Do::Slow(slow) => {
                self.slow = slow;
                if let Some(connection) = connection {
                    lock(&self.world.history).sessions[connection.session].slow |= !slow.is_zero();
                }
            }
            Do::Away(time) => {
                *away = time;
                return Some(End::Cut(Duration::ZERO));
            }
            Do::Forget => {
                self.cursors.clear();
                return Some(End::Cut(Duration::ZERO));
            }
            Do::Prefer(slot) => self.prefer = slot,
        }
        None
    }

    fn ask_due(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        let due: BTreeSet<usize> =
            self.again.iter().filter(|(_, at)| **at <= now).map(|(asked, _)| *asked).collect();
        for asked in due {
            self.again.remove(&asked);
            if self.outstanding.contains_key(&asked) {
                self.ask(connection, asked);
            }
        }
    }

    fn ask(&mut self, connection: &mut Connection, index: usize) {
        let now = self.world.trace.now();
        let mut history = lock(&self.world.history);
        let asked = &mut history.asked[index];
        if asked.attempts >= ATTEMPTS {
            self.outstanding.remove(&index);
            return;
        }
        asked.attempts += 1;
        if asked.first_sent.is_none() {
            asked.first_sent = Some(now);
            set_after(&mut asked.operation, &self.cursors);
        }
        let request_id = format!("{index}.{}", asked.attempts);
        let frame =
            v1::ClientFrame { request_id, operation: Some(asked.operation.clone()), as_user: String::new() };
        drop(history);
        self.world.trace.line(format_args!("{}#{} asks {index}", self.device.user, self.device.index));
        connection.sent.insert(index, Instant::now());
        let _ = connection.to_node.send(frame);
    }

    /// Returns whether to continue.
    fn frame(&mut self, connection: &mut Connection, frame: Frame) -> bool {
        match frame {
            Frame::Welcome(_) => {
                connection.open = true;
                connection.saw(&self.world, Seen::Welcome);
                self.world.trace.line(format_args!("{}#{} is welcome", self.device.user, self.device.index));
                for asked in self.outstanding.keys().copied().collect::<Vec<_>>() {
                    self.again.remove(&asked);
                    self.ask(connection, asked);
                }
            }
            Frame::Event(event) => {
                self.world.trace.line(format_args!(
                    "{}#{} gets {} of {} by {}",
                    self.device.user, self.device.index, event.seq, event.room_id, event.request_id
                ));
                self.reach(&event.room_id, event.seq);
                connection.saw(&self.world, Seen::Event(event));
            }
            Frame::Gap(gap) => {
                self.world.trace.line(format_args!(
                    "{}#{} has a gap {}-{} of {}, {}",
                    self.device.user, self.device.index, gap.from_seq, gap.to_seq, gap.room_id, gap.reason
                ));
                if gap.to_seq > 0 {
                    self.reach(&gap.room_id, gap.to_seq);
                } else if gap.reason() != v1::GapReason::Unreadable
                    && let Ok(room) = RoomId::parse(&gap.room_id)
                {
                    self.cursors.remove(&room);
                }
                connection.saw(&self.world, Seen::Gap(gap));
            }
            Frame::Reply(reply) => return self.reply(connection, reply),
            Frame::Draining(_) => {
                // It reconnects elsewhere once its operations are answered, or the stream
                // ends.
                self.world
                    .trace
                    .line(format_args!("{}#{} is sent away", self.device.user, self.device.index));
                self.prefer = None;
                return !connection.sent.is_empty();
            }
            // Tokens of the simulation do not expire.
            Frame::Signal(_) | Frame::TokenExpiring(_) => {}
        }
        true
    }

    fn reply(&mut self, connection: &mut Connection, reply: v1::Reply) -> bool {
        let Some(result) = reply.result else { return true };
        let reason = match &result {
            v1::reply::Result::Error(error) => error.reason.clone(),
            _ => "done".to_owned(),
        };
        self.world.trace.line(format_args!(
            "{}#{} hears of {}: {reason}",
            self.device.user, self.device.index, reply.request_id
        ));
        let Some(index) = reply.request_id.split('.').next().and_then(|index| index.parse::<usize>().ok())
        else {
            self.world.complain_of_hello(&self.device.user, &reason);
            return false;
        };
        connection.sent.remove(&index);
        let Some(retry) = self.outstanding.get(&index).copied() else { return true };
        let answer = Answer { at: self.world.trace.now(), node: connection.node.id.clone(), result };
        lock(&self.world.history).asked[index].answer = Some(answer);
        if retry && is_passing(&reason) {
            let delay = self.world.weather.dice().millis(30, 600);
            self.again.insert(index, Instant::now() + delay);
        } else {
            self.outstanding.remove(&index);
        }
        true
    }

    fn reach(&mut self, room: &str, seq: u64) {
        if let Ok(room) = RoomId::parse(room) {
            let cursor = self.cursors.entry(room).or_insert(0);
            *cursor = (*cursor).max(seq);
        }
    }

    fn disconnect(&mut self, connection: Connection, end: End) {
        self.again.clear();
        let now = self.world.trace.now();
        lock(&self.world.history).sessions[connection.session].closed = Some(now);
        self.world.trace.line(format_args!("{}#{} is disconnected", self.device.user, self.device.index));
        if let End::Cut(half_open) = end {
            // The node does not notice yet.
            tokio::spawn(async move {
                sleep(half_open).await;
                drop(connection);
            });
        }
    }
}
