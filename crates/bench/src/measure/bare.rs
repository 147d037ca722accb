//! What this machine does without a server in the way: a gRPC echo, a TCP broadcast.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use parlance_proto::server::chat_service_server::{ChatService, ChatServiceServer};
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::{SharedFrame, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Starts a gRPC server that acknowledges every message at once and does nothing else;
/// returns its address.
pub(super) async fn echo() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(ChatServiceServer::new(Echo));
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok(address)
}

struct Echo;

fn answer(frame: v1::ClientFrame) -> SharedFrame {
    let result = match frame.operation {
        Some(Operation::SendMessage(request)) => {
            let room_id = match request.target {
                Some(v1::send_message_request::Target::RoomId(room_id)) => room_id,
                _ => String::new(),
            };
            let (seq, at) = (1 << 20, Some(some_time()));
            Answer::SendMessage(v1::SendMessageResponse {
                room_id,
                seq,
                at,
                message_count: seq,
                is_repeat: false,
            })
        }
        _ => return Frame::Welcome(v1::Welcome::default()).into(),
    };
    Frame::Reply(v1::Reply { request_id: frame.request_id, result: Some(result) }).into()
}

/// Some time: as many bytes as any other.
fn some_time() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: 1_800_000_000, nanos: 123_000_000 }
}

type Frames = BoxStream<'static, Result<SharedFrame, Status>>;

macro_rules! echo {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        #[async_trait]
        impl ChatService for Echo {
            type ChatStream = Frames;
            type SubscribeStream = Frames;

            async fn chat(
                &self,
                request: Request<Streaming<v1::ClientFrame>>,
            ) -> Result<Response<Frames>, Status> {
                Ok(Response::new(request.into_inner().map(|frame| frame.map(answer)).boxed()))
            }

            async fn subscribe(
                &self,
                _: Request<v1::SubscribeRequest>,
            ) -> Result<Response<Frames>, Status> {
                Err(Status::unimplemented("this is an echo"))
            }

            $(
                async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                    Err(Status::unimplemented("this is an echo"))
                }
            )*
        }
    };
}

echo! {
    send_message: SendMessageRequest -> SendMessageResponse,
    get_message: GetMessageRequest -> GetMessageResponse,
    list_messages: ListMessagesRequest -> ListMessagesResponse,
    list_events: ListEventsRequest -> ListEventsResponse,
    edit_message: EditMessageRequest -> EditMessageResponse,
    delete_message: DeleteMessageRequest -> DeleteMessageResponse,
    add_reaction: AddReactionRequest -> AddReactionResponse,
    remove_reaction: RemoveReactionRequest -> RemoveReactionResponse,
    send_typing: SendTypingRequest -> SendTypingResponse,
}

/// A TCP server that writes the same bytes to everyone, and its readers.
pub(super) struct Broadcast {
    payloads: broadcast::Sender<Bytes>,
}

impl Broadcast {
    /// Connects this many readers. They add to `received` for each payload of
    /// `payload_bytes`; `queue` payloads may wait for each, of which one write takes up to
    /// `gathered`.
    pub(super) async fn start(
        readers: usize,
        payload_bytes: usize,
        queue: usize,
        gathered: usize,
        received: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (payloads, _) = broadcast::channel(queue);
        for _ in 0..readers {
            tokio::spawn(read(address, payload_bytes as u64, Arc::clone(received)));
            let (socket, _) = listener.accept().await?;
            tokio::spawn(write(socket, payloads.subscribe(), gathered));
        }
        Ok(Self { payloads })
    }

    /// Writes a payload to everyone.
    pub(super) fn send(&self, payload: Bytes) {
        let _ = self.payloads.send(payload);
    }
}

async fn write(mut socket: TcpStream, mut payloads: broadcast::Receiver<Bytes>, gathered: usize) {
    let _ = socket.set_nodelay(true);
    let mut waiting = Vec::new();
    while let Ok(payload) = payloads.recv().await {
        waiting.clear();
        waiting.extend_from_slice(&payload);
        for _ in 1..gathered {
            let Ok(payload) = payloads.try_recv() else { break };
            waiting.extend_from_slice(&payload);
        }
        if socket.write_all(&waiting).await.is_err() {
            break;
        }
    }
}

async fn read(address: SocketAddr, payload_bytes: u64, received: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let mut buffer = vec![0; 4096];
    let mut bytes = 0;
    loop {
        let read = socket.read(&mut buffer).await? as u64;
        if read == 0 {
            return Ok(());
        }
        let before = bytes / payload_bytes;
        bytes += read;
        received.fetch_add(bytes / payload_bytes - before, Ordering::Relaxed);
    }
}
