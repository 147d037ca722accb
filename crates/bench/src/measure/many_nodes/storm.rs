//! Measure 14: a node is killed, and all of its clients reconnect to the others
//! at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use parlance_client::transport::Door;
use parlance_client::{Message, Update, Updates};
use tokio::sync::watch;
use tokio::time::{Instant, interval};

use super::start;
use crate::fleet::people::{create, open_deaf, open_through, room};
use crate::measure::effort::{Effort, text};
use crate::measure::results::{Goal, Results};
use crate::measure::series::Series;
use parlance_testbed::Cluster;

/// Members of a room on the killed node; one more sends from another node.
const ROOM: usize = 50;

/// Messages that they miss, and have to receive.
const MISSED: usize = 3;

const DEADLINE: Duration = Duration::from_secs(120);

/// Clients started, and rooms written, concurrently.
const AT_ONCE: usize = 64;

const STORE_READS: &str = "parlance_feed_store_reads_total";

pub(in crate::measure) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let cluster = start(effort, 3).await?;
    let count = effort.storm;
    eprintln!("{count} clients come to a node");
    let users = create(&cluster, "storm", count).await?;
    let names = create(&cluster, "sender", count.div_ceil(ROOM)).await?;
    let mut rooms = Vec::new();
    let mut senders = Vec::new();
    for (index, members) in users.chunks(ROOM).enumerate() {
        let members = [&names[index..=index], members].concat();
        rooms.push(room(&cluster, &format!("storm-{index}"), &members).await?);
        senders.push(open_deaf(&cluster, &names[index], 1 + index % 2).await?);
    }
    // The events that everyone has to receive in their room.
    let (heads, _) = watch::channel(HashMap::<String, u64>::new());
    let caught_up = Arc::new(AtomicUsize::new(0));
    futures::stream::iter(users.iter().enumerate())
        .map(|(index, user)| {
            let (cluster, room) = (&cluster, rooms[index / ROOM].clone());
            let (heads, caught_up) = (heads.subscribe(), caught_up.clone());
            async move {
                let nodes = [0, 1 + index % 2, 2 - index % 2];
                let (session, updates) = open_through(cluster, Door::WebSocketBinary, user, &nodes).await?;
                tokio::spawn(follow(session, updates, room, heads, caught_up));
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    eprintln!("and it dies");
    let reads = reads(&cluster).await?;
    let died = Instant::now();
    cluster.nodes[0].lock().await.kill().await?;
    let expected = futures::stream::iter(senders.iter().zip(&rooms))
        .map(|(session, room)| async move {
            let mut seq = 0;
            for _ in 0..MISSED {
                seq = session.send_message(Message::to_room(room, text())).await?.seq;
            }
            anyhow::Ok((room.clone(), seq))
        })
        .buffer_unordered(AT_ONCE);
    heads.send_replace(expected.try_collect().await?);
    eprintln!("what they missed was sent after {:.1} s", died.elapsed().as_secs_f64());
    let mut look = interval(Duration::from_millis(10));
    while caught_up.load(Ordering::Relaxed) < count {
        look.tick().await;
        if died.elapsed() > DEADLINE {
            bail!("{} of {count} caught up", caught_up.load(Ordering::Relaxed));
        }
    }
    let seconds = died.elapsed().as_secs_f64();
    let each = (self::reads(&cluster).await? - reads) / rooms.len() as f64;
    let measure = format!("s until {count} clients of a node that died are caught up on two others");
    results.add(14, measure, Goal::AtMost(15.0), Series::from_iter([seconds]));
    // One for each range and node: clients of a room are on both.
    let measure = format!("reads of the store for each room of {ROOM} that they come back to");
    results.add(14, measure, Goal::AtMost(2.0), Series::from_iter([each]));
    drop(senders);
    // A cluster must be complete when it is stopped.
    cluster.nodes[0].lock().await.start_again().await?;
    cluster.end().await
}

/// Reads on the surviving nodes.
async fn reads(cluster: &Cluster) -> Result<f64> {
    let mut sum = 0.0;
    for node in &cluster.nodes[1..] {
        sum += node.lock().await.metric(STORE_READS).await?;
    }
    Ok(sum)
}

/// Counts a client once it has received everything.
async fn follow(
    _session: parlance_client::Session,
    mut updates: Updates,
    room: String,
    mut heads: watch::Receiver<HashMap<String, u64>>,
    caught_up: Arc<AtomicUsize>,
) -> Result<()> {
    let mut seen = 0;
    let mut counted = false;
    loop {
        let wanted = heads.borrow_and_update().get(&room).copied();
        if !counted && wanted.is_some_and(|wanted| seen >= wanted) {
            counted = true;
            caught_up.fetch_add(1, Ordering::Relaxed);
        }
        tokio::select! {
            update = updates.recv() => match update.context("a session ended")? {
                Update::Event(event) if event.room_id == room => seen = event.seq,
                Update::Stopped(error) => return Err(error.into()),
                _ => {}
            },
            changed = heads.changed() => changed?,
        }
    }
}
