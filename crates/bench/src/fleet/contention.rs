use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use parlance_client::{Message, Session};
use tokio::time::{Instant, sleep};

use super::effort::Effort;
use super::people::{create, open_deaf, room};
use crate::measure::quantile;
use crate::measure::text;

const NODES: u8 = 16;
/// Messages in flight per writer: more would measure how fast this machine delivers to
/// 16 listeners.
const IN_FLIGHT: usize = 2;

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(NODES).await?;
    let users = create(&cluster, "contention", usize::from(NODES)).await?;
    let room = room(&cluster, "contention", &users).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for (node, user) in users.iter().enumerate() {
        let session = open_deaf(&cluster, user, node).await?;
        for _ in 0..IN_FLIGHT {
            let (session, room, stop) = (session.clone(), room.clone(), stop.clone());
            writers.spawn(async move { write(&session, &room, &stop).await.map(|took| (node, took)) });
        }
    }
    let began = Instant::now();
    sleep(Duration::from_secs(effort.of(20) as u64)).await;
    stop.store(true, Ordering::Relaxed);
    let mut by_node = vec![0; usize::from(NODES)];
    let mut all = Vec::new();
    while let Some(written) = writers.join_next().await {
        let (node, took) = written??;
        by_node[node] += took.len();
        all.extend(took);
    }
    let seconds = began.elapsed().as_secs_f64();
    let races = cluster.metric("parlance_races_lost_total").await?;
    let forwarded = cluster.metric("parlance_sends_forwarded_total").await?;
    all.sort_by(f64::total_cmp);
    by_node.sort_unstable();
    println!("{NODES} nodes writing one room, {IN_FLIGHT} messages of each on their way");
    println!("{:.0} acknowledged a second", all.len() as f64 / seconds);
    println!("races lost {races:.0}, sends forwarded {:.0} %", 100.0 * forwarded / all.len() as f64);
    println!("of a node: fewest {}, most {}", by_node[0], by_node[by_node.len() - 1]);
    println!(
        "ack p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms\n",
        quantile(&all, 0.5),
        quantile(&all, 0.99),
        quantile(&all, 1.0)
    );
    cluster.end().await
}

/// Latency of each message, milliseconds.
async fn write(session: &Session, room: &str, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        session.send_message(Message::to_room(room, text())).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}
