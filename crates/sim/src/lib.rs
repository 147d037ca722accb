//! Whole Parlance nodes in one thread: their clocks, network, store and registry are simulated, and all randomness
//! derives from one number, the seed. The same seed gives the same run, line by line, on every machine. Everything
//! simulated therefore has a defined order: `select!` is `biased`, maps have seeded hashers and a fixed number of
//! shards, and no two tasks act on a change of the same `watch`, which wakes in random order.
//!
//! Some clients are WebSockets that nodes push to past the session, the others are gRPC streams.
//!
//! A run is traffic under faults, then a few acts that target rare situations, then silence. After that everyone must
//! have everything: [`check`] defines what that means.
#![warn(missing_docs)]

pub mod check;
/// Each node's clock.
pub mod clock;
/// The seeded random generator.
pub mod dice;
/// How nodes die and pause.
pub mod fence;
/// What clients sent and received.
pub mod history;
pub mod mesh;
/// Starting and stopping nodes.
pub mod node;
pub mod script;
pub mod store;
/// The trace of a run, line by line.
pub mod trace;
/// The faults of a run.
pub mod weather;
/// Everything simulated.
pub mod world;

mod asks;
mod calls;
mod client;
mod delivery;
mod orders;
mod pushed;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::delivery::Delivery;
use crate::script::Script;
use crate::world::World;

pub use crate::world::Kind;

/// The result of one run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The violations.
    pub violations: Vec<String>,
    /// A hash of the trace.
    pub hash: u64,
    /// The trace, if it was kept.
    pub trace: Vec<String>,
    /// The size of the run: sessions, operations, events.
    pub size: Size,
}

/// The size of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Sessions that were opened.
    pub sessions: usize,
    /// Operations sent.
    pub operations: usize,
    /// Events in all logs.
    pub events: u64,
    /// Events received by sessions.
    pub deliveries: usize,
    /// Frames that were pushed to connections past their sessions.
    pub pushed: usize,
    /// Simulated milliseconds.
    pub millis: u64,
}

/// Runs one seed.
///
/// # Errors
/// No runtime could be created.
pub fn run(seed: u64, kind: Kind, keep_trace: bool) -> std::io::Result<Report> {
    parlance_runtime::random::simulate(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(simulate(seed, kind, keep_trace)))
}

async fn simulate(seed: u64, kind: Kind, keep_trace: bool) -> Report {
    let places = 2 + (seed % 3) as usize;
    let world = World::new(seed, kind, places, keep_trace);
    let delivery = (kind != Kind::Growth).then(|| Delivery::start(&world.memory, &world.trace, seed));
    match kind {
        Kind::Everyday | Kind::Wide => match Script::begin(world.clone()).await {
            Some(script) => script.run().await,
            None => world.complain("the rooms could not be created".to_owned()),
        },
        Kind::Growth => script::grow(world.clone()).await,
    }
    let mut violations = world.complaints();
    violations.extend(check::everything(&world));
    if let Some(delivery) = delivery {
        violations.extend(delivery.finish().await);
    }
    if kind == Kind::Wide {
        world.leave().await;
        violations.extend(world.complaints());
    }
    for violation in &violations {
        world.trace.line(format_args!("VIOLATION {violation}"));
    }
    Report { seed, violations, hash: world.trace.hash(), trace: world.trace.take(), size: size(&world) }
}

fn size(world: &Arc<World>) -> Size {
    let history = dice::lock(&world.history);
    let tables = world.memory.tables();
    let seen = history.sessions.iter().flat_map(|session| &session.seen);
    Size {
        sessions: history.sessions.len(),
        operations: history.asked.len(),
        events: tables.rooms.values().map(store::RoomRow::head).sum(),
        deliveries: seen.filter(|(_, seen)| matches!(seen, history::Seen::Event(_))).count(),
        pushed: world.pushed.load(Ordering::Relaxed),
        millis: world.trace.now(),
    }
}
