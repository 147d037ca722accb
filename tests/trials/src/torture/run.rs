//! One run, from the first user to the verdict.

use std::future::pending;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep_until};

use super::client::{Client, Control, Counts, Phase, Stage, Standing, Start};
use super::history::{At, ClientHistory, FaultRecord, History};
use super::profile::Profile;
use super::schedule::{self, Fault, Setting};
use super::script::{self, Script};
use super::sinks::{Sinks, Tally};
use super::world::{self, World};
use super::{check, readback};
use parlance_testbed::Unary;
use parlance_testbed::token;
use parlance_testbed::{Cluster, SHARES};

/// After healing: how long nothing may change before missing items count as lost, and the
/// total time limit.
const STANDSTILL: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The parameters of a run.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) profile: Profile,
    pub(super) schedule: Vec<(At, Fault)>,
}

impl Plan {
    pub(super) fn new(seed: u64, duration: Duration, nodes: u8, profile: Profile) -> Self {
        let setting = Setting {
            seed,
            duration: duration.as_millis() as At,
            nodes,
            clients: profile.size.clients.max(2),
            shares: SHARES,
            weights: &profile.faults,
            every: profile.every,
            until: profile.until,
        };
        let schedule = schedule::schedule(&setting);
        Self { seed, duration, profile, schedule }
    }

    /// Equal for equal faults and scripts.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        schedule::hash(&self.schedule, &mut hash);
        script::hash_all(self.seed, self.profile.size.clients, self.profile.weights, &mut hash);
        hash.finish()
    }
}

/// The results of a run.
pub(super) struct Played {
    pub(super) history: History,
    pub(super) stage: Arc<Stage>,
    pub(super) elapsed: Duration,
    /// From healing until everything was answered and everyone had everything.
    pub(super) settled: Duration,
    pub(super) problems: Vec<String>,
    /// What each sink of events has.
    pub(super) sinks: Vec<(&'static str, Tally)>,
}

/// All clients.
struct Cast {
    clients: Vec<JoinHandle<ClientHistory>>,
    controls: Vec<mpsc::Sender<Control>>,
    standings: Vec<Arc<Standing>>,
    phase: watch::Sender<Phase>,
}

/// Plays `plan` on `cluster`.
pub(super) async fn play(plan: &Plan, cluster: Arc<Cluster>, sinks: Option<Arc<Sinks>>) -> Result<Played> {
    let mut world = World::new(plan.seed, plan.profile.size);
    let tokens: Vec<_> =
        (0..world.clients).map(|user| token::token(&world::name(user))).collect::<Result<_>>()?;
    let unary = Unary::connect(&cluster.addresses()[0].direct).await?;
    let mut rooms = readback::set_up(&unary, &mut world, &tokens).await?;

    let stage = Arc::new(Stage {
        world,
        began: Instant::now(),
        nodes: cluster.addresses().to_vec(),
        pace: Duration::from_micros(plan.profile.pace_micros()),
        in_flight: plan.profile.in_flight,
        counts: Counts::default(),
    });
    let cast = enter(plan, &stage, &tokens);
    let faults = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let progress = tokio::spawn(progress(stage.clone(), faults.clone()));
    let mut troubled = Ok(());
    tokio::select! {
        () = Box::pin(strike_all(plan, &stage, &cluster, &cast.controls, &faults)) => {}
        ended = Box::pin(trouble(sinks.as_ref(), &cluster, plan.seed)) => troubled = ended,
    }
    troubled.context("cannot trouble the sinks")?;
    progress.abort();
    let elapsed = stage.began.elapsed();

    let healing = Instant::now();
    cast.phase.send_replace(Phase::Settle);
    cluster.heal().await?;
    if let Some(sinks) = &sinks {
        sinks.heal(&cluster).await?;
    }
    let (faults, mut problems) = std::mem::take(&mut *faults.lock().unwrap_or_else(PoisonError::into_inner));
    wait_until(&stage, || {
        cast.standings.iter().all(|standing| {
            standing.unanswered.load(Ordering::Relaxed) == 0 && standing.session.load(Ordering::Relaxed) != 0
        })
    })
    .await;
    eprintln!("reading {} rooms back", rooms.len());
    let unary = Unary::connect(&cluster.addresses()[0].direct).await?;
    readback::read_logs(&unary, &stage.world, &tokens, &mut rooms).await?;
    let mut history = History { rooms, faults, ..History::default() };
    wait_until(&stage, || all_here(&history, &stage, &cast.standings)).await;
    let settled = healing.elapsed();
    let inboxes = readback::read_inboxes(&unary, &stage.world, &tokens).await;

    cast.phase.send_replace(Phase::Stop);
    for client in cast.clients {
        history.clients.push(client.await.context("a client failed")?);
    }
    match inboxes {
        Ok(inboxes) => {
            for (client, inbox) in history.clients.iter_mut().zip(inboxes) {
                client.inbox = inbox;
            }
        }
        Err(error) => problems.push(format!("{error:#}")),
    }
    let sinks = match sinks {
        Some(sinks) => sinks.check(&history.rooms).await?,
        None => Vec::new(),
    };
    Ok(Played { history, stage, elapsed, settled, problems, sinks })
}

/// Makes trouble for the sinks, if there are any.
async fn trouble(sinks: Option<&Arc<Sinks>>, cluster: &Cluster, seed: u64) -> Result<()> {
    match sinks {
        Some(sinks) => sinks.trouble(cluster, seed).await,
        None => pending().await,
    }
}

/// Starts every client.
fn enter(plan: &Plan, stage: &Arc<Stage>, tokens: &[String]) -> Cast {
    let (phase, _) = watch::channel(Phase::Run);
    let mut cast = Cast { clients: Vec::new(), controls: Vec::new(), standings: Vec::new(), phase };
    for (user, token) in (0..).zip(tokens) {
        let (control, controls) = mpsc::channel(4);
        let rooms = stage.world.rooms_of[usize::from(user)].len();
        let reached = (0..rooms).map(|_| 0.into()).collect();
        let standing = Arc::new(Standing { reached, ..Standing::default() });
        let start = Start {
            user,
            token: token.clone(),
            script: Script::new(plan.seed, user, plan.profile.weights),
            seed: plan.seed,
            standing: standing.clone(),
            control: controls,
            phase: cast.phase.subscribe(),
        };
        let client = Client::new(stage.clone(), start);
        cast.clients.push(tokio::spawn(Box::pin(client.run())));
        cast.controls.push(control);
        cast.standings.push(standing);
    }
    cast
}

/// Injected faults, and problems in injecting them.
type Struck = Arc<Mutex<(Vec<FaultRecord>, Vec<String>)>>;

/// Injects the scheduled faults, and waits for the end of the run and of every fault.
async fn strike_all(
    plan: &Plan,
    stage: &Stage,
    cluster: &Cluster,
    controls: &[mpsc::Sender<Control>],
    struck: &Struck,
) {
    let mut under_way = FuturesUnordered::new();
    for (at, fault) in &plan.schedule {
        let due = stage.began + Duration::from_millis((*at).into());
        pass_time(&mut under_way, due).await;
        under_way.push(Box::pin(strike(*fault, stage, cluster, controls, struck)));
    }
    pass_time(&mut under_way, stage.began + plan.duration).await;
    while under_way.next().await.is_some() {}
}

/// Drives running faults until then.
async fn pass_time<F: Future<Output = ()>>(under_way: &mut FuturesUnordered<F>, until: Instant) {
    let carried_on = async {
        while under_way.next().await.is_some() {}
        pending::<()>().await;
    };
    tokio::select! {
        () = sleep_until(until) => {}
        () = carried_on => {}
    }
}

async fn strike(
    fault: Fault,
    stage: &Stage,
    cluster: &Cluster,
    controls: &[mpsc::Sender<Control>],
    struck: &Struck,
) {
    let from = stage.now();
    let result = Box::pin(super::strike::strike(cluster, fault, &stage.world, controls)).await;
    let to = stage.now();
    let mut struck = struck.lock().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(true) => {
            let delays_all = fault.class().delays_all();
            struck.0.push(FaultRecord { name: fault.name(), from, to, delays_all });
        }
        Ok(false) => {}
        Err(error) => struck.1.push(format!("{}: {error:#}", fault.name())),
    }
}

