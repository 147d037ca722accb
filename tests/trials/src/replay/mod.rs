//! `parlance-trials replay`: recorded conversations through a real server, every message
//! accounted for.

mod escape;
mod log;
mod model;
mod plan;
mod progress;
mod readback;
mod report;
mod room;
mod run;
mod stream;
mod unsendable;
mod users;
mod verifier;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parlance_core::{Clock as _, SystemClock};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use self::plan::Options;
use self::progress::Progress;
use self::report::Report;
use self::room::Played;
use self::run::{Run, lock};
use self::verifier::Tally;
use parlance_testbed::{ServerProcess, server_program};

/// How long there may be no deliveries before missing messages count as lost.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Replays a folder of IRC logs and verifies every message.
///
/// Every nick logs in as a user, half over gRPC, half over WebSocket (alternating JSON
/// and binary). Each *.log becomes a room; its members join, speak and leave as logged,
/// each line after the previous one was acknowledged, all rooms concurrently. Every
/// session checks its stream; at the end each room's history and each user's inbox are
/// read back. Lines: `[HH:MM] <nick> text`, `[HH:MM] * nick action`, `=== nick [host]
/// has joined #channel` (left, quit), `=== old is now known as new`.
///
/// Exits with 0 only if every valid message was acknowledged, nothing was lost,
/// duplicated or out of order, and all unread counts are right.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with the logs, *.log.
    dir: PathBuf,
    /// The server to start, on free ports, with fresh data. Default: `parlance` next to
    /// this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Use a running server, in local mode and without rate limits, instead of starting
    /// one.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["server_bin", "kill"])]
    endpoint: Option<String>,
    /// Kill the server (SIGKILL) once half of the messages are acknowledged, and restart
    /// it on the same ports and data.
    #[arg(long)]
    kill: bool,
    /// Replay at most this many logs, sorted by name.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    rooms: usize,
    /// Users who are in every room from the start and only listen.
    #[arg(long, value_name = "N", default_value_t = 2)]
    listeners: usize,
    /// Seed for the choice of read marks.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the replay; returns whether all checks passed.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let logs = plan::logs(&args.dir)?;
    let (mut server, address, run_id) = match &args.endpoint {
        Some(address) => (None, address.clone(), unique_run_id()),
        None => {
            let program = server_program(args.server_bin)?;
            let server = Box::pin(ServerProcess::start(&program, &[])).await?;
            let address = server.address().to_owned();
            (Some(server), address, "replay".to_owned())
        }
    };
    let limits = Box::pin(users::limits(&address, &run_id)).await?;
    let plan = plan::plan(
        &logs,
        Options {
            rooms: args.rooms,
            listeners: args.listeners,
            seed: args.seed,
            max_text_bytes: limits.max_text_bytes as usize,
            run: &run_id,
        },
    )?;
    let run = Arc::new(Run::new(plan));
    let report = Box::pin(replay(&run, &address, server.as_mut(), args.kill)).await;
    let mut report = match (report, server) {
        (Ok(report), Some(server)) => {
            let stopped = server.stop().await;
            if let Err(error) = stopped {
                run.problem(format!("{error:#}"));
            }
            report
        }
        (Ok(report), None) => report,
        (Err(error), Some(server)) => return Err(error.context(server.last_words())),
        (Err(error), None) => return Err(error),
    };
    (report.problems, report.problem_count) = run.problems();
    report.print(&run.plan);
    if let Some(path) = args.json {
        let json = serde_json::to_vec_pretty(&report.to_json(&run.plan))?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report.is_clean(&run.plan))
}

