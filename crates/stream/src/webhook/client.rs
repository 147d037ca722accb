//! An HTTP/1.1 client for one endpoint. Redirects are not followed, and connections are only made to a
//! checked address: a name that resolves to another one meanwhile gains nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parlance_runtime::names::HostName;
use parlance_runtime::tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::address::Reach;
use super::url::Url;
use crate::limits::{
    WEBHOOK_ANSWER, WEBHOOK_BODY, WEBHOOK_CONNECT, WEBHOOK_CONNECTION_AGE, WEBHOOK_IDLE, WEBHOOK_IDLE_FOR,
};

/// A connection, with the time since which it is there.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    opened: Instant,
}

pub(super) struct Client {
    url: Url,
    reach: Reach,
    name: HostName,
    /// With the time of their last use.
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// Which of the addresses is tried first: after a failure the next one, since an attempt may be too short for all.
    first: AtomicUsize,
}

impl Client {
    pub(super) fn new(url: Url, reach: Reach) -> Self {
        let name = HostName::new(url.host.clone());
        Self { url, reach, name, idle: Mutex::default(), first: AtomicUsize::new(0) }
    }

    /// Posts `body`; returns the answer, or why there was none within `limit`.
    pub(super) async fn post(
        &self,
        headers: &[(&str, String)],
        body: Bytes,
        limit: Duration,
    ) -> Result<(StatusCode, HeaderMap), String> {
        let Ok(answered) = timeout(limit, self.send(headers, body)).await else {
            // The others may be dead as well.
            self.idle_connections().clear();
            return Err("no answer in time".to_owned());
        };
        let (connection, response) = answered?;
        let (parts, body) = response.into_parts();
        // Its content does not matter, but the connection can only be reused once the body has been read.
        if let Ok(Ok(_)) = timeout(WEBHOOK_BODY, Limited::new(body, WEBHOOK_ANSWER).collect()).await {
            self.keep(connection);
        }
        Ok((parts.status, parts.headers))
    }

