//! `parlance-trials torture`: a cluster of real nodes on a real Redis and a DynamoDB API, clients
//! over every transport, faults on a seeded schedule, and a checker of the whole history.

mod account;
mod check;
mod client;
mod history;
mod profile;
mod readback;
mod report;
mod run;
mod schedule;
mod script;
mod sinks;
mod stranger;
mod strike;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parlance_planted::Plant;
use parlance_testbed::{Cluster, Options, server_program};

use self::profile::Profile;
use self::report::Report;
use self::run::Plan;
use self::schedule::Class;
use self::sinks::Sinks;

/// Messages a second of which events leave, as far as the DynamoDB API on this machine keeps up.
const EVENTS_RATE: u64 = if cfg!(debug_assertions) { 30 } else { 300 };

/// Tortures a cluster and checks every promise.
///
/// Starts Redis, a DynamoDB API with a fault-injecting proxy, and the nodes; clients send, change,
/// read, join and leave over gRPC and WebSocket while faults are injected according to the seed; then
/// heals everything, reads everything back and checks it.
///
/// Exits with 0 only if every promise held. The same seed gives the same operations and faults, as
/// shown by the printed hash.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The random seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long faults are injected, in seconds. Default: what the workload needs.
    #[arg(long, value_name = "S")]
    duration: Option<u64>,
    /// Number of nodes.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: u8,
    /// Number of clients, each a user with one connection.
    #[arg(long, value_name = "C")]
    clients: Option<u16>,
    /// Number of rooms.
    #[arg(long, value_name = "R")]
    rooms: Option<u16>,
    /// Messages per second, as far as the nodes keep up.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Plants a known bug in the nodes (builds without --release only) and uses a workload that
    /// reveals it: promises must be broken then, and the exit code is not 0.
    #[arg(long, value_name = "NAME", value_parser = plant_named)]
    plant: Option<Plant>,
    /// Uses the workload that would reveal this bug, without the bug.
    #[arg(long, value_name = "NAME", value_parser = plant_named, conflicts_with = "plant")]
    like: Option<Plant>,
    /// Plants each known bug in turn; exits with 0 only if every one was found.
    #[arg(long, conflicts_with_all = ["plant", "like", "embedded"])]
    planted: bool,
    /// One node with its embedded store, and the faults that apply to it.
    #[arg(long)]
    embedded: bool,
    /// Clients disconnect early, Redis is slow and claimed by another fleet; at the end nodes must
    /// hold no more than one that never had a client.
    #[arg(long)]
    wide: bool,
    /// Events leave to a webhook and a topic, which fail as well: every event has to reach both, in order. On a cluster
    /// the DynamoDB API has several times as much to do, and a busy machine is too slow for prompt delivery.
    #[arg(long)]
    events: bool,
    /// The server to start. Default: `parlance` beside this program.
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
}

/// Runs the torture; returns whether every promise held.
pub(crate) async fn run(args: Args) -> Result<bool> {
    if args.planted {
        return Box::pin(find_all(&args)).await;
    }
    Box::pin(torture(&args, args.plant)).await
}

/// Plants one bug after the other; returns whether each was found.
async fn find_all(args: &Args) -> Result<bool> {
    let mut missed = Vec::new();
    let of_events = Args { events: true, embedded: true, ..args.clone() };
    let of_nodes = Plant::REAL.into_iter().map(|plant| (plant, args));
    for (plant, args) in of_nodes.chain(Plant::REAL_EVENTS.into_iter().map(|plant| (plant, &of_events))) {
        println!("\n=== planted: {}", plant.name());
        if Box::pin(torture(args, Some(plant))).await? {
            missed.push(plant.name());
        }
    }
    match missed.as_slice() {
        [] => println!("\nevery planted bug was found"),
        missed => println!("\nnot found: {}", missed.join(", ")),
    }
    Ok(missed.is_empty())
}

async fn torture(args: &Args, plant: Option<Plant>) -> Result<bool> {
    let program = match plant {
        Some(_) => std::env::current_exe()?.with_file_name("parlance-planted"),
        None => server_program(args.server_bin.clone())?,
    };
    ensure!(program.is_file(), "no server at {}: build the workspace", program.display());
    let aim = plant.or(args.like);
    let is_everything = aim.is_none();
    let mut profile = aim.map_or_else(Profile::everything, Profile::aimed_at);
    profile.size.clients = args.clients.unwrap_or(profile.size.clients).max(2);
    profile.size.rooms = args.rooms.unwrap_or(profile.size.rooms).max(1);
    profile.rate = args.rate.unwrap_or(profile.rate);
    if args.wide {
        profile.widen();
    }
    if args.events && !args.embedded {
        // Each event is read from the tables twice more.
        profile.rate = profile.rate.min(EVENTS_RATE);
    }
    let nodes = if args.embedded { 1 } else { args.nodes.max(1) };
    if args.embedded {
        profile
            .faults
            .retain(|(class, _)| !class.is_redis() && !class.is_store() && *class != Class::Stranger);
    }
    let duration = Duration::from_secs(args.duration.unwrap_or(profile.duration).max(5));
    let plan = Plan::new(args.seed, duration, nodes, profile);
    let plant = plant.map(Plant::name);
    let sinks = match args.events {
        true => Some(Arc::new(Sinks::start().await?)),
        false => None,
    };
    let arguments = sinks.as_ref().map(|sinks| sinks.arguments()).unwrap_or_default();
    let options = Options { program: &program, nodes, embedded: args.embedded, plant, arguments };
    let cluster = Arc::new(Box::pin(Cluster::start(&options)).await?);
    if let Some(sinks) = &sinks {
        sinks.join(&cluster, args.seed).await?;
    }
    eprintln!("seed {}, schedule {:016x}, {} faults", args.seed, plan.hash(), plan.schedule.len());
    let played = match Box::pin(run::play(&plan, cluster.clone(), sinks)).await {
        Ok(played) => played,
        Err(error) => return Err(error.context(cluster.last_words().await)),
    };
    let mut problems = played.problems;
    for (sink, tally) in &played.sinks {
        if tally.missing + tally.disordered > 0 {
            problems.push(format!("the {sink} lacks events: {tally:?}"));
        }
    }
    if args.wide {
        eprintln!("waiting until the nodes hold nothing more");
        match Box::pin(account::check(&cluster)).await {
            Ok(leftovers) => problems.extend(leftovers),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    let cluster = Arc::try_unwrap(cluster).ok().context("the cluster is still being struck")?;
    if let Err(error) = cluster.end().await {
        problems.push(format!("{error:#}"));
    }
    eprintln!("checking");
    let verdict = check::check(&played.history);
    if is_everything {
        problems.extend(verdict.unchecked().map(|rule| format!("nothing came up that tests: {rule}")));
    }
    let report = Report {
        seed: args.seed,
        schedule: plan.hash(),
        plant,
        elapsed: played.elapsed,
        settled: played.settled,
        history: &played.history,
        counts: &played.stage.counts,
        verdict: &verdict,
        sinks: &played.sinks,
        problems: &problems,
    };
    report.print();
    Ok(report.is_clean())
}

fn plant_named(name: &str) -> Result<Plant> {
    let known = || Plant::REAL.into_iter().chain(Plant::EVENTS);
    let names = || known().map(Plant::name).collect::<Vec<_>>().join(", ");
    Plant::named(name)
        .filter(|plant| known().any(|known| known == *plant))
        .with_context(|| format!("no bug is called {name}; there are {}", names()))
}
