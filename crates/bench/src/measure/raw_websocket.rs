//! WebSockets whose frames are counted but not decoded: reading JSON is the cost of a
//! browser, not of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const AT_ONCE: usize = 64;
const BUFFER_BYTES: usize = 4 * 1024;

/// Opens a socket for each token, in order, and says hello in JSON.
pub(super) async fn open_all(address: &str, tokens: &[String]) -> Result<Vec<Socket>> {
    let opened = futures::stream::iter(tokens).map(|token| Box::pin(open(address, token)));
    opened.buffered(AT_ONCE).try_collect().await
}

async fn open(address: &str, token: &str) -> Result<Socket> {
    let mut request = format!("ws://{address}/ws").into_client_request()?;
    let authorization = format!("Bearer {token}").try_into()?;
    request.headers_mut().insert(http::header::AUTHORIZATION, authorization);
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let (mut socket, _) = Box::pin(connect_async_with_config(request, Some(config), true)).await?;
    socket.send(Message::Text(r#"{"requestId":"hello","hello":{}}"#.into())).await?;
    let first = socket.next().await.context("no welcome")??;
    ensure!(is(&first, b"{\"welcome\""), "no welcome: {first:?}");
    Ok(socket)
}

/// Counts events until the socket ends.
pub(super) async fn count_events(mut socket: Socket, received: Arc<AtomicU64>) {
    while let Some(Ok(message)) = socket.next().await {
        if is(&message, b"{\"event\"") {
            received.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn is(message: &Message, beginning: &[u8]) -> bool {
    matches!(message, Message::Text(text) if text.as_bytes().starts_with(beginning))
}
