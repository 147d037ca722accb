use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parlance_bridge::{Bridge, ChatBackend, Options, Received};
use parlance_delivery::{Delivery, Outlet, SharedFrame};
use parlance_peers::Peer;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_proto::v1::{ClientFrame, Reply, ServerFrame, server_frame};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// Waits for something that must happen, with a deadline.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// A bridge on its own port.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) calls: mpsc::UnboundedReceiver<Call>,
    sessions: mpsc::UnboundedReceiver<Session>,
    answer: Answer,
}

/// The backend's end of a stream.
pub(crate) struct Session {
    pub(crate) headers: HeaderMap,
    pub(crate) inbound: BoxStream<'static, Received>,
    pub(crate) outlet: Outlet,
    /// Dropping it ends the stream.
    pub(crate) outbound: mpsc::Sender<Result<SharedFrame, Status>>,
}

/// The backend's end of a unary call.
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    pub(crate) request: Bytes,
}

/// The answer to every unary call; `None` for no answer.
type Answer = Arc<Mutex<Option<Result<Bytes, Status>>>>;

struct Fake {
    sessions: mpsc::UnboundedSender<Session>,
    calls: mpsc::UnboundedSender<Call>,
    answer: Answer,
}

#[async_trait]
impl ChatBackend for Fake {
    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, Received>,
        outlet: Outlet,
        _: Option<&Peer>,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status> {
        match headers.get(AUTHORIZATION) {
            Some(token) if token == "Bearer wrong" => return Err(Status::unauthenticated("who are you")),
            Some(token) if token == "Bearer slow" => std::future::pending().await,
            _ => {}
        }
        let (outbound, mut frames) = mpsc::channel(1);
        self.sessions.send(Session { headers, inbound, outlet, outbound }).expect("the test is there");
        Ok(stream::poll_fn(move |cx| frames.poll_recv(cx)).map(|frame| frame.map(Delivery::Frame)).boxed())
    }

    async fn admit(&self, headers: &HeaderMap, _: &str, _: Option<&Peer>) -> Result<Option<String>, Status> {
        match headers.get(AUTHORIZATION) {
            Some(token) if token == "Bearer busy" => {
                Err(Failure::new(Code::ResourceExhausted, "rate_limited", "later").into())
            }
            _ => Ok(None),
        }
    }

    async fn unary(
        &self,
        headers: HeaderMap,
        path: &str,
        request: Bytes,
        _: Option<&Peer>,
    ) -> Result<Bytes, Status> {
        self.calls.send(Call { headers, path: path.to_owned(), request }).expect("the test is there");
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        let (opened, sessions) = mpsc::unbounded_channel();
        let (called, calls) = mpsc::unbounded_channel();
        let (answer, shutdown) = (Answer::default(), CancellationToken::new());
        let fake = Fake { sessions: opened, calls: called, answer: Arc::clone(&answer) };
        let bridge = Arc::new(Bridge::new(Arc::new(fake), options, shutdown.clone()));

        // Small socket buffers, so that a peer that does not read is noticed early.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, bridge.router()));
        Self { addr, bridge, shutdown, calls, sessions, answer }
    }

    /// Opens a WebSocket; returns it with the backend's end.
    pub(crate) async fn connect(&mut self) -> (Client, Session) {
        let client = self.open(&[]).await.expect("a websocket").0;
        (client, self.session().await)
    }

    /// Opens a WebSocket with headers.
    pub(crate) async fn open(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, HeaderMap), Rejected> {
        let mut request = format!("ws://{}/ws", self.addr).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let socket = self.tcp().await;
        match within(tokio_tungstenite::client_async(request, socket)).await {
            Ok((socket, response)) => Ok((Client(socket), response.headers().clone())),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn session(&mut self) -> Session {
        within(self.sessions.recv()).await.expect("a session")
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        within(socket.connect(self.addr)).await.unwrap()
    }

    /// Sets the backend's answer to calls.
    pub(crate) fn answers(&self, answer: Result<Bytes, Status>) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let io = TokioIo::new(self.tcp().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let driving = tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(HOST, "localhost".parse().unwrap());
        let response = within(sender.send_request(Request::from_parts(parts, body))).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        driving.abort();
        Response::from_parts(parts, body)
    }
}

pub(crate) type Rejected = Response<Option<Vec<u8>>>;

async fn accept(listener: TcpListener, router: axum::Router) {
    while let Ok((socket, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection_with_upgrades(TokioIo::new(socket), service).await;
        });
    }
}

/// The client's end of a WebSocket.
pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn send(&mut self, message: Message) {
        within(self.0.send(message)).await.unwrap();
    }

    /// The next message that is not a ping or a pong.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let message = within(self.0.next()).await.expect("a message").expect("a message");
            if !(message.is_ping() || message.is_pong()) {
                return message;
            }
        }
    }

    /// The next message, in JSON.
    pub(crate) async fn json(&mut self) -> serde_json::Value {
        let message = self.next().await;
        assert!(message.is_text(), "{message:?}");
        serde_json::from_slice(&message.into_data()).unwrap()
    }

    /// Expects a close next: code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let Message::Close(Some(close)) = self.next().await else { panic!("no close") };
        assert!(within(self.0.next()).await.is_none(), "nothing after the close");
        (close.code.into(), close.reason.to_string())
    }
}

impl Session {
    /// Pushes a frame.
    pub(crate) async fn push(&self, frame: impl Into<SharedFrame>) {
        within(self.outbound.send(Ok(frame.into()))).await.expect("the stream is open");
    }

    /// The next frame of the client.
    pub(crate) async fn next(&mut self) -> ClientFrame {
        *within(self.inbound.next()).await.expect("a frame").frame
    }
}

/// A frame to push.
pub(crate) fn reply(request_id: &str) -> SharedFrame {
    let reply = Reply { request_id: request_id.to_owned(), result: None };
    SharedFrame::new(&ServerFrame { frame: Some(server_frame::Frame::Reply(reply)) })
}

/// A frame that carries `bytes` of text.
pub(crate) fn large(bytes: usize) -> SharedFrame {
    server_frame::Frame::Welcome(v1::Welcome { session_id: "x".repeat(bytes), ..Default::default() }).into()
}
