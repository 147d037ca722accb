//! One connection of the `Chat` stream, over any transport.

mod address;
mod grpc;
mod limits;
mod websocket;

use std::fmt;
use std::sync::Arc;

use parlance_client_core::Encoding;
use parlance_proto::v1::{ClientFrame, ServerFrame};
use tokio::sync::mpsc;

use crate::ClientError;

pub(crate) use address::Address;
pub use address::ClientCertificate;
pub(crate) use grpc::channel as grpc_channel;

/// The transports. All carry the same frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// `ChatService.Chat` over HTTP/2.
    Grpc,
    /// `/ws` with canonical proto3 JSON in text messages.
    WebSocketJson,
    /// `/ws` with protobuf in binary messages.
    WebSocketBinary,
}

impl Door {
    pub(crate) fn encoding(self) -> Encoding {
        match self {
            Self::Grpc | Self::WebSocketBinary => Encoding::Protobuf,
            Self::WebSocketJson => Encoding::Json,
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "gRPC",
            Self::WebSocketJson => "WebSocket (JSON)",
            Self::WebSocketBinary => "WebSocket (binary)",
        })
    }
}

/// An address and a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialer {
    door: Door,
    address: Address,
}

impl Dialer {
    /// Connects to `address` over the transport `door`. With TLS for `https://host` or
    /// `https://host:port`; without for `http://host:port` or just `host:port`.
    ///
    /// Certificates are checked against the system's trusted ones; the variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` override them.
    pub fn new(door: Door, address: impl AsRef<str>) -> Self {
        Self { door, address: Address::parse(address.as_ref()) }
    }

    /// Shows this certificate to servers that want one. Without TLS there is nobody to show it to.
    #[must_use]
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.address.certificate = Some(Arc::new(certificate));
        self
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.door.encoding()
    }

    /// Opens a new connection. The first frame to send is `hello`.
    ///
    /// # Errors
    /// The server cannot be reached. A refused token is reported here or at the
    /// first [`Connection::recv`].
    pub async fn connect(&self, token: &str) -> Result<Connection, ClientError> {
        match self.door {
            Door::Grpc => {
                let (frames, inbound) = grpc::connect(&self.address, token).await?;
                Ok(Connection::new(frames, Inbound::Grpc(inbound)))
            }
            Door::WebSocketJson | Door::WebSocketBinary => {
                let (frames, inbound) =
                    websocket::connect(&self.address, token, self.door.encoding()).await?;
                Ok(Connection::new(frames, Inbound::WebSocket(Box::new(inbound))))
            }
        }
    }
}

/// An open `Chat` stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

impl Connection {
    fn new(frames: mpsc::Sender<ClientFrame>, inbound: Inbound) -> Self {
        Self { sender: Sender(frames), receiver: Receiver(inbound) }
    }

    /// Sends a frame; see [`Sender::send`].
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn send(&self, frame: ClientFrame) -> Result<(), ClientError> {
        self.sender.send(frame).await
    }

    /// The next frame; see [`Receiver::recv`].
    ///
    /// # Errors
    /// The stream broke, or the server ended it with an error.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>, ClientError> {
        self.receiver.recv().await
    }

    /// Both halves, for use by different tasks. The connection closes once both are
    /// dropped.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// The sending half of a connection.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::Sender<ClientFrame>);

impl Sender {
    /// Queues a frame; waits while the queue is full. Returning does not mean that it
    /// has arrived: replies do.
    ///
    /// # Errors
    /// The stream has ended; [`Receiver::recv`] returns why.
    pub async fn send(&self, frame: ClientFrame) -> Result<(), ClientError> {
        self.0.send(frame).await.map_err(|_| ClientError::Io("the stream has ended".to_owned()))
    }

    /// Reserves a slot for one frame; `None` once the stream has ended.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, ClientFrame>> {
        self.0.reserve().await.ok()
    }
}

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Receiver(Inbound);

#[derive(Debug)]
enum Inbound {
    Grpc(grpc::Inbound),
    WebSocket(Box<websocket::Inbound>),
}

impl Receiver {
    /// The next frame, or `None` once the server has ended the stream normally.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The stream broke, or the server ended it with an error.
    pub async fn recv(&mut self) -> Result<Option<ServerFrame>, ClientError> {
        match &mut self.0 {
            Inbound::Grpc(inbound) => inbound.recv().await,
            Inbound::WebSocket(inbound) => inbound.recv().await,
        }
    }
}
