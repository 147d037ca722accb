//! Users, rooms and sessions on the nodes of a cluster.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Session, Update, Updates};

use crate::measure::raw::Creator;
use parlance_testbed::{Cluster, Unary, token};

/// Concurrent setup operations.
const AT_ONCE: usize = 32;

/// Creates users `name:0`, `name:1`, ...
pub(crate) async fn create(cluster: &Cluster, name: &str, count: usize) -> Result<Vec<String>> {
    let unary = Unary::connect(cluster.address(0)).await?;
    let users: Vec<String> = (0..count).map(|user| format!("{name}:{user}")).collect();
    futures::stream::iter(&users)
        .map(|user| {
            let unary = &unary;
            async move { unary.create_user(&token(user)?, user).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(users)
}

/// Creates a channel owned by the first of `members`.
pub(crate) async fn room(cluster: &Cluster, name: &str, members: &[String]) -> Result<String> {
    let owner = members.first().context("a room has members")?;
    let (session, _) = open(cluster, owner, &[0]).await?;
    Creator(session).room(name, &members[1..]).await
}

/// Opens a gRPC session of `user` on the first of `nodes`, with the others as
/// alternatives.
pub(crate) async fn open(cluster: &Cluster, user: &str, nodes: &[usize]) -> Result<(Session, Updates)> {
    open_through(cluster, Door::Grpc, user, nodes).await
}

/// Like [`open`], over any transport.
pub(crate) async fn open_through(
    cluster: &Cluster,
    door: Door,
    user: &str,
    nodes: &[usize],
) -> Result<(Session, Updates)> {
    let dialers = nodes.iter().map(|node| Dialer::new(door, cluster.address(*node))).collect();
    let config = Config {
        dialers,
        max_in_flight: 64,
        update_queue: 4_096,
        ..Config::new(Dialer::new(door, cluster.address(nodes[0])), token(user)?)
    };
    let (session, mut updates) = Session::start(config);
    loop {
        match updates.recv().await.context("a session ended before it was open")? {
            Update::Connected(_) => return Ok((session, updates)),
            Update::Stopped(error) => return Err(error.into()),
            _ => {}
        }
    }
}

/// Like [`open`], for callers that need no updates.
pub(crate) async fn open_deaf(cluster: &Cluster, user: &str, node: usize) -> Result<Session> {
    let (session, mut updates) = open(cluster, user, &[node]).await?;
    tokio::spawn(async move { while updates.recv().await.is_some() {} });
    Ok(session)
}
