//! An endpoint of webhooks that fails in all the ways an endpoint can.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::check::Arrivals;

/// How long a slow endpoint may take.
const SLOWEST_MS: u64 = 2_000;

/// Largest request that is read.
const MAX_REQUEST: usize = 4 << 20;

/// What becomes of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Accept,
    /// 500, and nothing is taken.
    Fail,
    /// 500, though the event was taken.
    TakeAndFail,
    /// Taken, and the connection ends without an answer.
    TakeAndCut,
    /// Nothing is taken, and nothing is answered until the mode changes.
    Hang,
    /// Taken and accepted after a while, which differs: not if the sender is gone by then.
    Slow,
}

/// A running endpoint.
#[derive(Debug)]
pub(super) struct Hook {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    arrivals: Arc<Mutex<Arrivals>>,
}

impl Hook {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Accept);
        let arrivals = Arc::<Mutex<Arrivals>>::default();
        let taking = arrivals.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (modes, arrivals) = (modes.clone(), taking.clone());
                // A connection that ends early is the sender's business.
                tokio::spawn(async move { serve(stream, modes, &arrivals).await });
            }
        });
        Ok(Self { address, mode, arrivals })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What was taken, as it came.
    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    mut modes: watch::Receiver<Mode>,
    arrivals: &Mutex<Arrivals>,
) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(body) = request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let mode = *modes.borrow_and_update();
        if mode == Mode::Hang {
            modes.changed().await?;
            return Ok(());
        }
        if mode == Mode::Slow {
            let mut hash = DefaultHasher::new();
            body.hash(&mut hash);
            let gone =
                timeout(Duration::from_millis(hash.finish() % SLOWEST_MS), stream.read_buf(&mut buffer))
                    .await;
            if gone.is_ok() {
                return Ok(());
            }
        }
        if mode != Mode::Fail {
            let post: Value = serde_json::from_slice(&body)?;
            let number = |name: &str| post["data"][name].as_str().and_then(|number| number.parse().ok());
            let room = post["data"]["roomId"].as_str().context("a post without a room")?.to_owned();
            let key = number("epoch").zip(number("seq")).context("a post without an identity")?;
            arrivals.lock().unwrap_or_else(PoisonError::into_inner).entry(room).or_default().push(key);
        }
        let status = match mode {
            Mode::Accept | Mode::Slow => "204 No Content",
            Mode::TakeAndCut => return Ok(()),
            _ => "500 Internal Server Error",
        };
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    }
}

/// The body of the next request; `None` at the end of the connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context("a post without a length")?.trim().parse()?;
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some(body));
            }
        }
        if buffer.len() > MAX_REQUEST {
            bail!("a request is too large");
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
