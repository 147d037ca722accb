//! Acknowledged sends a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use parlance_client::transport::{Connection, Door};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::raw::{Creator, acknowledged, connect_all, create_users, message};
use super::series::Series;
use super::{Effort, bare, progress, text};
use crate::server_process::ServerProcess;

const SENDERS: [usize; 3] = [1, 16, 256];
const ROOMS: usize = 64;

/// Before counting begins, so that connections and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Where to send to.
struct Target {
    address: String,
    tokens: Vec<String>,
    /// The rooms; sender number n sends to room number n modulo their count.
    rooms: Vec<String>,
}

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let synced = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let unsynced = Box::pin(ServerProcess::start(&effort.server, &["--sync", "off"])).await?;
    let targets = [
        Box::pin(Target::server(synced.address())).await?,
        Box::pin(Target::server(unsynced.address())).await?,
        Target::echo().await?,
    ];
    println!("acknowledged sends a second (gRPC, {} bytes of text)", text().len());
    println!(
        "{:>8}  {:<22} {:<22} {:<22} {:>13} {:>11}",
        "senders", "synced", "--sync off", "bare gRPC echo", "synced/unsynced", "synced/echo"
    );
    for senders in SENDERS {
        let mut series = [(); 3].map(|()| Series::default());
        for round in 0..effort.rounds {
            progress(&format!("{senders} senders"), round, effort.rounds);
            for (target, series) in targets.iter().zip(&mut series) {
                series.push(Box::pin(target.round(senders, effort.duration, round)).await?);
            }
        }
        let [synced, unsynced, echo] = &series;
        println!(
            "{senders:>8}  {synced:<22} {unsynced:<22} {echo:<22} {:>13} {:>11}",
            synced.ratio(unsynced),
            synced.ratio(echo)
        );
    }
    println!();
    synced.stop().await?;
    unsynced.stop().await
}

impl Target {
    async fn server(address: &str) -> Result<Self> {
        let most = SENDERS.into_iter().max().unwrap_or_default();
        let ids: Vec<_> = (0..most).map(|sender| format!("sender:{sender}")).collect();
        let tokens = create_users(address, &ids).await?;
        let creator = Creator::new(address).await?;
        let mut rooms = Vec::with_capacity(ROOMS);
        for room in 0..ROOMS {
            let members: Vec<_> = ids.iter().skip(room).step_by(ROOMS).cloned().collect();
            rooms.push(creator.room(&format!("room-{room}"), &members).await?);
        }
        Ok(Self { address: address.to_owned(), tokens, rooms })
    }

    async fn echo() -> Result<Self> {
        let most = SENDERS.into_iter().max().unwrap_or_default();
        let rooms = (0..ROOMS).map(|room| format!("r{room:032}")).collect();
        Ok(Self { address: bare::echo().await?, tokens: vec!["none".to_owned(); most], rooms })
    }

    /// One round: everyone sends, and again once it is acknowledged.
    async fn round(&self, senders: usize, duration: Duration, round: usize) -> Result<f64> {
        let connections = connect_all(&self.address, Door::Grpc, &self.tokens[..senders]).await?;
        let count = Arc::new(AtomicU64::new(0));
        let mut sending = JoinSet::new();
        for (connection, sender) in connections.into_iter().zip(0..) {
            let room = self.rooms[sender % self.rooms.len()].clone();
            let prefix = format!("{round}-{senders}-");
            sending.spawn(Box::pin(send_forever(connection, room, prefix, Arc::clone(&count))));
        }
        let counting = async {
            sleep(WARM_UP).await;
            let (began, before) = (Instant::now(), count.load(Ordering::Relaxed));
            sleep(duration).await;
            let sent = count.load(Ordering::Relaxed) - before;
            sent as f64 / began.elapsed().as_secs_f64()
        };
        // Senders end only by failing, or by being dropped.
        tokio::select! {
            rate = counting => Ok(rate),
            failed = sending.join_next() => {
                failed.context("nobody sends")??.map(|()| 0.0)
            }
        }
    }
}

async fn send_forever(
    mut connection: Connection,
    room: String,
    prefix: String,
    count: Arc<AtomicU64>,
) -> Result<()> {
    let text = text();
    // The head is unknown until the first answer.
    let mut head = None;
    for number in 0_u64.. {
        let frame = message(&room, &format!("{prefix}{number}"), &text, head);
        connection.send(frame).await?;
        loop {
            let frame = connection.recv().await?.context("the stream ended")?;
            if let Some(seq) = acknowledged(frame)? {
                head = Some(seq);
                break;
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