    async fn send(
        &self,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<(Connection, Response<Incoming>), String> {
        let mut connection = match self.idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut request = Request::post(self.url.path.as_str())
            .header(header::HOST, self.url.host_header.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("parlance/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = connection.sender.send_request(request).await;
        Ok((connection, response.map_err(|error| format!("no answer: {error}"))?))
    }

    fn idle_connections(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn idle(&self) -> Option<Connection> {
        loop {
            let (mut connection, used) = self.idle_connections().pop()?;
            let is_old =
                used.elapsed() >= WEBHOOK_IDLE_FOR || connection.opened.elapsed() >= WEBHOOK_CONNECTION_AGE;
            if !is_old && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle_connections();
        if idle.len() < WEBHOOK_IDLE && !connection.sender.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    /// The addresses that may be connected to; or why there is none.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let Url { host, port, .. } = &self.url;
        let found = self.name.addresses().await?;
        let allowed = found.iter().filter(|address| self.reach.allows(**address));
        let allowed: Vec<SocketAddr> = allowed.map(|address| SocketAddr::new(*address, *port)).collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        Err(match found.first() {
            Some(address) => {
                format!(
                    "{host} is at {address}, which is no address of the internet: allow-private-addresses"
                )
            }
            None => format!("{host} has no address"),
        })
    }

    async fn connect(&self) -> Result<Connection, String> {
        let mut reason = String::new();
        let addresses = self.addresses().await?;
        for _ in 0..addresses.len() {
            let first = self.first.load(Ordering::Relaxed);
            let address = addresses[first % addresses.len()];
            let connected = timeout(WEBHOOK_CONNECT, self.connect_to(address)).await;
            match connected.unwrap_or_else(|_| Err(format!("cannot connect to {address} in time"))) {
                Ok(sender) => return Ok(Connection { sender, opened: Instant::now() }),
                Err(error) => reason = error,
            }
            // Once, if several attempts fail together.
            let next = first.wrapping_add(1);
            let _ = self.first.compare_exchange(first, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        Err(reason)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| format!("cannot connect to {address}: {error}"))?;
        let _ = stream.set_nodelay(true);
        if !self.url.is_tls {
            return open(stream).await;
        }
        open(tls::connect(&self.url.host, stream).await?).await
    }
}

async fn open(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    }

    fn client(url: &str, addresses: &Arc<Mutex<Vec<IpAddr>>>) -> Client {
        let url: Url = url.parse().unwrap();
        let addresses = addresses.clone();
        let name = HostName::resolved_by(url.host.clone(), move |_| Ok(addresses.lock().unwrap().clone()));
        Client { name, ..Client::new(url, Reach::Any) }
    }

    /// Counts the connections to an address, each of which gets `answer` for each request, or is closed.
    async fn serve(address: SocketAddr, answer: Option<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let Some(answer) = answer else { continue };
                tokio::spawn(async move {
                    let mut read = [0; 4096];
                    while stream.read(&mut read).await.is_ok_and(|read| read > 0) {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        (address, count)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn an_address_that_speaks_no_tls_does_not_hide_the_next_one() {
        let (first, tried) = serve((address(2), 0).into(), None).await;
        let (_, also_tried) = serve((address(3), first.port()).into(), None).await;
        let addresses = Arc::new(Mutex::new(vec![address(2), address(3)]));
        let client = client(&format!("https://hooks.example.com:{}/", first.port()), &addresses);
        let error = client.post(&[], Bytes::new(), WITHIN).await.unwrap_err();
        assert!(error.contains("no tls"), "{error}");
        assert_eq!((tried.load(Ordering::SeqCst), also_tried.load(Ordering::SeqCst)), (1, 1));
    }

    /// Four that do not answer would use up each attempt.
    #[tokio::test]
    async fn an_attempt_begins_after_the_addresses_that_failed_in_earlier_ones() {
        let (listening, tried) = serve((address(3), 0).into(), Some(OK)).await;
        // Nobody listens at the first one.
        let addresses = Arc::new(Mutex::new(vec![address(2), address(3)]));
        let client = client(&format!("http://hooks.example.com:{}/", listening.port()), &addresses);
        for connections in 1..3 {
            client.post(&[], Bytes::new(), WITHIN).await.unwrap();
            client.idle_connections().clear();
            let first = client.first.load(Ordering::Relaxed);
            assert_eq!((tried.load(Ordering::SeqCst), first), (connections, 1));
        }
    }

    #[tokio::test]
    async fn a_connection_is_reused_until_it_is_old_and_then_made_to_the_present_address() {
        let (before, earlier) = serve((address(2), 0).into(), Some(OK)).await;
        let (_, later) = serve((address(3), before.port()).into(), Some(OK)).await;
        let addresses = Arc::new(Mutex::new(vec![address(2)]));
        let client = client(&format!("http://hooks.example.com:{}/", before.port()), &addresses);
        for _ in 0..3 {
            client.post(&[], Bytes::new(), WITHIN).await.unwrap();
        }
        *addresses.lock().unwrap() = vec![address(3)];
        assert_eq!((earlier.load(Ordering::SeqCst), later.load(Ordering::SeqCst)), (1, 0));
        let aged = Instant::now().checked_sub(WEBHOOK_CONNECTION_AGE).expect("the machine runs for long");
        client.idle_connections()[0].0.opened = aged;
        // As after the time for which a lookup is shared.
        let url = client.url.clone();
        let current = addresses.clone();
        let name = HostName::resolved_by(url.host.clone(), move |_| Ok(current.lock().unwrap().clone()));
        let client = Client { name, ..client };
        client.post(&[], Bytes::new(), WITHIN).await.unwrap();
        assert_eq!((earlier.load(Ordering::SeqCst), later.load(Ordering::SeqCst)), (1, 1));
    }
}
