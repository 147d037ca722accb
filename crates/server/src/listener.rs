use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1::Builder as Http1;
use hyper_util::rt::TokioTimer;
use parlance_cluster::Departure;
use parlance_http2::{Connection, Opened, Trust, Version};
use parlance_peers::{Ledger, Peer, Place, Refused};
use parlance_runtime::rate::Bucket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer_headers::AnswerHeaders;
use crate::bridge::limits as bridge;
use crate::http1;
use crate::limits::{
    ACCEPT_AGAIN, COMPLAINTS, CONNECTION_WINDOW, HEADER_TIMEOUT, KEEPALIVE, MAX_HEADERS, MAX_RESETS,
    MAX_STREAMS, PROXY_WINDOW, REOPEN_AGAIN, SEND_BUFFER, STREAM_WINDOW,
};
use crate::proxy_header;
use crate::tls::Tls;

/// Kind of clients that a listener serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Peers {
    /// Any client: untrusted.
    Clients,
    /// Bridges of the same fleet: one connection carries the streams of many clients.
    Bridges,
}

/// One listening socket and its settings.
pub(crate) struct Entrance {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) app: Router,
    /// Headers of answers that do not come from the app.
    pub(crate) headers: AnswerHeaders,
    pub(crate) peers: Peers,
    /// Whether connections from the ledger's proxies begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    pub(crate) max_connections: usize,
    /// Accounts for resources held by peers.
    pub(crate) ledger: Arc<Ledger>,
    /// Closes the listener temporarily while clients move to other nodes.
    pub(crate) departure: Departure,
}

/// Accepts connections until `shutdown`, and serves an app on them, HTTP/1.1 and HTTP/2.
pub(crate) async fn serve(entrance: Entrance, shutdown: CancellationToken, connections: TaskTracker) {
    let Entrance { mut listener, tls, app, headers, peers, proxy_protocol, .. } = entrance;
    let Entrance { max_connections, ledger, departure, .. } = entrance;
    let of_errors = headers.lines();
    let places = Arc::new(Semaphore::new(max_connections));
    let protocols = Arc::new(Protocols::with(peers));
    // Log lines about failures to accept.
    let mut complaints = Bucket::default();
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => return,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            () = departure.wait_for(true) => {
                let Some(reopened) = reopen(listener, &departure, &shutdown).await else { return };
                listener = reopened;
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of descriptors. Existing connections continue; new ones wait in the kernel's queue.
                metrics::counter!("parlance_accept_failures_total").increment(1);
                if complaints.take(COMPLAINTS, Instant::now()).is_ok() {
                    tracing::warn!(%error, "cannot accept a connection, retrying");
                }
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        // Who is at the other end of a proxy, it says first.
        let direct = !proxy_protocol || !ledger.proxies().contains(address.ip());
        let peer = match direct {
            true => match admitted(address.ip(), ledger.connect(address.ip())) {
                Some(peer) => Some(peer),
                None => continue,
            },
            false => None,
        };
        let ledger = ledger.clone();
        // A child token per connection: polling a shared one would contend on its lock.
        let (protocols, tls, app, of_errors) =
            (protocols.clone(), tls.clone(), app.clone(), of_errors.clone());
        let shutdown = departure.token();
        connections.spawn(async move {
            let (stream, peer) = match peer {
                Some(peer) => (stream, peer),
                None => match Box::pin(introduced(stream, address.ip(), &ledger)).await {
                    Some(introduced) => introduced,
                    None => return,
                },
            };
            peer.keep(place);
            // Each phase is boxed: a connection then holds neither the state of its handshake nor the size of the
            // protocol that it does not use (docs/memory.md).
            if let Some(stream) = Box::pin(opened(stream, tls.as_deref())).await {
                metrics::gauge!("parlance_connections").increment(1.0);
                match Box::pin(spoken(stream, peer.clone())).await {
                    Some((Version::Http1, stream)) => {
                        let stream = http1::Stream::new(stream, peer, of_errors);
                        Box::pin(http1::serve(stream, &protocols.http1, app, shutdown)).await;
                    }
                    Some((Version::Http2, stream)) => {
                        let heard = stream.heard();
                        let trust = match peers {
                            Peers::Bridges => Trust::Full,
                            Peers::Clients if peer.is_proxy() => Trust::Proxy,
                            Peers::Clients => Trust::Bounded,
                        };
                        let opened = timeout(
                            HEADER_TIMEOUT,
                            Box::pin(Connection::open(stream, protocols.http2(&peer), trust)),
                        );
                        let served = match opened.await {
                            Ok(Ok(connection)) => {
                                Box::pin(connection.serve(heard, peer, &KEEPALIVE, app, shutdown)).await
                            }
                            Ok(Err(error)) => Err(error),
                            Err(_) => {
                                tracing::debug!("the peer does not finish its preface");
                                Ok(())
                            }
                        };
                        if let Err(error) = served {
                            tracing::debug!(%error, "a connection ended");
                        }
                    }
                    None => {}
                }
                metrics::gauge!("parlance_connections").decrement(1.0);
            }
        });
    }
}

