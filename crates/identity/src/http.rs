//! A single HTTP/1.1 request with limits on time and size. Redirects are not followed.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use parlance_runtime::names::HostName;
use parlance_runtime::tls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Sends `request`, whose URI has a scheme and a host, and reads up to `max_bytes` of the answer.
///
/// # Errors
/// Why there was no answer, as text.
pub async fn exchange(
    request: Request<Bytes>,
    within: Duration,
    max_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let answer = timeout(within, exchange_unbounded(request, max_bytes)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} seconds", within.as_secs())))
}

async fn exchange_unbounded(
    request: Request<Bytes>,
    max_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let (mut parts, body) = request.into_parts();
    let uri = std::mem::take(&mut parts.uri);
    let authority = uri.authority().ok_or("no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let default = if is_tls { 443 } else { 80 };
    let rest = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let port: u16 = match rest.strip_prefix(':') {
        None => default,
        // Taken for the default, a port out of range would lead to somebody else.
        Some(port) => port.parse().map_err(|_| format!("{port:?} is no port"))?,
    };
    let host_header = authority.as_str().parse().map_err(|_| "no host".to_owned())?;
    parts.headers.insert(header::HOST, host_header);
    // A query may follow the host without a path.
    let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    };
    parts.uri = path.parse::<Uri>().map_err(|error| error.to_string())?;
    let found = HostName::new(host.as_str()).addresses().await?;
    let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let stream = TcpStream::connect(&addresses[..]).await;
    let stream = stream.map_err(|error| format!("cannot connect to {authority}: {error}"))?;
    let request = Request::from_parts(parts, Full::new(body));
    if !is_tls {
        return ask(stream, request, max_bytes).await;
    }
    ask(tls::connect(&host, stream).await?, request, max_bytes).await
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    max_bytes: usize,
) -> Result<(StatusCode, Bytes), String> {
    let no_answer = |error: &dyn std::fmt::Display| format!("no answer: {error}");
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| no_answer(&error))?;
    // Aborted, or a slow server would keep the connection open after the deadline.
    let _driver = AbortOnDrop(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), max_bytes).collect().await;
    Ok((status, body.map_err(|error| format!("cannot read the answer: {error}"))?.to_bytes()))
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
