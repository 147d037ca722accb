use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use parlance_proto::error::Failure;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Service};

use super::limits::{CONNECT_AGAIN, LINKS_PER_NODE, NODE_WITHIN, RESOLVE_EVERY};
use super::link::{Answer, Link, Sent};
use crate::readiness::{Need, Readiness};

/// The nodes that can be asked: the links to them that stand.
#[derive(Clone)]
pub(crate) struct Nodes {
    links: Arc<watch::Sender<Vec<Link>>>,
    readiness: Readiness,
}

impl Nodes {
    pub(crate) fn new(readiness: Readiness) -> Self {
        metrics::describe_gauge!("parlance_edge_links", "connections to nodes that stand");
        readiness.missing(Need::Nodes, "none of the nodes is reached");
        Self { links: Arc::default(), readiness }
    }

    fn add(&self, link: Link) {
        self.change(|links| links.push(link));
    }

    fn remove(&self, link: &Link) {
        self.change(|links| links.retain(|other| !other.is(link)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Link>)) {
        self.links.send_modify(|links| {
            change(links);
            metrics::gauge!("parlance_edge_links").set(links.len() as f64);
            if links.is_empty() {
                self.readiness.missing(Need::Nodes, "none of the nodes is reached");
            } else {
                self.readiness.there(Need::Nodes);
            }
        });
    }

    /// The link with the fewest streams; waits a little where there is none.
    async fn pick(&self) -> Result<Link, Status> {
        let mut links = self.links.subscribe();
        let open = |links: &Vec<Link>| links.iter().any(|link| !link.is_closed());
        let found = timeout(NODE_WITHIN, links.wait_for(open)).await;
        let best = found.ok().and_then(Result::ok).and_then(|links| {
            links.iter().filter(|link| !link.is_closed()).min_by_key(|link| link.streams()).cloned()
        });
        best.ok_or_else(|| {
            Failure::new(Code::Unavailable, "no_node", "no node is in reach; try again").into()
        })
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        loop {
            let link = self.pick().await?;
            address(&mut request, link.address)?;
            match link.clone().send(request).await {
                Sent::Answered(response) => return Ok(response),
                Sent::Lost(error) => return Err(error.into()),
                Sent::Unsent(unsent) => {
                    // A node that drains: another is there, or will be in a moment.
                    self.remove(&link);
                    request = unsent;
                }
            }
        }
    }
}

/// Says whom the request is for.
fn address(request: &mut Request<Body>, node: SocketAddr) -> Result<(), BoxError> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(node.to_string())?);
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}

impl Service<Request<Body>> for Nodes {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

/// Keeps links to every address of `authority`, looked up again and again, until `end`.
pub(crate) async fn look_after(nodes: Nodes, authority: String, end: CancellationToken, tasks: TaskTracker) {
    let mut known: HashMap<SocketAddr, CancellationToken> = HashMap::new();
    let mut tick = interval(RESOLVE_EVERY);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = tick.tick() => {}
        }
        let found: Vec<SocketAddr> = match tokio::net::lookup_host(&authority).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                // Those that are known stay: a name server may be away, too.
                tracing::warn!(authority, %error, "cannot look up");
                continue;
            }
        };
        known.retain(|address, end| {
            let stays = found.contains(address);
            if !stays {
                end.cancel();
            }
            stays
        });
        for address in found {
            known.entry(address).or_insert_with(|| {
                let end = end.child_token();
                for _ in 0..LINKS_PER_NODE {
                    tasks.spawn(keep_linked(nodes.clone(), address, end.clone()));
                }
                end
            });
        }
    }
}

/// Keeps one link to `address`, until `end`. Streams that are open then end by themselves.
async fn keep_linked(nodes: Nodes, address: SocketAddr, end: CancellationToken) {
    let mut reached = true;
    while !end.is_cancelled() {
        let connected = tokio::select! {
            () = end.cancelled() => return,
            connected = Link::connect(address) => connected,
        };
        match connected {
            Ok((link, driver)) => {
                tracing::info!(%address, "linked");
                reached = true;
                nodes.add(link.clone());
                tokio::select! {
                    () = end.cancelled() => {}
                    ended = driver => if let Err(error) = ended {
                        tracing::warn!(%address, %error, "a link broke");
                    },
                }
                nodes.remove(&link);
            }
            Err(error) if reached => {
                reached = false;
                tracing::warn!(%address, %error, "a node is out of reach; trying on");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = sleep(CONNECT_AGAIN) => {}
        }
    }
}
