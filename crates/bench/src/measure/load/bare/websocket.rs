use anyhow::Result;
use bytes::Bytes;
use futures::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

pub(super) async fn serve(listener: TcpListener, payloads: broadcast::Sender<Bytes>) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(write(socket, payloads.subscribe()));
    }
}

async fn write(socket: TcpStream, mut payloads: broadcast::Receiver<Bytes>) -> Result<()> {
    let mut socket = accept_async(socket).await?;
    socket.send(Message::text("{\"welcome\"")).await?;
    loop {
        socket.send(Message::Text(Utf8Bytes::try_from(payloads.recv().await?)?)).await?;
    }
}
