//! Reads and writes text frames, for two of the peers.

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Small, so that a thousand of them fit into the cache.
const BUFFER: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    /// Connects to `path` on a loopback port, without compression.
    pub(super) async fn connect(port: u16, path: &str, protocol: Option<&'static str>) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(protocol));
        }
        // Each send is written immediately, without batching.
        let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(0);
        let (socket, _) = client_async_with_config(request, socket, Some(config)).await?;
        Ok(Self(socket))
    }

    pub(super) async fn send(&mut self, text: impl Into<Utf8Bytes>) -> Result<()> {
        Ok(self.0.send(Message::Text(text.into())).await?)
    }

    /// The next text frame. WebSocket pings are answered along the way.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the server has hung up")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(reason) => bail!("the server has hung up: {reason:?}"),
                _ => {}
            }
        }
    }
}