/// Closes `listener` until the departure is over: new connections are refused, so clients connect to another node
/// at once. `None` on shutdown.
async fn reopen(
    listener: TcpListener,
    departure: &Departure,
    shutdown: &CancellationToken,
) -> Option<TcpListener> {
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(error) => {
            tracing::error!(%error, "cannot determine the listening address");
            return Some(listener);
        }
    };
    drop(listener);
    let opened = async {
        departure.wait_for(false).await;
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(error) => tracing::error!(%error, "cannot reopen the listener, retrying"),
            }
            tokio::time::sleep(REOPEN_AGAIN).await;
        }
    };
    shutdown.run_until_cancelled(opened).await
}

/// The peer at `address`. `None` if it has too many connections.
fn admitted(address: IpAddr, counted: Result<Place, Refused>) -> Option<Arc<Peer>> {
    match counted {
        Ok(counted) => Some(Peer::new(address, counted)),
        Err(refused) => {
            tracing::debug!(%address, ?refused, "too many connections of one address");
            None
        }
    }
}

/// Reads for whom the proxy at `address` has opened the connection, and counts it for them.
async fn introduced(
    mut stream: TcpStream,
    address: IpAddr,
    ledger: &Arc<Ledger>,
) -> Option<(TcpStream, Arc<Peer>)> {
    match timeout(HEADER_TIMEOUT, proxy_header::read(&mut stream)).await {
        // An address of the client's own network may be one of the proxies', but does not make it one.
        Ok(Ok(Some(client))) => Some((stream, admitted(client, ledger.connect_client(client))?)),
        Ok(Ok(None)) => Some((stream, admitted(address, ledger.connect(address))?)),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "no valid header of the PROXY protocol");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "the proxy does not finish its header");
            None
        }
    }
}

/// Boxed, so that plaintext connections do not reserve memory for TLS state.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Completes the TLS handshake, if TLS is configured. `None` if it failed or timed out.
async fn opened(stream: TcpStream, tls: Option<&Tls>) -> Option<Stream> {
    // Frames are small and latency matters.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Some(Either::Left(stream)) };
    let handshake = Box::pin(tls.accept(stream));
    match timeout(HEADER_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => return Some(Either::Right(Box::new(stream))),
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("the peer does not finish the TLS handshake"),
    }
    None
}

/// Detects the peer's protocol from its first bytes. `None` if it failed or timed out.
async fn spoken(stream: Stream, peer: Arc<Peer>) -> Option<(Version, Opened<Stream>)> {
    // A peer that sends nothing is disconnected.
    match timeout(HEADER_TIMEOUT, Opened::new(stream, peer)).await {
        Ok(Ok(spoken)) => return Some(spoken),
        Ok(Err(error)) => tracing::debug!(%error, "the peer sent no protocol preface"),
        Err(_) => tracing::debug!("the peer is silent"),
    }
    None
}

/// Settings of both protocols.
struct Protocols {
    http1: Http1,
    http2: h2::server::Builder,
    /// Of connections that carry the streams of many users.
    http2_of_many: h2::server::Builder,
}

impl Protocols {
    fn with(peers: Peers) -> Self {
        let mut http1 = Http1::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(32 * 1024);
        let mut http2 = h2::server::Builder::new();
        http2
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(Some(MAX_RESETS))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADERS);
        let mut http2_of_many = http2.clone();
        http2_of_many.initial_connection_window_size(PROXY_WINDOW);
        if peers == Peers::Bridges {
            http2_of_many
                .max_concurrent_streams(bridge::STREAMS_PER_LINK)
                .max_pending_accept_reset_streams(bridge::RESETS_PER_LINK)
                .max_local_error_reset_streams(Some(bridge::RESETS_PER_LINK))
                .initial_connection_window_size(bridge::CONNECTION_WINDOW);
        }
        Self { http1, http2, http2_of_many }
    }

    /// Settings for a connection of `peer`.
    fn http2(&self, peer: &Peer) -> &h2::server::Builder {
        if peer.is_proxy() { &self.http2_of_many } else { &self.http2 }
    }
}
