use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::effort::Effort;
use super::people::{create, open_deaf, room};
use crate::measure::raw::send_many;
use parlance_testbed::Cluster;

/// Number of connected members in the largest room.
const CONNECTED: usize = 300;

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let cluster = effort.cluster(3).await?;
    let large = effort.of(10_000);
    let users = create(&cluster, "commands", large).await?;
    println!("Redis commands for each message, 3 nodes, one message at a time");
    for members in [2, 50, large] {
        let room = room(&cluster, &format!("of-{members}"), &users[..members]).await?;
        let mut sessions = Vec::new();
        for (index, user) in users[..members.min(CONNECTED)].iter().enumerate() {
            sessions.push(open_deaf(&cluster, user, index % 3).await?);
        }
        send_many(&sessions[0], &room, 20, 1).await?;
        let count = effort.of(500);
        let before = calls(&cluster).await?;
        send_many(&sessions[0], &room, count as u64, 1).await?;
        let after = calls(&cluster).await?;
        let mut each = Vec::new();
        for (command, calls) in &after {
            let share = (calls - before.get(command).unwrap_or(&0)) as f64 / count as f64;
            if share >= 0.01 && command != "info" {
                each.push(format!("{command} {share:.2}"));
            }
        }
        println!("{members:>7} members: {}", each.join(", "));
    }
    println!("(with what heartbeats come to in that time)\n");
    cluster.end().await
}

/// Number of calls so far, by command.
async fn calls(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let shared = cluster.shared.as_ref().context("there is a Redis")?;
    let info = shared.redis.lock().await.command(&["INFO", "commandstats"]).await?;
    let mut calls = BTreeMap::new();
    for line in info.lines() {
        let Some((command, stats)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        let count = stats.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
        calls.insert(command.to_owned(), count.context("a count of calls")?.parse()?);
    }
    Ok(calls)
}
