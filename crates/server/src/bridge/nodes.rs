use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use http::{Request, Response};
use parlance_proto::error::Failure;
use parlance_runtime::names::HostName;
use parlance_runtime::random;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Service};

use super::choice::{self, Candidate, Standing};
use super::limits::{CONNECT_BACKOFF, FIRST_PROBE, LINKS_PER_NODE, NODE_WITHIN, RESOLVE_EVERY};
use super::link::{Answer, Link, Sent, address};
use super::probe::{keep_probing, probe};
use crate::readiness::{Need, Readiness};

/// The usable nodes: the connections to them on which they have answered.
#[derive(Clone)]
pub(crate) struct Nodes {
    links: Arc<watch::Sender<Vec<Probed>>>,
    readiness: Readiness,
}

/// A connection, and the result of its probes.
struct Probed {
    link: Link,
    standing: Standing,
}

/// The route of one request to a node.
#[derive(Clone)]
pub(crate) struct Route {
    nodes: Nodes,
    avoid: Option<SocketAddr>,
    /// The selected connection.
    via: Arc<Mutex<Option<Link>>>,
}

/// Removes a connection from the list when dropped.
struct Listed<'a> {
    nodes: &'a Nodes,
    link: Link,
}

impl Nodes {
    pub(crate) fn new(readiness: Readiness) -> Self {
        metrics::describe_gauge!("parlance_edge_links", "connections to nodes that stand");
        let nodes = Self { links: Arc::default(), readiness };
        nodes.show(&[]);
        nodes
    }

    /// A route to any node, preferably not `avoid`.
    pub(crate) fn route(&self, avoid: Option<SocketAddr>) -> Route {
        Route { nodes: self.clone(), avoid, via: Arc::default() }
    }

    fn add(&self, link: Link, standing: Standing) -> Listed<'_> {
        self.change(|links| {
            links.push(Probed { link: link.clone(), standing });
            true
        });
        Listed { nodes: self, link }
    }

    fn remove(&self, link: &Link) {
        self.change(|links| {
            let before = links.len();
            links.retain(|other| !other.link.is(link));
            links.len() != before
        });
    }

    /// Records the result of a probe of `link`.
    pub(crate) fn set(&self, link: &Link, standing: Standing) {
        self.change(|links| {
            let found = links.iter_mut().find(|other| other.link.is(link));
            let Some(probed) = found.filter(|probed| probed.standing != standing) else { return false };
            tracing::info!(address = %link.address, ?standing, was = ?probed.standing, "node");
            probed.standing = standing;
            true
        });
    }

    /// Changes the list; `change` returns whether it did.
    fn change(&self, change: impl FnOnce(&mut Vec<Probed>) -> bool) {
        self.links.send_if_modified(|links| {
            let changed = change(links);
            if changed {
                self.show(links);
            }
            changed
        });
    }

    fn show(&self, links: &[Probed]) {
        metrics::gauge!("parlance_edge_links").set(links.len() as f64);
        match choice::missing(links.iter().map(|probed| probed.standing)) {
            Some(why) => self.readiness.missing(Need::Nodes, why),
            None => self.readiness.there(Need::Nodes),
        }
    }

    /// The best connection; waits briefly if there is none.
    async fn pick(&self, avoid: Option<SocketAddr>) -> Result<Link, Status> {
        let best = |links: &Vec<Probed>| {
            choice::choose(links.iter().map(|Probed { link, standing }| Candidate {
                standing: *standing,
                closed: link.is_closed(),
                avoided: avoid == Some(link.address),
                streams: link.streams(),
            }))
        };
        let mut links = self.links.subscribe();
        let found = timeout(NODE_WITHIN, links.wait_for(|links| best(links).is_some())).await;
        let link = found.ok().and_then(Result::ok).and_then(|links| Some(links[best(&links)?].link.clone()));
        link.ok_or_else(|| {
            Failure::new(Code::Unavailable, "no_node", "no node is reachable; try again").into()
        })
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.nodes.remove(&self.link);
    }
}

