//! An HTTP/1.1 client for one endpoint. Redirects are not followed, and connections are only made to a
//! checked address: a name that resolves to another one meanwhile gains nothing.

use std::net::SocketAddr;
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
use crate::limits::{WEBHOOK_ANSWER, WEBHOOK_BODY, WEBHOOK_CONNECT, WEBHOOK_IDLE, WEBHOOK_IDLE_FOR};

type Sender = SendRequest<Full<Bytes>>;

pub(super) struct Client {
    url: Url,
    reach: Reach,
    name: HostName,
    /// With the time of their last use.
    idle: Mutex<Vec<(Sender, Instant)>>,
}

impl Client {
    pub(super) fn new(url: Url, reach: Reach) -> Self {
        let name = HostName::new(url.host.clone());
        Self { url, reach, name, idle: Mutex::default() }
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
        let (sender, response) = answered?;
        let (parts, body) = response.into_parts();
        // Its content does not matter, but the connection can only be reused once the body has been read.
        if let Ok(Ok(_)) = timeout(WEBHOOK_BODY, Limited::new(body, WEBHOOK_ANSWER).collect()).await {
            self.keep(sender);
        }
        Ok((parts.status, parts.headers))
    }

    async fn send(
        &self,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<(Sender, Response<Incoming>), String> {
        let mut sender = match self.idle().await {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let mut request = Request::post(self.url.path())
            .header(header::HOST, self.url.host_header())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("parlance/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        Ok((sender, response))
    }

    fn idle_connections(&self) -> MutexGuard<'_, Vec<(Sender, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn idle(&self) -> Option<Sender> {
        loop {
            let (mut sender, used) = self.idle_connections().pop()?;
            if used.elapsed() < WEBHOOK_IDLE_FOR && sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle_connections();
        if idle.len() < WEBHOOK_IDLE && !sender.is_closed() {
            idle.push((sender, Instant::now()));
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

    async fn connect(&self) -> Result<Sender, String> {
        let mut reason = String::new();
        for address in self.addresses().await? {
            let stream = match timeout(WEBHOOK_CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    reason = format!("cannot connect to {address}: {error}");
                    continue;
                }
                Err(_) => {
                    reason = format!("cannot connect to {address} in time");
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            if !self.url.is_tls {
                return open(stream).await;
            }
            return open(tls::connect(&self.url.host, stream).await?).await;
        }
        Err(reason)
    }
}

async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, String> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}
