use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, Stream};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use parlance_core::{RoomId, UserId};
use parlance_delivery::{Frames, Outlet};
use parlance_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::dice::lock;
use crate::history::{Answer, Seen, Session};
use crate::node::{Node, authorization};
use crate::pushed::PushedConnection;
use crate::world::World;

/// How long a client waits for an answer before it looks for another node.
const PATIENCE: Duration = Duration::from_millis(3_000);

/// Longer than any simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Of a thousand connections, those that are WebSockets; the others are gRPC streams.
const WEB_SOCKETS: u64 = 500;

/// Attempts after which it gives up.
const ATTEMPTS: u32 = 40;

/// What the script has a client do.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Ask this. Without `retry`, what becomes of it is not looked after.
    Ask { asked: usize, retry: bool },
    /// Lose the connection. The node may take a while to notice.
    Cut { half_open: Duration },
    /// Read this slowly from now on.
    Slow(Duration),
    /// Stay away for a while.
    Away(Duration),
    /// Forget how far it is.
    Forget,
    /// Go to this place from the next time on, or anywhere.
    Prefer(Option<usize>),
}

/// One device of one user. It connects whenever it is not connected.
pub(crate) struct Client {
    world: Arc<World>,
    index: usize,
    user: UserId,
    authorization: String,
    todo: mpsc::UnboundedReceiver<Do>,
    cursors: BTreeMap<RoomId, u64>,
    /// Asked and not answered, each with whether it is asked again.
    outstanding: BTreeMap<usize, bool>,
    /// To be asked again from then on.
    again: BTreeMap<usize, Instant>,
    slow: Duration,
    prefer: Option<usize>,
}

struct Connection {
    node: Node,
    frames: Frames,
    /// How it is pushed to, if it is a WebSocket.
    pushed: Option<Arc<PushedConnection>>,
    to_node: mpsc::UnboundedSender<v1::ClientFrame>,
    session: usize,
    /// Hello is answered.
    open: bool,
    sent: BTreeMap<usize, Instant>,
    read_from: Instant,
    /// The connection ends after so many looks at its stream, whatever is under way.
    patience: Option<u32>,
}

/// How a connection ended.
enum End {
    Cut(Duration),
    Over,
}

impl Client {
    /// A client of `user` that is told by `todo` what to do.
    pub(crate) fn new(
        world: Arc<World>,
        index: usize,
        user: UserId,
        todo: mpsc::UnboundedReceiver<Do>,
    ) -> Self {
        let authorization = authorization(&user);
        Self {
            world,
            index,
            user,
            authorization,
            todo,
            cursors: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            again: BTreeMap::new(),
            slow: Duration::ZERO,
            prefer: None,
        }
    }