impl Route {
    /// The node that was called.
    pub(crate) fn node(&self) -> Option<SocketAddr> {
        self.link().map(|link| link.address)
    }

    /// The node did not accept a stream in time, which needs neither store nor other nodes: its connection gets
    /// nothing new until a probe is answered.
    pub(crate) fn blame(&self) {
        if let Some(link) = self.link() {
            self.nodes.set(&link, Standing::Late);
        }
    }

    fn link(&self) -> Option<Link> {
        self.via.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        loop {
            let link = self.nodes.pick(self.avoid).await?;
            address(&mut request, link.address)?;
            *self.via.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
            match link.clone().send(request).await {
                Sent::Answered(response) => return Ok(response),
                Sent::Lost(error) => return Err(error.into()),
                Sent::Unsent(unsent) => {
                    // The node is draining: another one is available, or will be shortly.
                    self.nodes.remove(&link);
                    request = unsent;
                }
            }
        }
    }
}

impl Service<Request<Body>> for Route {
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

/// Maintains links to every address of `authority`, which is resolved repeatedly, until `end`.
pub(crate) async fn look_after(nodes: Nodes, authority: String, end: CancellationToken, tasks: TaskTracker) {
    let (host, port) = host_and_port(&authority);
    let name = HostName::new(host);
    let mut known: HashMap<SocketAddr, CancellationToken> = HashMap::new();
    let mut tick = interval(RESOLVE_EVERY);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = tick.tick() => {}
        }
        let looked_up = tokio::select! {
            () = end.cancelled() => return,
            looked_up = name.addresses() => looked_up,
        };
        let found: Vec<SocketAddr> = match looked_up {
            Ok(addresses) => addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
            Err(error) => {
                // Keep the known ones: a name server may be unavailable, too.
                tracing::warn!(authority, %error, "lookup failed");
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

/// The parts of `authority`, which has a port; an address without its brackets.
fn host_and_port(authority: &str) -> (&str, u16) {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    (host.trim_matches(['[', ']']), port.parse().unwrap_or_default())
}

/// Maintains one connection to `address`, until `end`. Streams open at that time end by themselves.
async fn keep_linked(nodes: Nodes, address: SocketAddr, end: CancellationToken) {
    let mut failures = 0;
    while !end.is_cancelled() {
        let ended = tokio::select! {
            () = end.cancelled() => return,
            ended = run_link(&nodes, address) => ended,
        };
        match &ended {
            Ok(()) => failures = 0,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%address, error = format!("{error:#}"), "cannot reach a node, retrying");
                }
                failures += 1;
            }
        }
        tokio::select! {
            () = end.cancelled() => return,
            () = sleep(CONNECT_BACKOFF.jittered(failures, random::bits())) => {}
        }
    }
}

/// Connects to `address` and lists the connection from the node's first answer until it ends.
///
/// # Errors
/// There was no connection, or no answer on it.
async fn run_link(nodes: &Nodes, address: SocketAddr) -> anyhow::Result<()> {
    let (link, mut driver) = Link::connect(address).await?;
    let standing = tokio::select! {
        found = timeout(FIRST_PROBE, probe(&link)) => found.context("no answer")??,
        ended = &mut driver => {
            ended?;
            bail!("closed at once");
        }
    };
    tracing::info!(%address, ?standing, "linked");
    let listed = nodes.add(link, standing);
    tokio::select! {
        ended = &mut driver => if let Err(error) = ended {
            tracing::warn!(%address, %error, "a link to a node broke");
        },
        never = keep_probing(&listed.link, |standing| nodes.set(&listed.link, standing)) => match never {},
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_host_and_a_port() {
        for (authority, parts) in [
            ("api.internal:9090", ("api.internal", 9090)),
            ("10.0.0.1:80", ("10.0.0.1", 80)),
            ("[2001:db8::1]:9090", ("2001:db8::1", 9090)),
        ] {
            assert_eq!(host_and_port(authority), parts);
        }
    }
}