async fn replay(
    run: &Arc<Run>,
    address: &str,
    server: Option<&mut ServerProcess>,
    kill: bool,
) -> Result<Report> {
    log_in(run, address).await?;
    run.rooms_created(room::create_rooms(run).await?);

    let began = Instant::now();
    let (played, restarts) = Box::pin(play(run, server, kill)).await?;
    let elapsed = began.elapsed();
    Box::pin(settle(run)).await?;

    let mut streams = Tally::default();
    for user in 0..run.plan.users.len() {
        streams += lock(&run.user(user).streams).tally();
    }
    let history = Box::pin(readback::histories(run, &played)).await?;
    let unread_wrong = Box::pin(readback::inboxes(run, &played)).await?;
    let unread_wrong = unread_wrong + played.iter().map(|played| played.unread_wrong).sum::<u64>();
    Ok(Report {
        sent: run.sent.load(Ordering::Relaxed),
        acknowledged: run.acknowledged.load(Ordering::Relaxed),
        streams,
        history,
        unread_wrong,
        latencies: run.latencies(),
        elapsed,
        restarts,
        reconnects: run.reconnects.load(Ordering::Relaxed),
        problems: Vec::new(),
        problem_count: 0,
    })
}

async fn log_in(run: &Arc<Run>, address: &str) -> Result<()> {
    let logged_in = Arc::new(AtomicU64::new(0));
    let done = Arc::clone(&logged_in);
    let total = run.plan.users.len() as u64;
    let progress = Progress::start("logging in", total, move || done.load(Ordering::Relaxed));
    let on_login = || {
        logged_in.fetch_add(1, Ordering::Relaxed);
    };
    let result = Box::pin(users::log_in(run, address, on_login)).await;
    progress.finish().await;
    result
}

/// Plays all rooms concurrently, and kills the server once in between if requested.
async fn play(
    run: &Arc<Run>,
    mut server: Option<&mut ServerProcess>,
    kill: bool,
) -> Result<(Vec<Played>, u64)> {
    let shared = Arc::clone(run);
    let acknowledged = move || shared.acknowledged.load(Ordering::Relaxed);
    let progress = Progress::start("acknowledged", run.plan.messages(), acknowledged);
    let mut rooms = JoinSet::new();
    for room in 0..run.plan.rooms.len() {
        let run = Arc::clone(run);
        rooms.spawn(async move { (room, Box::pin(room::play(&run, room)).await) });
    }
    let mut played: Vec<_> = run.plan.rooms.iter().map(|_| Played::default()).collect();
    let mut restarts = 0;
    loop {
        tokio::select! {
            biased;
            () = run.half_way.notified(), if kill && restarts == 0 => {
                if let Some(server) = server.as_deref_mut() {
                    Box::pin(server.kill_and_restart()).await?;
                    restarts += 1;
                }
            }
            room = rooms.join_next() => match room {
                Some(room) => {
                    let (room, result) = room.context("a room's task failed")?;
                    played[room] = result;
                }
                None => break,
            },
        }
    }
    progress.finish().await;
    ensure!(!kill || restarts > 0 || run.plan.messages() == 0, "the server was never killed");
    Ok((played, restarts))
}

/// Waits until everything has reached everyone, or nothing more arrives.
async fn settle(run: &Arc<Run>) -> Result<()> {
    let users = 0..run.plan.users.len();
    let total: u64 = users.clone().map(|user| lock(&run.user(user).streams).total()).sum();
    let shared = Arc::clone(run);
    let progress = Progress::start("delivered", total, move || shared.delivered.load(Ordering::Relaxed));
    let (mut last, mut since) = (0, Instant::now());
    let mut look = interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let delivered = run.delivered.load(Ordering::Relaxed);
        if delivered >= total {
            break;
        }
        if delivered > last {
            (last, since) = (delivered, Instant::now());
        }
        if since.elapsed() > SETTLE {
            break;
        }
        for user in users.clone() {
            if !lock(&run.user(user).streams).gaps.is_empty() {
                Box::pin(stream::page_gaps(run, user)).await?;
            }
        }
    }
    progress.finish().await;
    Ok(())
}

/// Distinguishes this run from others on the same server.
fn unique_run_id() -> String {
    format!("replay-{:x}-{:x}", SystemClock.now().0, std::process::id())
}
