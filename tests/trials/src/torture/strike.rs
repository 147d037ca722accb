//! Injects each fault into a cluster, and undoes it.

use std::time::Duration;

use anyhow::{Context, Result};
use parlance_faults::dynamodb::{self, ANY};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::Control;
use super::history::At;
use super::schedule::{Fault, SILENCE};
use super::stranger::visit;
use super::world::World;
use parlance_testbed::{Cluster, Shared};

/// Writes whose answers may be lost: all writes of the store.
const WRITES: [&str; 3] = ["PutItem", "TransactWriteItems", "UpdateItem"];

/// Faults that have not met a request by then are removed.
const STRIKES_WITHIN: Duration = Duration::from_secs(2);

/// Maximum number of requests delayed by a slow store: others pass.
const SLOW_REQUESTS: u64 = 2_000;

/// Injects `fault`, and undoes it if it has a duration. False: it did not apply.
pub(super) async fn strike(
    cluster: &Cluster,
    fault: Fault,
    world: &World,
    clients: &[mpsc::Sender<Control>],
) -> Result<bool> {
    let tell = |client: u16, control| clients[usize::from(client)].try_send(control).is_ok();
    match fault {
        Fault::Kill { node, down } => {
            let Ok(mut node) = cluster.nodes[usize::from(node)].try_lock() else { return Ok(false) };
            node.kill().await?;
            sleep(millis(down)).await;
            node.start_again().await?;
        }
        Fault::KillInSilence { node } => {
            let Ok(mut node) = cluster.nodes[usize::from(node)].try_lock() else { return Ok(false) };
            node.kill().await?;
            for client in clients {
                let _ = client.try_send(Control::Silence(millis(SILENCE)));
            }
            sleep(millis(SILENCE)).await;
            node.start_again().await?;
        }
        Fault::Rolling => {
            for node in &cluster.nodes {
                let mut node = node.lock().await;
                node.end().await?;
                node.start_again().await?;
            }
        }
        Fault::Pause { node, length } => {
            let Ok(node) = cluster.nodes[usize::from(node)].try_lock() else { return Ok(false) };
            node.signal("STOP").await?;
            sleep(millis(length)).await;
            node.signal("CONT").await?;
        }
        Fault::CutClients { node, share } => {
            cluster.client_proxies[usize::from(node)][usize::from(share)].cut();
        }
        Fault::Stall { client, length } => return Ok(tell(client, Control::Stall(millis(length)))),
        Fault::HangUp { client } => return Ok(tell(client, Control::HangUp)),
        Fault::Move { client } => return Ok(tell(client, Control::Move)),
        Fault::Fresh { client } => return Ok(tell(client, Control::Fresh)),
        Fault::Stranger { length } => Box::pin(visit(cluster, world, millis(length))).await?,
        other => {
            let shared = cluster.shared.as_ref().context("one node shares nothing")?;
            return Box::pin(strike_shared(shared, other)).await;
        }
    }
    Ok(true)
}

async fn strike_shared(shared: &Shared, fault: Fault) -> Result<bool> {
    match fault {
        Fault::RedisFlush => shared.redis.lock().await.flushall().await?,
        Fault::RedisRestart { down } => {
            let mut redis = shared.redis.lock().await;
            redis.kill().await?;
            sleep(millis(down)).await;
            redis.restart().await?;
        }
        Fault::RedisPause { length } => {
            let redis = shared.redis.lock().await;
            redis.pause().await?;
            sleep(millis(length)).await;
            redis.resume().await?;
        }
        Fault::RedisCutNode { node, length } => {
            let proxy = &shared.redis_proxies[usize::from(node)];
            proxy.blackhole();
            sleep(millis(length)).await;
            proxy.pass();
        }
        Fault::RedisCutAll { length } => {
            shared.redis_proxies.iter().for_each(parlance_faults::TcpProxy::refuse);
            sleep(millis(length)).await;
            shared.redis_proxies.iter().for_each(parlance_faults::TcpProxy::pass);
        }
        Fault::RedisSlow { delay, length } => {
            shared.redis_proxies.iter().for_each(|proxy| proxy.delay(millis(delay)));
            sleep(millis(length)).await;
            shared.redis_proxies.iter().for_each(parlance_faults::TcpProxy::pass);
        }
        Fault::RedisKeysGone { count } => shared.redis.lock().await.lose_keys(count).await?,
        Fault::RedisReset { node } => shared.redis_proxies[usize::from(node)].cut(),
        other => return Ok(strike_store(shared, other).await),
    }
    Ok(true)
}

async fn strike_store(shared: &Shared, fault: Fault) -> bool {
    let plan = shared.dynamodb.plan();
    let mut lasts = STRIKES_WITHIN;
    match fault {
        Fault::StoreThrottle { count } => plan.next(ANY, count.into(), dynamodb::Fault::Throttle),
        Fault::StoreErrors { count } => {
            plan.next(ANY, (count / 2).into(), dynamodb::Fault::ServerError);
            plan.next(ANY, count.div_ceil(2).into(), dynamodb::Fault::Unavailable);
        }
        Fault::StoreLost { count } => {
            for write in WRITES {
                plan.next(write, count.into(), dynamodb::Fault::LoseAnswer);
            }
        }
        Fault::StoreConflicts { count } => plan.next(ANY, count.into(), dynamodb::Fault::Conflict),
        Fault::StoreSlow { delay, length } => {
            plan.next(ANY, SLOW_REQUESTS, dynamodb::Fault::Delay(millis(delay)));
            lasts = millis(length);
        }
        Fault::StoreStall { delay, count } => {
            plan.next(ANY, count.into(), dynamodb::Fault::Delay(millis(delay)));
        }
        _ => return false,
    }
    sleep(lasts).await;
    plan.clear();
    true
}

fn millis(length: At) -> Duration {
    Duration::from_millis(length.into())
}
