use std::convert::Infallible;
use tokio::time::Instant;

use fred::interfaces::FredResult;
use fred::types::Value;
use parlance_core::UserId;

use super::Shared;
use super::link::Link;
use crate::Notice;
use crate::redis::limits::{BUCKETS_AT_ONCE, SWEEP_PATIENCE_MS, SWEEP_REST};

impl Shared {
    /// Cleans up after nodes that are gone, unless another node does.
    pub(super) async fn sweep(&self, link: &Link) -> Infallible {
        let mut ended = self.ended.subscribe();
        loop {
            let leases = ended.borrow_and_update().clone();
            if let Err(error) = self.sweep_after(link, leases).await {
                tracing::debug!(%error, "cleanup after a node was interrupted");
            }
            // A node that has started may die: check again after a while, and when there is more.
            let a_while = tokio::time::sleep(self.options.lease);
            tokio::select! {
                _ = ended.changed() => {}
                () = a_while, if !ended.borrow().is_empty() => {}
            }
        }
    }

    async fn sweep_after(&self, link: &Link, leases: Vec<String>) -> FredResult<()> {
        let mut mine = Vec::new();
        for lease in leases {
            if self.claim(link, &lease, "NX").await? {
                mine.push(lease);
            }
        }
        if mine.is_empty() {
            return Ok(());
        }
        let (started, mut claimed, mut swept) = (Instant::now(), Instant::now(), 0);
        for shard in 0..self.keys.shards() {
            let buckets: Vec<String> = self.keys.buckets_of(shard).collect();
            for some in buckets.chunks(BUCKETS_AT_ONCE) {
                let ended = mine.iter().map(|lease| Value::from(lease.as_str())).collect();
                let answer = link.run(&self.scripts.sweep, some.to_vec(), ended).await?;
                let mut answer = answer.into_array().into_iter();
                swept += answer.next().and_then(|swept| swept.as_i64()).unwrap_or(0);
                self.report_gone(answer);
                tokio::time::sleep(SWEEP_REST).await;
                if claimed.elapsed().as_millis() as i64 > SWEEP_PATIENCE_MS / 4 {
                    claimed = Instant::now();
                    for lease in &mine {
                        self.claim(link, lease, "XX").await?;
                    }
                }
            }
        }
        let nodes = self.keys.nodes();
        let gone = [nodes.as_str()].into_iter().chain(mine.iter().map(String::as_str));
        link.ask("ZREM", &nodes, gone.map(Value::from).collect()).await?;
        tracing::info!(leases = ?mine, users = swept, took = ?started.elapsed(), "cleaned up after dead nodes");
        Ok(())
    }

    fn report_gone(&self, users: impl Iterator<Item = Value>) {
        let parse = |user: Value| UserId::parse(&user.into_string()?).ok();
        let gone: Vec<UserId> = users.filter_map(parse).collect();
        if !gone.is_empty() {
            self.notices.send(Notice::UsersGone(gone));
        }
    }

    /// Claims the cleanup after `lease`: if no other node has (`NX`), or again (`XX`).
    async fn claim(&self, link: &Link, lease: &str, when: &'static str) -> FredResult<bool> {
        let key = self.keys.sweep(lease);
        let args = [
            Value::from(key.as_str()),
            self.node.as_str().into(),
            when.into(),
            "PX".into(),
            SWEEP_PATIENCE_MS.into(),
        ];
        Ok(!link.ask("SET", &key, args.to_vec()).await?.is_null())
    }
}
