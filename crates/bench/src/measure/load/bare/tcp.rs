use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::super::tally::Tally;

/// Size of a delivered payload, bytes: a 200-byte message as an event.
pub(super) const PAYLOAD: usize = 300;

/// Confirms the subscription of a listener.
const WELCOME: u8 = b'L';

pub(super) async fn serve(listener: TcpListener, payloads: broadcast::Sender<Bytes>) -> Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(write(socket, payloads.subscribe()));
    }
}

async fn write(mut socket: TcpStream, mut payloads: broadcast::Receiver<Bytes>) -> Result<()> {
    socket.write_u8(WELCOME).await?;
    loop {
        socket.write_all(&payloads.recv().await?).await?;
    }
}

pub(in super::super) struct Listener(TcpStream);

pub(in super::super) async fn listen(address: &str) -> Result<Listener> {
    let mut socket = TcpStream::connect(address).await?;
    ensure!(socket.read_u8().await? == WELCOME, "not a bare server");
    Ok(Listener(socket))
}

impl Listener {
    pub(in super::super) fn count(mut self, tally: Arc<Tally>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut buffer = vec![0; 16 * 1024];
            let mut rest = 0;
            while let Ok(read @ 1..) = self.0.read(&mut buffer).await {
                rest += read;
                let events = rest / PAYLOAD;
                rest %= PAYLOAD;
                if events > 0 {
                    tally.add(events as u64);
                }
            }
        })
    }
}
