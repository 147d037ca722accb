use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use parlance_client::{Message, Session, Update, Updates};
use parlance_proto::v1::event::Body;
use tokio::time::{Instant, sleep};

use super::effort::Effort;
use super::people::{create, open};
use crate::measure::text;

/// Latency up to which a delivery counts as prompt.
const PROMPT: Duration = Duration::from_millis(500);
/// How long messages are sent after the wipe.
const WATCH: Duration = Duration::from_secs(12);
/// Messages in flight.
const IN_FLIGHT: usize = 16;

/// When each message was sent, and when it arrived.
type Times = Arc<Mutex<HashMap<String, (Instant, Option<Instant>)>>>;

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(3).await?;
    let rooms = effort.of(10_000);
    // Enough users for a room per pair.
    let people = (1..).find(|people| people * (people - 1) / 2 >= rooms).context("enough people")?;
    let users = create(&cluster, "flush", people).await?;
    let times = Times::default();
    let mut sessions = Vec::new();
    for (index, user) in users.iter().enumerate() {
        let (session, updates) = open(&cluster, user, &[index % 3]).await?;
        tokio::spawn(note(user.clone(), updates, times.clone()));
        sessions.push(session);
    }
    let pairs: Vec<_> = (0..people).flat_map(|a| (0..a).map(move |b| (a, b))).take(rooms).collect();
    let all = futures::stream::iter(&pairs).map(|(a, b)| send(&sessions[*a], &users[*b], &times));
    all.buffer_unordered(IN_FLIGHT).try_for_each(|()| std::future::ready(Ok(()))).await?;

    println!("{rooms} active rooms of two on three nodes: FLUSHALL");
    let shared = cluster.shared.as_ref().context("there is a Redis")?;
    let flushed = Instant::now();
    shared.redis.lock().await.flushall().await?;
    let mut turn = pairs.iter().cycle().skip(rooms / 3);
    let mut sending = futures::stream::FuturesUnordered::new();
    while flushed.elapsed() < WATCH {
        let (a, b) = turn.next().context("there are rooms")?;
        sending.push(send(&sessions[*a], &users[*b], &times));
        if sending.len() >= IN_FLIGHT {
            sending.try_next().await?;
        }
    }
    while sending.try_next().await?.is_some() {}
    drop(sending);
    sleep(Duration::from_secs(3)).await;
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    let after = times.values().filter(|(sent, _)| *sent >= flushed);
    let (mut sent_after, mut missing, mut late) = (0, 0, 0);
    let (mut last_late, mut last_came, mut worst) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (sent, came) in after {
        sent_after += 1;
        let Some(came) = came else {
            missing += 1;
            continue;
        };
        let took = *came - *sent;
        worst = worst.max(took.as_secs_f64());
        if took > PROMPT {
            late += 1;
            last_late = last_late.max((*sent - flushed).as_secs_f64());
            last_came = last_came.max((*came - flushed).as_secs_f64());
        }
    }
    println!("{sent_after} messages sent in the {} s after it; {missing} missing", WATCH.as_secs());
    println!("{late} took more than {} ms, the longest {worst:.2} s", PROMPT.as_millis());
    println!("whatever was sent {last_late:.2} s after the wipe or later was prompt");
    println!("the last of those before that had come {last_came:.2} s after the wipe\n");
    drop(sessions);
    cluster.end().await
}

async fn send(session: &Session, to: &str, times: &Times) -> Result<()> {
    let id = format!("{:x}", next_id());
    let sent = Instant::now();
    times.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (sent, None));
    session.send_message(Message::to_user(to, text()).with_id(id)).await?;
    Ok(())
}

/// A unique number.
fn next_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Records when messages of others arrive at `user`.
async fn note(user: String, mut updates: Updates, times: Times) {
    while let Some(update) = updates.recv().await {
        if let Update::Event(event) = update
            && event.actor_id != user
            && matches!(event.body, Some(Body::Message(_)))
            && let Some((_, came)) =
                times.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&event.request_id)
        {
            came.get_or_insert_with(Instant::now);
        }
    }
}
