use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, Stream};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use parlance_core::{RoomId, UserId};
use parlance_delivery::{Frames, Outlet, SharedFrame};
use parlance_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use v1::client_frame::Operation;

use crate::dice::lock;
use crate::fence::Fence;
use crate::history::{Seen, Session};
use crate::node::{Node, authorization};
use crate::pushed::PushedConnection;
use crate::world::World;

/// Connections per thousand that are WebSockets; the others are gRPC streams.
const WEB_SOCKETS: u64 = 500;

/// The device of a client.
pub(super) struct Device {
    pub(super) index: usize,
    pub(super) user: UserId,
}

/// A connection of a client, and its session.
pub(super) struct Connection {
    pub(super) node: Node,
    frames: Frames,
    /// Its push side, if it is a WebSocket.
    pushed: Option<Arc<PushedConnection>>,
    pub(super) to_node: mpsc::UnboundedSender<v1::ClientFrame>,
    pub(super) session: usize,
    /// Whether hello was answered.
    pub(super) open: bool,
    pub(super) sent: BTreeMap<usize, Instant>,
    pub(super) read_from: Instant,
    /// The connection ends after this many polls of its stream, whatever is in
    /// flight.
    patience: Option<u32>,
}

/// How a connection ended.
pub(super) enum End {
    Cut(Duration),
    Over,
}

impl Connection {
    /// Connects to `node` and says hello. `None` if it is refused.
    pub(super) fn open(
        world: &World,
        device: &Device,
        node: Node,
        cursors: &BTreeMap<RoomId, u64>,
        slow: Duration,
    ) -> Option<Self> {
        let (to_node, mut from_client) = mpsc::unbounded_channel::<v1::ClientFrame>();
        let inbound = futures::stream::poll_fn(move |cx| {
            from_client.poll_recv(cx).map(|frame| frame.map(|frame| Ok((frame.into(), 0))))
        });
        let is_web_socket = world.weather.dice().chance(WEB_SOCKETS);
        let pushed = is_web_socket.then(|| PushedConnection::new(world.pushed.clone()));
        let outlet = pushed.as_ref().map(|pushed| {
            let (outlet, connection) = (Outlet::default(), Arc::downgrade(pushed));
            outlet.connect(connection);
            outlet
        });
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(authorization(&device.user)).ok()?);
        // Never waits: the token keys are known.
        let opened = node.services.open(&headers, inbound, outlet, None).now_or_never()?;
        let frames = opened.ok()?.into();
        let sent_cursors = cursors.iter().map(|(room, seq)| v1::Cursor {
            room_id: room.as_str().to_owned(),
            seq: *seq,
            epoch: 0,
        });
        let hello = v1::Hello { device_id: format!("d{}", device.index), cursors: sent_cursors.collect() };
        let frame = v1::ClientFrame {
            request_id: "hello".into(),
            operation: Some(Operation::Hello(hello)),
            as_user: String::new(),
        };
        let _ = to_node.send(frame);
        let mut history = lock(&world.history);
        let session = history.sessions.len();
        history.sessions.push(Session {
            user: device.user.clone(),
            client: device.index,
            node: node.id.clone(),
            opened: world.trace.now(),
            closed: None,
            cursors: cursors.clone(),
            slow: !slow.is_zero(),
            reached: BTreeMap::new(),
            seen: Vec::new(),
        });
        world
            .trace
            .line(format_args!("{}#{} connects to {} as {session}", device.user, device.index, node.id));
        let read_from = Instant::now();
        let patience = world.weather.patience();
        Some(Self {
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

    /// Records what was received.
    pub(super) fn saw(&self, world: &World, seen: Seen) {
        let now = world.trace.now();
        let mut history = lock(&world.history);
        let session = &mut history.sessions[self.session];
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

    /// The next frame, read no sooner than the connection reads, if the node runs.
    pub(super) async fn next(&mut self, fence: &Fence) -> Option<Result<SharedFrame, Status>> {
        sleep_until(self.read_from).await;
        fence.pass().await;
        let Self { frames, pushed, patience, .. } = self;
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
}
