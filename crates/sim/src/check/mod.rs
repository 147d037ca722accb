//! The properties of a run, as functions of what was stored, requested and received.

mod answers;
mod log;
mod moderation;
mod prompt;
mod streams;
mod truth;
mod unread;
mod visibility;

use std::collections::BTreeSet;

use parlance_core::Member;

pub(crate) use self::truth::LATER;
pub use self::truth::{RoomTruth, Truth};
use crate::dice::lock;
use crate::world::World;

/// All violations, once nothing happens any more.
pub fn everything(world: &World) -> Vec<String> {
    let history = lock(&world.history);
    let tables = world.memory.tables();
    let mut violations = Vec::new();
    log::check(&tables, &mut violations);
    moderation::check(&tables, &mut violations);
    let truth = Truth::of(&tables);
    streams::check(&truth, &history, world.sizes.sessions.max_catch_up, &mut violations);
    let clients = history.sessions.iter().map(|session| session.client).collect::<BTreeSet<_>>().len();
    let open = history.sessions.iter().filter(|session| session.is_open()).count();
    if open < clients {
        violations.push(format!("only {open} of {clients} clients are connected in the end"));
    }
    answers::check(&truth, &history, &mut violations);
    if world.wide {
        visibility::check(&truth, &history, &mut violations);
    }
    unread::check(&truth, &tables, &history, &mut violations);
    prompt::check(&truth, &history, &world.weather, &mut violations);
    violations
}

/// Whether everyone is connected and has everything.
pub fn is_settled(world: &World) -> bool {
    let history = lock(&world.history);
    let tables = world.memory.tables();
    let open: Vec<_> = history.sessions.iter().filter(|session| session.is_open()).collect();
    let clients: BTreeSet<usize> = open.iter().map(|session| session.client).collect();
    clients.len() == world.clients()
        && tables.rooms.values().all(|row| {
            let in_it = |user| row.members.get(user).is_some_and(Member::is_active);
            open.iter().all(|session| !in_it(&session.user) || session.has(&row.info.id) >= row.head())
        })
}
