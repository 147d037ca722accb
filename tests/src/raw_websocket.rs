use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::within;

/// A WebSocket that can send anything.
pub struct RawWebSocket {
    socket: WebSocketStream<TcpStream>,
    /// The headers of the handshake response.
    pub handshake: HeaderMap,
}

impl RawWebSocket {
    /// Connects to `/ws` with these headers.
    ///
    /// # Errors
    /// Status and stable reason of a refused handshake.
    pub async fn connect(address: &str, headers: &[(&'static str, &str)]) -> Result<Self, (u16, String)> {
        let socket = TcpSocket::new_v4().expect("a socket");
        Self::connect_over(socket, address, headers).await
    }

    /// Connects with this token.
    pub async fn signed_in(address: &str, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::connect(address, &[("authorization", &bearer)]).await.expect("the token is good")
    }

    /// Connects over an existing socket.
    ///
    /// # Errors
    /// Status and stable reason of a refused handshake.
    pub async fn connect_over(
        socket: TcpSocket,
        address: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, String)> {
        let mut request = format!("ws://{address}/ws").into_client_request().expect("an address is a uri");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("it fits a header"));
        }
        let address = address.parse().expect("an ip address");
        let stream =
            within("the socket connects", socket.connect(address)).await.expect("the server is there");
        match within("the handshake is answered", client_async(request, stream)).await {
            Ok((socket, response)) => Ok(Self { socket, handshake: response.headers().clone() }),
            Err(Error::Http(response)) => {
                let body: Value = serde_json::from_slice(response.body().as_deref().unwrap_or_default())
                    .unwrap_or_else(|error| panic!("{error}: {response:?}"));
                let reason = body["error"]["reason"].as_str().expect("an error has a reason").to_owned();
                Err((response.status().as_u16(), reason))
            }
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// Sends a text message.
    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a binary message.
    pub async fn binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::binary(bytes)).await;
    }

    /// Sends a text message that is not valid UTF-8.
    pub async fn text_of_bytes(&mut self, bytes: Vec<u8>) {
        self.send(Message::Frame(Frame::message(bytes, OpCode::Data(Data::Text), true))).await;
    }

    /// Sends a message; if the connection has ended, reading returns why.
    pub async fn send(&mut self, message: Message) {
        let _ = within("the message goes out", self.socket.send(message)).await;
    }

    /// The next text message, as JSON.
    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).expect("frames are JSON"),
            other => panic!("a text message was due, and came: {other:?}"),
        }
    }

    /// Sends hello and waits for the welcome.
    pub async fn hello(&mut self) {
        self.text(r#"{"hello": {}}"#).await;
        let welcome = self.json().await;
        assert!(welcome["welcome"]["sessionId"].is_string(), "{welcome}");
    }

    /// The next reply's request id, and code and stable reason of its error. Skips
    /// other frames.
    pub async fn refused(&mut self) -> (String, u64, String) {
        loop {
            let reply = self.json().await["reply"].take();
            if reply.is_object() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let error = &reply["error"];
                let code = error["code"].as_u64().unwrap_or_else(|| panic!("no error: {reply}"));
                return (text(&reply["requestId"]), code, text(&error["reason"]));
            }
        }
    }

    /// The next message that is not a ping or pong; `None` at the end.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match within("a message comes", self.socket.next()).await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Code and reason of the server's close, after any other frames.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Message::Close(Some(close))) => return (close.code.into(), close.reason.to_string()),
                Some(Message::Close(None)) => return (1005, String::new()),
                Some(_) => {}
                None => return (1006, String::new()),
            }
        }
    }
}
