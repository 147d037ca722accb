use std::convert::Infallible;
use std::hash::Hash;
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use fred::interfaces::FredResult;
use fred::types::Value;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use parlance_core::{RoomId, UserId};

use super::Shared;
use super::holders::{Answer, Holders, Wanted};
use super::link::Link;
use super::script::{Script, strings};
use crate::redis::limits::{LOOKUP_BATCH, REFRESH_BATCH, WRITE_BATCH, WRITES_UNDER_WAY};

type Written<K> = (Vec<Wanted<K>>, FredResult<Vec<Answer>>);

/// Sends all pending changes.
pub(super) async fn write_all<K, W>(
    counts: &Holders<K>,
    write: impl Fn(Vec<Wanted<K>>) -> W,
) -> FredResult<()>
where
    K: Clone + Eq + Hash,
    W: Future<Output = Written<K>>,
{
    let mut under_way = FuturesUnordered::new();
    loop {
        fill(counts, &write, &mut under_way);
        let Some((batch, outcome)) = under_way.next().await else { return Ok(()) };
        counts.settle(batch, &outcome?);
    }
}

/// Sends pending changes continuously. Failures are retried: heartbeats detect whether the link is still good.
pub(super) async fn write_continuously<K, W>(
    counts: &Holders<K>,
    write: impl Fn(Vec<Wanted<K>>) -> W,
    pause: Duration,
    missed: impl Fn(),
) -> Infallible
where
    K: Clone + Eq + Hash,
    W: Future<Output = Written<K>>,
{
    let mut under_way = FuturesUnordered::new();
    loop {
        fill(counts, &write, &mut under_way);
        tokio::select! {
            Some((batch, outcome)) = under_way.next() => match outcome {
                Ok(answers) => {
                    if counts.settle(batch, &answers) {
                        missed();
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot update redis, retrying");
                    counts.failed(batch);
                    tokio::time::sleep(pause).await;
                }
            },
            () = counts.pending(), if under_way.len() < WRITES_UNDER_WAY => {}
        }
    }
}

/// Registers everything again, batch by batch, one round per `period`: single keys of Redis may be evicted or deleted
/// while everything else works.
pub(super) async fn refresh<K: Clone + Eq + Hash>(counts: &Holders<K>, period: Duration) -> Infallible {
    loop {
        let keys = counts.confirmed();
        let batches = keys.len().div_ceil(REFRESH_BATCH).max(1);
        let pause = period / u32::try_from(batches).unwrap_or(u32::MAX);
        for batch in keys.chunks(REFRESH_BATCH) {
            tokio::time::sleep(pause).await;
            counts.refresh(batch);
        }
        if keys.is_empty() {
            tokio::time::sleep(period).await;
        }
    }
}

fn fill<K, W>(counts: &Holders<K>, write: &impl Fn(Vec<Wanted<K>>) -> W, under_way: &mut FuturesUnordered<W>)
where
    K: Clone + Eq + Hash,
    W: Future<Output = Written<K>>,
{
    while under_way.len() < WRITES_UNDER_WAY {
        let batch = counts.next_batch(WRITE_BATCH);
        if batch.is_empty() {
            return;
        }
        under_way.push(write(batch));
    }
}

impl Shared {
    /// Adds this node's lease to held users, and removes it from others. Returns whether they are on other nodes.
    pub(super) async fn write_users(&self, link: &Link, batch: Vec<Wanted<UserId>>) -> Written<UserId> {
        let outcome = async {
            let lease = self.lease();
            let common = [Value::from(lease), Value::from(self.node.as_str())];
            let user =
                |at: usize| [if batch[at].1 { "1" } else { "0" }.into(), Value::from(batch[at].0.as_str())];
            let others =
                self.on_each(link, &self.scripts.change, &common, batch.len(), |at| &batch[at].0, user);
            let answers = others.await?;
            let others: Vec<String> =
                answers.iter().map(|answer| answer.strip_prefix('+').unwrap_or(answer).to_owned()).collect();
            let alive = self.any_alive(link, &others).await?;
            let answers = answers.iter().map(|answer| answer.starts_with('+'));
            Ok(answers.zip(alive).map(|(found, others)| Answer { others, found }).collect())
        };
        let outcome = outcome.await;
        (batch, outcome)
    }

    /// Subscribes to followed rooms, and unsubscribes from others.
    pub(super) async fn write_rooms(&self, link: &Link, batch: Vec<Wanted<RoomId>>) -> Written<RoomId> {
        let channels = |wanted| {
            let rooms = batch.iter().filter(move |(_, followed)| *followed == wanted);
            rooms.map(|(room, _)| self.keys.room_channel(room)).collect()
        };
        let outcome = link.listen(channels(true), channels(false)).await;
        let outcome = outcome.map(|()| vec![Answer { others: false, found: true }; batch.len()]);
        (batch, outcome)
    }

    /// The leases of the nodes of each of `users`, in the same order.
    pub(super) async fn lookup(&self, link: &Link, users: &[UserId]) -> FredResult<Vec<String>> {
        let mut leases = Vec::with_capacity(users.len());
        // One chunk after the other: heartbeats share the connection, and have to get through.
        for users in users.chunks(LOOKUP_BATCH) {
            let user = |at: usize| [Value::from(users[at].as_str())];
            let some = self.on_each(link, &self.scripts.lookup, &[], users.len(), |at| &users[at], user);
            leases.append(&mut some.await?);
        }
        Ok(leases)
    }

    /// Runs `script` on some users, once in each shard, and returns its answer for each.
    async fn on_each<'a, const N: usize>(
        &self,
        link: &Link,
        script: &Script,
        common: &[Value],
        users: usize,
        user: impl Fn(usize) -> &'a UserId,
        args: impl Fn(usize) -> [Value; N],
    ) -> FredResult<Vec<String>> {
        struct Shard {
            places: Vec<usize>,
            keys: Vec<String>,
            args: Vec<Value>,
        }
        let mut shards: Vec<Option<Shard>> = Vec::new();
        shards.resize_with(self.keys.shards(), || None);
        for at in 0..users {
            let (shard, key) = self.keys.user(user(at));
            let shard = shards[shard].get_or_insert_with(|| Shard {
                places: Vec::new(),
                keys: Vec::new(),
                args: common.to_vec(),
            });
            shard.places.push(at);
            shard.keys.push(key);
            shard.args.extend(args(at));
        }
        let runs = shards.into_iter().flatten().map(|shard| async move {
            let answers = strings(link.run(script, shard.keys, shard.args).await?);
            if answers.len() != shard.places.len() {
                return Err(Error::new(ErrorKind::Protocol, "an answer is missing"));
            }
            Ok(shard.places.into_iter().zip(answers))
        });
        let mut answers = vec![String::new(); users];
        for run in join_all(runs).await {
            for (at, answer) in run? {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }
}