/// Whether every member has received every room to its end.
fn all_here(history: &History, stage: &Stage, standings: &[Arc<Standing>]) -> bool {
    history.rooms.iter().zip(0..).all(|(room, index)| {
        check::members_at_end(room).into_iter().all(|user| {
            let at = stage.world.rooms_of.get(usize::from(user)).and_then(|rooms| {
                let place = rooms.iter().position(|own| *own == index)?;
                standings[usize::from(user)].reached.get(place)
            });
            at.is_some_and(|reached| reached.load(Ordering::Relaxed) >= room.head)
        })
    })
}

/// Waits until it holds, or until nothing changes any more: the checker reports what is
/// missing then.
async fn wait_until(stage: &Stage, holds: impl Fn() -> bool) {
    let started = Instant::now();
    let moves = || {
        let counts = &stage.counts;
        counts.acknowledged.load(Ordering::Relaxed) + counts.delivered.load(Ordering::Relaxed)
    };
    let (mut last, mut since) = (moves(), started);
    let mut look = interval(LOOK_EVERY);
    while !holds() && since.elapsed() < STANDSTILL && started.elapsed() < SETTLE {
        look.tick().await;
        if moves() != last {
            (last, since) = (moves(), Instant::now());
        }
    }
}

async fn progress(stage: Arc<Stage>, struck: Struck) {
    let mut again = interval(PROGRESS_EVERY);
    again.tick().await;
    let mut before = 0;
    loop {
        again.tick().await;
        let acknowledged = stage.counts.acknowledged.load(Ordering::Relaxed);
        let rate = (acknowledged - before) / PROGRESS_EVERY.as_secs();
        before = acknowledged;
        let delivered = stage.counts.delivered.load(Ordering::Relaxed);
        let faults = struck.lock().unwrap_or_else(PoisonError::into_inner).0.len();
        eprintln!(
            "{:>5} s  {acknowledged:>9} acknowledged ({rate}/s)  {delivered:>9} delivered  {faults:>5} faults",
            stage.began.elapsed().as_secs()
        );
    }
}
