use std::sync::Arc;

use parlance_planted::Plant;
use parlance_registry::numbering::Loss;
use parlance_registry::{Health, NodeId, Notice};
use tokio::time::{Instant, sleep};

use super::state::Slot;
use super::{HEARTBEAT, LEASE, Mesh, REFRESH, is_followed};

/// The result of a heartbeat.
enum Found {
    /// Everything is fine; these nodes are gone.
    Well(Vec<NodeId>),
    /// The registry does not answer.
    Away,
    /// Something was lost: everything has to be set up again.
    Lost,
    Closed,
}

/// Keeps a node registered until it dies or is closed.
pub(super) async fn keep(mesh: Arc<Mesh>, node: NodeId) {
    let Some(fence) = mesh.state().nodes.get(&node).map(|slot| slot.fence.clone()) else { return };
    // Heartbeats of different nodes are not aligned.
    sleep(mesh.weather.dice().millis(0, 900)).await;
    loop {
        let before = Instant::now();
        sleep(HEARTBEAT).await;
        tokio::select! {
            biased;
            () = fence.dead().cancelled() => return,
            () = fence.pass() => {}
        }
        // A process that was paused cannot know what it missed.
        let paused = before.elapsed() > 2 * HEARTBEAT;
        match look(&mesh, &node, paused) {
            Found::Closed => return,
            Found::Away => {
                if let Some(slot) = mesh.state().nodes.get_mut(&node) {
                    slot.connected = false;
                    slot.health.send_replace(Health::Away);
                }
                mesh.weather.trouble(Some(&node), 2 * HEARTBEAT);
            }
            Found::Lost => recover(&mesh, &node).await,
            Found::Well(gone) => {
                refresh(&mesh, &node);
                if let Some(slot) = mesh.state().nodes.get_mut(&node) {
                    for other in gone {
                        mesh.weather.trace().line(format_args!("{node} finds {other} gone"));
                        let _ = slot.notices.try_send(Notice::NodeLost(other));
                    }
                    count_losses(&mesh, &node, slot);
                }
                mesh.send_beat(&node);
            }
        }
    }
}

fn look(mesh: &Mesh, node: &NodeId, paused: bool) -> Found {
    let now = Instant::now();
    let mut state = mesh.state();
    let ended: Vec<NodeId> =
        state.leases.iter().filter(|(_, until)| **until <= now).map(|(node, _)| node.clone()).collect();
    for node in &ended {
        state.end_lease(node);
    }
    let held = state.holds_lease(node);
    let alive: Vec<NodeId> = state.leases.keys().filter(|other| *other != node).cloned().collect();
    let left = state.left.clone();
    let Some(slot) = state.nodes.get_mut(node) else { return Found::Closed };
    if slot.closed {
        return Found::Closed;
    }
    if slot.cut {
        return Found::Away;
    }
    if !slot.connected || slot.must_recover || paused || !held {
        return Found::Lost;
    }
    slot.known.extend(alive.into_iter().map(|other| (other, now)));
    // After a wipe no node is reported as ended: they have a lease's time to return.
    let is_gone = |other: &NodeId, seen: Instant| {
        seen < now && (ended.contains(other) || left.contains(other) || now - seen >= LEASE)
    };
    let gone: Vec<NodeId> = slot
        .known
        .iter()
        .filter(|(other, seen)| is_gone(other, **seen))
        .map(|(other, _)| other.clone())
        .collect();
    slot.known.retain(|other, _| !gone.contains(other));
    state.leases.insert(node.clone(), now + LEASE);
    Found::Well(gone.into_iter().filter(|other| !left.contains(other)).collect())
}

/// Registers users again whose registration is gone.
fn refresh(mesh: &Mesh, node: &NodeId) {
    let mut state = mesh.state();
    let Some(slot) = state.nodes.get_mut(node) else { return };
    slot.refresh_in = slot.refresh_in.saturating_sub(1);
    if slot.refresh_in > 0 {
        return;
    }
    slot.refresh_in = REFRESH;
    let users: Vec<_> = slot.sessions.keys().cloned().collect();
    for user in users {
        // A registration in flight has not been confirmed yet.
        let gone = state.users.get(&user).is_none_or(|nodes| !nodes.contains(node));
        if gone && state.nodes.get(node).is_some_and(|slot| slot.confirmed.contains(&user)) {
            mesh.weather.trouble(Some(node), HEARTBEAT);
            mesh.weather.trace().line(format_args!("{node} registers {user} again"));
            state.register(&user, node);
            if let Some(slot) = state.nodes.get_mut(node) {
                slot.missed = true;
            }
        }
    }
}

/// Reports missed messages if a number or a registration shows it.
fn count_losses(mesh: &Mesh, node: &NodeId, slot: &mut Slot) {
    let (known, follows) = (&slot.known, &slot.follows);
    let is_alive = |other: &str| known.keys().any(|node| node.as_str() == other);
    let mut losses = slot.arrivals.tick(is_alive, |channel| is_followed(follows, channel));
    losses.retain(|loss| *loss != Loss::Gap || !parlance_planted::is(Plant::UncountedLoss));
    if !losses.is_empty() || std::mem::take(&mut slot.missed) {
        mesh.weather.trouble(Some(node), HEARTBEAT);
        mesh.weather.trace().line(format_args!("{node} has missed something: {losses:?}"));
        if slot.notices.try_send(Notice::Missed).is_err() {
            slot.must_recover = true;
        }
    }
}

/// Subscribes, registers, restores everything; then reports that messages may be missing.
async fn recover(mesh: &Arc<Mesh>, node: &NodeId) {
    if let Some(slot) = mesh.state().nodes.get_mut(node) {
        slot.connected = false;
        slot.health.send_replace(Health::Away);
    }
    mesh.weather.trouble(Some(node), HEARTBEAT);
    sleep(mesh.weather.registry_latency()).await;
    let mut state = mesh.state();
    let Some(slot) = state.nodes.get_mut(node) else { return };
    if slot.cut || slot.closed || slot.fence.dead().is_cancelled() {
        return;
    }
    slot.must_recover = false;
    slot.connected = true;
    slot.missed = false;
    slot.arrivals.resume();
    slot.confirmed = slot.sessions.keys().cloned().collect();
    mesh.weather.trouble(Some(node), HEARTBEAT);
    let users: Vec<_> = slot.sessions.keys().cloned().collect();
    let rooms: Vec<_> = slot.follows.keys().cloned().collect();
    slot.health.send_replace(Health::Connected);
    if slot.notices.try_send(Notice::Missed).is_err() {
        slot.must_recover = true;
    }
    state.end_lease(node);
    for user in &users {
        state.register(user, node);
    }
    state.unsubscribe_all(node);
    for room in rooms {
        state.rooms.entry(room).or_default().insert(node.clone());
    }
    state.leases.insert(node.clone(), Instant::now() + LEASE);
    mesh.weather.trace().line(format_args!("{node} is in place again with {} users", users.len()));
}
