//! Measure 9: connects per second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::effort::{Effort, progress};
use super::load::{Way, open};
use super::raw::{Creator, create_users};
use super::results::{Goal, Results};
use super::series::Series;
use crate::processes;
use parlance_testbed::ServerProcess;

/// The connecting users, and how many connect concurrently.
const USERS: usize = 1_000;
const AT_ONCE: usize = 64;

pub(super) async fn measure(effort: &Effort, results: &mut Results) -> Result<()> {
    let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let ids: Vec<_> = (0..USERS).map(|user| format!("guest:{user}")).collect();
    let tokens: Arc<[String]> = create_users(server.address(), &ids).await?.into();
    Creator::new(server.address()).await?.room("door", &ids).await?;
    for (way, goal) in [(Way::WebSocketJson, Goal::AtLeast(3_000.0)), (Way::Grpc, Goal::Reported)] {
        let [mut rates, mut costs] = [(); 2].map(|()| Series::default());
        for round in 0..effort.rounds {
            progress(&format!("{way} connects"), round, effort.rounds);
            let (rate, cost) = Box::pin(one_round(effort, &server, &tokens, way)).await?;
            rates.push(rate);
            costs.push(cost);
        }
        results.add(9, format!("authenticated connects a second, {way}"), goal, rates);
        results.detail(9, format!("server CPU us for each, {way}"), costs);
    }
    server.stop().await
}

async fn one_round(
    effort: &Effort,
    server: &ServerProcess,
    tokens: &Arc<[String]>,
    way: Way,
) -> Result<(f64, f64)> {
    let (count, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut comers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (count, next, tokens) = (count.clone(), next.clone(), tokens.clone());
        let address = server.address().to_owned();
        comers.spawn(async move {
            loop {
                let user = next.fetch_add(1, Ordering::Relaxed) % tokens.len();
                // Disconnects right after the welcome.
                drop(open(way, (&*address).into(), &tokens[user], None, Arc::default()).await?);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let pid = server.pid()?;
    let (cpu, began) = (processes::cpu(pid)?, Instant::now());
    tokio::select! {
        () = sleep(effort.duration) => {}
        Some(failed) = comers.join_next() => {
            let failed: Result<()> = failed?;
            failed?;
        }
    }
    let (done, elapsed) = (count.load(Ordering::Relaxed) as f64, began.elapsed().as_secs_f64());
    let cpu = processes::cpu(pid)?.saturating_sub(cpu);
    Ok((done / elapsed, cpu.as_secs_f64() * 1e6 / done))
}
