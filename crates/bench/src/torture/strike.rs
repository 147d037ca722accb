//! How each fault is done to a cluster, and undone.

use std::time::Duration;

use anyhow::{Context, Result};
use parlance_faults::dynamodb::{self, ANY};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::Control;
use super::cluster::{Cluster, Shared};
use super::history::At;
use super::schedule::{Fault, SILENCE};
use super::world::World;

/// Writes whose answers may be lost: every one that the store makes.
const WRITES: [&str; 3] = ["PutItem", "TransactWriteItems", "UpdateItem"];

/// What has not met a request by then strikes no more.
const STRIKES_WITHIN: Duration = Duration::from_secs(2);

/// Requests that a slow store delays at most: the rest passes.
const SLOW_REQUESTS: u64 = 2_000;

impl Cluster {
    /// Does `fault`, and undoes it if it is one that lasts. False: it did not apply.
    pub(super) async fn strike(
        &self,
        fault: Fault,
        world: &World,
        clients: &[mpsc::Sender<Control>],
    ) -> Result<bool> {
        let tell = |client: u16, control| clients[usize::from(client)].try_send(control).is_ok();
        match fault {
            Fault::Kill { node, down } => {
                let Ok(mut node) = self.nodes[usize::from(node)].try_lock() else { return Ok(false) };
                node.kill().await?;
                sleep(millis(down)).await;
                node.start_again().await?;
            }
            Fault::KillInSilence { node } => {
                let Ok(mut node) = self.nodes[usize::from(node)].try_lock() else { return Ok(false) };
                node.kill().await?;
                for client in clients {
                    let _ = client.try_send(Control::Silence(millis(SILENCE)));
                }
                sleep(millis(SILENCE)).await;
                node.start_again().await?;
            }
            Fault::Rolling => {
                for node in &self.nodes {
                    let mut node = node.lock().await;
                    node.end().await?;
                    node.start_again().await?;
                }
            }
            Fault::Pause { node, length } => {
                let Ok(node) = self.nodes[usize::from(node)].try_lock() else { return Ok(false) };
                node.signal("STOP").await?;
                sleep(millis(length)).await;
                node.signal("CONT").await?;
            }
            Fault::CutClients { node, share } => {
                self.client_proxies[usize::from(node)][usize::from(share)].cut();
            }
            Fault::Stall { client, length } => return Ok(tell(client, Control::Stall(millis(length)))),
            Fault::HangUp { client } => return Ok(tell(client, Control::HangUp)),
            Fault::Move { client } => return Ok(tell(client, Control::Move)),
            Fault::Fresh { client } => return Ok(tell(client, Control::Fresh)),
            Fault::Stranger { length } => Box::pin(self.visit(world, millis(length))).await?,
            other => {
                let shared = self.shared.as_ref().context("one node shares nothing")?;
                return Box::pin(shared.strike(other)).await;
            }
        }
        Ok(true)
    }
}

impl Shared {
    async fn strike(&self, fault: Fault) -> Result<bool> {
        match fault {
            Fault::RedisFlush => self.redis.lock().await.flushall().await?,
            Fault::RedisRestart { down } => {
                let mut redis = self.redis.lock().await;
                redis.kill().await?;
                sleep(millis(down)).await;
                redis.restart().await?;
            }
            Fault::RedisPause { length } => {
                let redis = self.redis.lock().await;
                redis.pause().await?;
                sleep(millis(length)).await;
                redis.resume().await?;
            }
            Fault::RedisCutNode { node, length } => {
                let proxy = &self.redis_proxies[usize::from(node)];
                proxy.blackhole();
                sleep(millis(length)).await;
                proxy.pass();
            }
            Fault::RedisCutAll { length } => {
                self.redis_proxies.iter().for_each(parlance_faults::TcpProxy::refuse);
                sleep(millis(length)).await;
                self.redis_proxies.iter().for_each(parlance_faults::TcpProxy::pass);
            }
            Fault::RedisSlow { delay, length } => {
                self.redis_proxies.iter().for_each(|proxy| proxy.delay(millis(delay)));
                sleep(millis(length)).await;
                self.redis_proxies.iter().for_each(parlance_faults::TcpProxy::pass);
            }
            Fault::RedisKeysGone { count } => self.redis.lock().await.lose_keys(count).await?,
            Fault::RedisReset { node } => self.redis_proxies[usize::from(node)].cut(),
            other => return Ok(self.strike_store(other).await),
        }
        Ok(true)
    }

    async fn strike_store(&self, fault: Fault) -> bool {
        let plan = self.dynamodb.plan();
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
}

fn millis(length: At) -> Duration {
    Duration::from_millis(length.into())
}
