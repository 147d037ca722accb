use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parlance_client::{Message, Update};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval};

use super::Effort;
use super::people::{create, open, open_deaf, room};
use crate::measure::text;

/// Members of a room that are on the node that dies; one more sends from another.
const ROOM: usize = 50;
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(3).await?;
    let count = effort.of(5_000);
    let users = create(&cluster, "failover", count).await?;
    let senders = create(&cluster, "sender", count.div_ceil(ROOM)).await?;
    let mut rooms = Vec::new();
    for (index, members) in users.chunks(ROOM).enumerate() {
        let mut members = members.to_vec();
        members.insert(0, senders[index].clone());
        rooms.push(room(&cluster, &format!("failover-{index}"), &members).await?);
    }
    // What everyone has to have seen of their room.
    let (heads, _) = watch::channel(HashMap::<String, u64>::new());
    let caught_up = Arc::new(AtomicUsize::new(0));
    for (index, user) in users.iter().enumerate() {
        let (session, updates) = open(&cluster, user, &[0, 1 + index % 2, 2 - index % 2]).await?;
        let room = rooms[index / ROOM].clone();
        tokio::spawn(follow(session, updates, room, heads.subscribe(), caught_up.clone()));
    }
    let mut sending = Vec::new();
    for (index, sender) in senders.iter().enumerate() {
        sending.push((open_deaf(&cluster, sender, 1 + index % 2).await?, rooms[index].clone()));
    }
    println!("{count} clients on one of three nodes, rooms of {}: kill -9", ROOM + 1);
    let died = Instant::now();
    cluster.nodes[0].lock().await.kill().await?;
    // They miss these, and have to see them.
    let mut expected = HashMap::new();
    for _ in 0..3 {
        for (session, room) in &sending {
            let sent = session.send_message(Message::to_room(room, text())).await?;
            expected.insert(room.clone(), sent.seq);
        }
    }
    heads.send_replace(expected);
    let mut look = interval(Duration::from_millis(10));
    while caught_up.load(Ordering::Relaxed) < count {
        look.tick().await;
        if died.elapsed() > DEADLINE {
            bail!("{} of {count} caught up", caught_up.load(Ordering::Relaxed));
        }
    }
    println!("all caught up on the others after {:.1} s\n", died.elapsed().as_secs_f64());
    // The rest of the cluster goes by its process ids.
    drop(sending);
    cluster.nodes[0].lock().await.start_again().await?;
    cluster.end().await
}

/// Counts a client once it has seen what it had to.
async fn follow(
    _session: parlance_client::Session,
    mut updates: mpsc::Receiver<Update>,
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