    /// Runs for as long as the simulation.
    pub(crate) async fn run(mut self) {
        loop {
            let mut away = self.world.weather.dice().millis(20, 400);
            if let Some(mut connection) = self.connect() {
                let end = self.serve(&mut connection, &mut away).await;
                self.disconnect(connection, end);
            }
            // What was not answered is asked again on the next connection.
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

    fn connect(&mut self) -> Option<Connection> {
        let slot = self
            .prefer
            .unwrap_or_else(|| self.world.weather.dice().below(self.world.places() as u64) as usize);
        let node = self.world.node(slot)?;
        let (to_node, mut from_client) = mpsc::unbounded_channel::<v1::ClientFrame>();
        let inbound =
            futures::stream::poll_fn(move |cx| from_client.poll_recv(cx).map(|frame| frame.map(Ok)));
        let pushed = self
            .world
            .weather
            .dice()
            .chance(WEB_SOCKETS)
            .then(|| PushedConnection::new(self.world.pushed.clone()));
        let outlet = pushed.as_ref().map(|pushed| {
            let (outlet, connection) = (Outlet::default(), Arc::downgrade(pushed));
            outlet.connect(connection);
            outlet
        });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(&self.authorization).ok()?);
        // Nothing is waited for: the keys of tokens are known.
        let opened = node.services.open(&headers, inbound, outlet).now_or_never()?;
        let frames = opened.ok()?.into();
        let cursors = self.cursors.iter().map(|(room, seq)| v1::Cursor {
            room_id: room.as_str().to_owned(),
            seq: *seq,
            epoch: 0,
        });
        let hello = v1::Hello { device_id: format!("d{}", self.index), cursors: cursors.collect() };
        let frame = v1::ClientFrame {
            request_id: "hello".into(),
            operation: Some(Operation::Hello(hello)),
            as_user: String::new(),
        };
        let _ = to_node.send(frame);
        let mut history = lock(&self.world.history);
        let session = history.sessions.len();
        history.sessions.push(Session {
            user: self.user.clone(),
            client: self.index,
            node: node.id.clone(),
            opened: self.world.trace.now(),
            closed: None,
            cursors: self.cursors.clone(),
            slow: !self.slow.is_zero(),
            reached: BTreeMap::new(),
            seen: Vec::new(),
        });
        self.world
            .trace
            .line(format_args!("{}#{} connects to {} as {session}", self.user, self.index, node.id));
        let read_from = Instant::now();
        let patience = self.world.weather.patience();
        Some(Connection {
            node,
            frames,
            pushed,
            to_node,
            session,
            open: false,
            sent: BTreeMap::new(),
            read_from,
            patience,
        })
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
                frame = next(&fence, connection) => {
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

    /// What the script wants; how the connection ends by it, if it does.
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
        self.world.trace.line(format_args!("{}#{} asks {index}", self.user, self.index));
        connection.sent.insert(index, Instant::now());
        let _ = connection.to_node.send(frame);
    }

    /// Returns whether to go on.
    fn frame(&mut self, connection: &mut Connection, frame: Frame) -> bool {
        let now = self.world.trace.now();
        match frame {
            Frame::Welcome(_) => {
                connection.open = true;
                self.saw(connection, now, Seen::Welcome);
                self.world.trace.line(format_args!("{}#{} is welcome", self.user, self.index));
                for asked in self.outstanding.keys().copied().collect::<Vec<_>>() {
                    self.again.remove(&asked);
                    self.ask(connection, asked);
                }
            }
            Frame::Event(event) => {
                self.world.trace.line(format_args!(
                    "{}#{} gets {} of {} by {}",
                    self.user, self.index, event.seq, event.room_id, event.request_id
                ));
                self.reach(&event.room_id, event.seq);
                self.saw(connection, now, Seen::Event(event));
            }
            Frame::Gap(gap) => {
                self.world.trace.line(format_args!(
                    "{}#{} has a gap {}-{} of {}, {}",
                    self.user, self.index, gap.from_seq, gap.to_seq, gap.room_id, gap.reason
                ));
                if gap.to_seq > 0 {
                    self.reach(&gap.room_id, gap.to_seq);
                } else if gap.reason() != v1::GapReason::Unreadable
                    && let Ok(room) = RoomId::parse(&gap.room_id)
                {
                    self.cursors.remove(&room);
                }
                self.saw(connection, now, Seen::Gap(gap));
            }
            Frame::Reply(reply) => return self.reply(connection, reply),
            Frame::Draining(_) => {
                // It goes elsewhere once what it asked is answered, or the stream is over.
                self.world.trace.line(format_args!("{}#{} is sent away", self.user, self.index));
                self.prefer = None;
                return !connection.sent.is_empty();
            }
            Frame::Signal(_) => {}
        }
        true
    }

    fn reply(&mut self, connection: &mut Connection, reply: v1::Reply) -> bool {
        let Some(result) = reply.result else { return true };
        let reason = match &result {
            v1::reply::Result::Error(error) => error.reason.clone(),
            _ => "done".to_owned(),
        };
        self.world
            .trace
            .line(format_args!("{}#{} hears of {}: {reason}", self.user, self.index, reply.request_id));
        let Some(index) = reply.request_id.split('.').next().and_then(|index| index.parse::<usize>().ok())
        else {
            self.world.complain_of_hello(&self.user, &reason);
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

    fn saw(&self, connection: &Connection, now: u64, seen: Seen) {
        let mut history = lock(&self.world.history);
        let session = &mut history.sessions[connection.session];
        let reached = match &seen {
            Seen::Event(event) => Some((&event.room_id, event.seq)),
            Seen::Gap(gap) if gap.to_seq > 0 => Some((&gap.room_id, gap.to_seq)),
            _ => None,
        };
        if let Some((room, seq)) = reached
            && let Ok(room) = RoomId::parse(room)
        {
            session.reached.insert(room, seq);
        }
        session.seen.push((now, seen));
    }

    fn disconnect(&mut self, connection: Connection, end: End) {
        self.again.clear();
        let now = self.world.trace.now();
        lock(&self.world.history).sessions[connection.session].closed = Some(now);
        self.world.trace.line(format_args!("{}#{} is disconnected", self.user, self.index));
        if let End::Cut(half_open) = end {
            // The node does not know yet.
            tokio::spawn(async move {
                sleep(half_open).await;
                drop(connection);
            });
        }
    }
}

/// The next frame, read no sooner than the connection reads, if the node runs.
async fn next(
    fence: &crate::fence::Fence,
    connection: &mut Connection,
) -> Option<Result<parlance_delivery::SharedFrame, tonic::Status>> {
    sleep_until(connection.read_from).await;
    fence.pass().await;
    let Connection { frames, pushed, patience, .. } = connection;
    poll_fn(|cx| {
        let frame = match pushed {
            Some(pushed) => pushed.poll_frame(frames, cx),
            None => Pin::new(&mut *frames).poll_next(cx),
        };
        match patience {
            Some(0) => Poll::Ready(None),
            Some(left) => {
                *left -= 1;
                frame
            }
            None => frame,
        }
    })
    .await
}

/// Whether asking again may come to something else.
pub(crate) fn is_passing(reason: &str) -> bool {
    ["overloaded", "unavailable", "contention", "draining", "operation_timeout"].contains(&reason)
}

/// What the client knows of the room when it first asks.
fn set_after(operation: &mut Operation, cursors: &BTreeMap<RoomId, u64>) {
    let known = |room: &str| RoomId::parse(room).ok().and_then(|room| cursors.get(&room).copied());
    match operation {
        Operation::SendMessage(request) => {
            if let Some(v1::send_message_request::Target::RoomId(room)) = &request.target {
                request.after_seq = known(room);
            }
        }
        Operation::EditMessage(request) => request.after_seq = known(&request.room_id),
        Operation::DeleteMessage(request) => request.after_seq = known(&request.room_id),
        Operation::AddReaction(request) => request.after_seq = known(&request.room_id),
        Operation::AddMembers(request) => request.after_seq = known(&request.room_id),
        Operation::RemoveMember(request) => request.after_seq = known(&request.room_id),
        Operation::JoinRoom(request) => request.after_seq = known(&request.room_id),
        Operation::LeaveRoom(request) => request.after_seq = known(&request.room_id),
        _ => {}
    }
}
