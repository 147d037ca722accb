//! Configuration, and messages to send.
#![forbid(unsafe_code)]

use parlance_client::transport::{Dialer, Door};
use parlance_client::v1::SendMessageRequest;
use parlance_client::v1::send_message_request::Target;

use crate::ClientError;
use crate::json;

/// How to connect, and where to store state that survives the process.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address.
    pub server: String,
    /// How it is spoken to.
    pub transport: Transport,
    /// Names this device among those of its user.
    pub device_id: String,
    /// The path of the database.
    pub database: Option<String>,
}

impl Options {
    pub(crate) fn dialer(&self) -> Dialer {
        let door = match self.transport {
            Transport::WebSocket => Door::WebSocketBinary,
            Transport::Grpc => Door::Grpc,
        };
        Dialer::new(door, &self.server)
    }
}

/// The connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Passes every proxy.
    WebSocket,
    /// Needs HTTP/2 all the way.
    Grpc,
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct OutgoingMessage {
    /// The room, or
    pub room_id: Option<String>,
    /// the user.
    pub to_user: Option<String>,
    /// The text.
    pub text: String,
    /// An id of the app's own.
    pub client_message_id: Option<String>,
    /// The message that this one replies to.
    pub reply_to_seq: Option<u64>,
    /// The app's own kind of message.
    pub kind: String,
    /// The app's own data.
    pub data_json: Option<String>,
    /// Whether it mentions everyone in the room.
    pub mention_all: bool,
}

impl OutgoingMessage {
    pub(crate) fn into_request(self) -> Result<SendMessageRequest, ClientError> {
        let target = match (self.room_id, self.to_user) {
            (Some(room), None) => Target::RoomId(room),
            (None, Some(user)) => Target::ToUser(user),
            _ => return Err(ClientError::invalid("either `room_id` or `to_user` is required")),
        };
        Ok(SendMessageRequest {
            target: Some(target),
            client_message_id: self.client_message_id.unwrap_or_default(),
            text: self.text,
            reply_to_seq: self.reply_to_seq.unwrap_or_default(),
            after_seq: None,
            kind: self.kind,
            data: self.data_json.as_deref().map(json::read_data).transpose()?,
            mention_all: self.mention_all,
        })
    }
}

/// A message that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// The room.
    pub room_id: String,
    /// Its position in the room.
    pub seq: u64,
    /// Whether it had been sent before.
    pub is_repeat: bool,
}
