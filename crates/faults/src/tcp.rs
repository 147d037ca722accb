use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A TCP proxy that can fail in all the ways a network can. Clones share the same proxy; it stops with the last of
/// them.
#[derive(Debug, Clone)]
pub struct TcpProxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    traffic: Traffic,
    delay: Duration,
    /// Connections made before this many cuts are closed.
    cuts: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Traffic {
    #[default]
    Passes,
    /// New connections are closed at once; open ones continue.
    NoNew,
    /// Connections stay open, but nothing gets through. Data waits.
    Silent,
}

impl TcpProxy {
    /// Starts a proxy to `upstream`, on a free loopback port.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, seen) = watch::channel(State::default());
        tokio::spawn(accept(listener, upstream, seen));
        Ok(Self { address, state: Arc::new(state) })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards everything again, without delay.
    pub fn pass(&self) {
        self.state.send_modify(|state| (state.traffic, state.delay) = (Traffic::Passes, Duration::ZERO));
    }

    /// Closes all open connections. New ones are accepted.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes all connections, and every new one, until [`Self::pass`].
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.traffic = Traffic::NoNew;
            state.cuts += 1;
        });
    }

    /// Closes new connections, but keeps open ones.
    pub fn refuse_new(&self) {
        self.state.send_modify(|state| state.traffic = Traffic::NoNew);
    }

    /// Keeps connections open but forwards nothing, in either direction, until [`Self::pass`]: then the waiting data
    /// arrives.
    pub fn blackhole(&self) {
        self.state.send_modify(|state| state.traffic = Traffic::Silent);
    }

    /// Keeps connections open but forwards nothing for this long.
    pub async fn stall(&self, time: Duration) {
        self.blackhole();
        tokio::time::sleep(time).await;
        self.pass();
    }

    /// Delays all bytes by this much in each direction, in order.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }
}

/// Ends when the proxy was dropped.
async fn accept(listener: TcpListener, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((client, _)) = client else { continue };
        let now = *state.borrow();
        if now.traffic != Traffic::NoNew {
            tokio::spawn(connection(client, upstream, state.clone(), now.cuts));
        }
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>, cuts: u64) {
    let (there, back) = (state.clone(), state.clone());
    let carried = async move {
        passing(&mut there.clone()).await;
        let server = TcpStream::connect(upstream).await?;
        // The proxy must not distort measurements.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::try_join!(carry(client_read, server_write, there), carry(server_read, client_write, back))
    };
    tokio::select! {
        _ = carried => {}
        // A cut, or the end of the proxy.
        _ = state.wait_for(|state| state.cuts > cuts) => {}
    }
}

async fn passing(state: &mut watch::Receiver<State>) {
    // If the proxy has ended, the connection ends too.
    let _ = state.wait_for(|state| state.traffic != Traffic::Silent).await;
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let (read, mut written) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(64);
    let delays = state.clone();
    let reading = async move {
        loop {
            let mut bytes = vec![0; 16_384];
            let count = from.read(&mut bytes).await?;
            bytes.truncate(count);
            let due = Instant::now() + delays.borrow().delay;
            if count == 0 || read.send((due, bytes)).await.is_err() {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = written.recv().await {
            // The timer has a resolution of a millisecond: avoid it if possible.
            if due > Instant::now() {
                sleep_until(due).await;
            }
            passing(&mut state).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(reading, writing).map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn echo() -> TcpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpProxy::start(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        proxy
    }

    async fn connect(proxy: &TcpProxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.unwrap()
    }

    async fn says(stream: &mut TcpStream, within: Duration) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 100];
        let count = tokio::time::timeout(within, stream.read(&mut bytes)).await.ok()?.unwrap_or(0);
        bytes.truncate(count);
        Some(bytes)
    }

    #[tokio::test]
    async fn bytes_pass_until_blocked() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await;
        stream.write_all(b"one").await.unwrap();
        assert_eq!(says(&mut stream, SOON).await.unwrap(), b"one");
        proxy.blackhole();
        stream.write_all(b"two").await.unwrap();
        assert_eq!(says(&mut stream, Duration::from_millis(50)).await, None);
        proxy.pass();
        assert_eq!(says(&mut stream, SOON).await.unwrap(), b"two");
        proxy.delay(Duration::from_millis(50));
        let sent = Instant::now();
        stream.write_all(b"three").await.unwrap();
        assert_eq!(says(&mut stream, SOON).await.unwrap(), b"three");
        assert!(sent.elapsed() >= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn cut_closes_open_connections_and_refusal_new_ones() {
        let proxy = echo().await;
        let mut old = connect(&proxy).await;
        old.write_all(b"one").await.unwrap();
        assert_eq!(says(&mut old, SOON).await.unwrap(), b"one");
        proxy.refuse_new();
        let mut new = connect(&proxy).await;
        assert_eq!(says(&mut new, SOON).await.unwrap(), b"");
        old.write_all(b"two").await.unwrap();
        assert_eq!(says(&mut old, SOON).await.unwrap(), b"two");
        proxy.cut();
        assert_eq!(says(&mut old, SOON).await.unwrap(), b"");
        proxy.pass();
        let mut new = connect(&proxy).await;
        new.write_all(b"three").await.unwrap();
        assert_eq!(says(&mut new, SOON).await.unwrap(), b"three");
    }
}
