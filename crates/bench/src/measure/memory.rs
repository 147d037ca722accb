//! Resident memory of the server for each idle connection.

use std::time::Duration;

use anyhow::Result;
use parlance_client::transport::Door;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::raw::{Creator, connect_all, create_users};
use super::series::Series;
use super::{Effort, progress};
use crate::server_process::ServerProcess;

/// Resident memory is settled when it moves less than this share of itself between two
/// looks, or at the deadline.
const SETTLED: f64 = 0.002;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let mut results = [Door::Grpc, Door::WebSocketJson].map(|door| (door, Series::default()));
    for round in 0..effort.rounds {
        progress("memory", round, effort.rounds);
        for (door, series) in &mut results {
            series.push(Box::pin(one_round(effort, *door)).await?);
        }
    }
    println!("resident memory for each idle connection ({} connections), bytes", effort.idle_connections);
    for (door, series) in &results {
        // `Display` of a door does not pad.
        println!("{:<20} {series}", door.to_string());
    }
    println!();
    Ok(())
}

/// A server of its own each time: what one round frees, the next would use again.
async fn one_round(effort: &Effort, door: Door) -> Result<f64> {
    let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let ids: Vec<_> = (0..effort.idle_connections).map(|user| format!("idle:{user}")).collect();
    let tokens = create_users(server.address(), &ids).await?;
    Creator::new(server.address()).await?.room("idle", &ids).await?;

    let before = settled(&server).await?;
    let mut idle = JoinSet::new();
    for mut connection in connect_all(server.address(), door, &tokens).await? {
        // Reads, so that pings are answered.
        idle.spawn(async move { while let Ok(Some(_)) = connection.recv().await {} });
    }
    let after = settled(&server).await?;
    drop(idle);
    server.stop().await?;
    Ok(after.saturating_sub(before) as f64 / effort.idle_connections as f64)
}

/// Resident memory once it stands still.
async fn settled(server: &ServerProcess) -> Result<u64> {
    let deadline = Instant::now() + DEADLINE;
    let mut look = interval(LOOK_EVERY);
    look.reset();
    let mut last = server.resident_bytes()?;
    loop {
        look.tick().await;
        let now = server.resident_bytes()?;
        if now.abs_diff(last) as f64 <= SETTLED * now as f64 || Instant::now() > deadline {
            return Ok(now);
        }
        last = now;
    }
}
