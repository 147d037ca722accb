//! A server controlled by a test, on every transport.

mod grpc;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Session, Update, Updates};
use parlance_delivery::SharedFrame;
use parlance_proto::error::{Failure, with_details};
use parlance_proto::server::chat_service_server::ChatServiceServer;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::{json, v1};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tonic::Status;

pub(crate) const DOORS: [Door; 3] = [Door::Grpc, Door::WebSocketJson, Door::WebSocketBinary];

/// Awaits `future` with a deadline.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens in time")
}

pub(crate) async fn next(updates: &mut Updates) -> Update {
    within(updates.recv()).await.expect("an update")
}

pub(crate) async fn next_seq(updates: &mut Updates) -> u64 {
    loop {
        match next(updates).await {
            Update::Event(event) => return event.seq,
            Update::Connected(_) | Update::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn message_of(frame: v1::ClientFrame) -> (String, v1::SendMessageRequest) {
    match frame.operation {
        Some(Operation::SendMessage(request)) => (frame.request_id, request),
        other => panic!("{other:?}"),
    }
}

pub(crate) struct Fake {
    pub(crate) dialer: Dialer,
    connections: mpsc::Receiver<Peer>,
}

/// The server's end of one connection. Dropping it ends the stream.
pub(crate) struct Peer {
    frames: mpsc::Receiver<v1::ClientFrame>,
    out: mpsc::Sender<Result<v1::ServerFrame, Status>>,
}

impl Fake {
    pub(crate) async fn start(door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer::new(door, listener.local_addr().unwrap().to_string());
        let (accepted, connections) = mpsc::channel(16);
        if door == Door::Grpc {
            let service = ChatServiceServer::new(grpc::Service(accepted));
            let incoming = TcpListenerStream::new(listener);
            tokio::spawn(
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming),
            );
        } else {
            tokio::spawn(accept_web_sockets(listener, accepted));
        }
        Self { dialer, connections }
    }

    pub(crate) fn session(&self) -> (Session, Updates) {
        Session::start(Config::new(self.dialer.clone(), "token"))
    }

    /// Accepts the next connection and sends the welcome; returns it with its hello.
    pub(crate) async fn accept(&mut self) -> (Peer, v1::Hello) {
        let mut peer = self.accept_silently().await;
        let Some(Operation::Hello(hello)) = peer.recv().await.operation else { panic!("no hello") };
        peer.send(Frame::Welcome(v1::Welcome::default())).await;
        (peer, hello)
    }

    pub(crate) async fn accept_silently(&mut self) -> Peer {
        within(self.connections.recv()).await.unwrap()
    }
}

impl Peer {
    fn new() -> (Self, mpsc::Sender<v1::ClientFrame>, mpsc::Receiver<Result<v1::ServerFrame, Status>>) {
        let (inbound, frames) = mpsc::channel(16);
        let (out, outbound) = mpsc::channel(16);
        (Self { frames, out }, inbound, outbound)
    }

    pub(crate) async fn recv(&mut self) -> v1::ClientFrame {
        within(self.frames.recv()).await.expect("a frame")
    }

    pub(crate) async fn closed(&mut self) {
        assert_eq!(within(self.frames.recv()).await, None);
    }

    pub(crate) async fn send(&self, frame: Frame) {
        within(self.out.send(Ok(v1::ServerFrame { frame: Some(frame) }))).await.unwrap();
    }

    pub(crate) async fn event(&self, seq: u64) {
        self.send(Frame::Event(v1::Event { room_id: "r".to_owned(), seq, ..Default::default() })).await;
    }

    pub(crate) async fn reply(&self, request_id: String, result: v1::reply::Result) {
        self.send(Frame::Reply(v1::Reply { request_id, result: Some(result) })).await;
    }

    /// Ends the stream with a status with details, like a server; a WebSocket with an error and a close.
    pub(crate) async fn fail(&self, status: Status) {
        within(self.out.send(Err(with_details(status)))).await.unwrap();
    }
}

async fn accept_web_sockets(listener: TcpListener, accepted: mpsc::Sender<Peer>) {
    while let Ok((socket, _)) = listener.accept().await {
        let accepted = accepted.clone();
        tokio::spawn(async move {
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            let (peer, inbound, mut outbound) = Peer::new();
            accepted.send(peer).await.unwrap_or_else(|_| panic!("the test is over"));
            let (mut text, mut failed) = (false, false);
            loop {
                tokio::select! {
                    frame = outbound.recv() => {
                        let frame: SharedFrame = match frame {
                            Some(Ok(frame)) => SharedFrame::new(&frame),
                            Some(Err(status)) => {
                                failed = true;
                                let error = Failure::from_status(&status).into();
                                let result = Some(v1::reply::Result::Error(error));
                                let reply = v1::Reply { request_id: String::new(), result };
                                Frame::Reply(reply).into()
                            }
                            None => break,
                        };
                        let message = if text {
                            Message::Text(String::from_utf8(frame.to_json().unwrap()).unwrap().into())
                        } else {
                            Message::Binary(frame.proto().clone())
                        };
                        socket.send(message).await.unwrap();
                        if failed {
                            let close = CloseFrame { code: CloseCode::Policy, reason: "".into() };
                            socket.close(Some(close)).await.unwrap();
                        }
                    }
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(json))) => {
                            text = true;
                            let frame = json::client_frame_from_json(json.as_bytes()).unwrap();
                            inbound.send(frame).await.unwrap();
                        }
                        Some(Ok(Message::Binary(bytes))) => {
                            inbound.send(v1::ClientFrame::decode(bytes).unwrap()).await.unwrap();
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    },
                }
            }
        });
    }
}
