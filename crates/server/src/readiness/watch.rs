//! Watches the dependencies of a node.

use std::sync::Arc;

use parlance_api::services::Services;
use parlance_core::{RoomId, UserId};
use parlance_proto::server::chat_service_server::ChatServiceServer;
use parlance_registry::{Health, Registry};
use parlance_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::answers::{Answer, Answers};
use super::away::{Away, Verdict};
use super::{Need, Readiness};
use crate::limits::{REGISTRY_LOOK_EVERY, STORE_ANSWER_WITHIN, STORE_ASK_EVERY};

/// User and room for probing: they need not exist.
const SOMEONE: &str = "readiness";

/// Reports when the registry has been unavailable for longer than a reconnect takes, see
/// [`Away`], and while it is unavailable for this node alone. Never returns.
pub(crate) async fn watch_registry(
    registry: Arc<dyn Registry>,
    alone: watch::Receiver<bool>,
    readiness: Readiness,
) {
    let mut health = registry.health();
    loop {
        if health.wait_for(|health| *health == Health::Away).await.is_err() {
            return;
        }
        let (mut away, mut tick, mut since) =
            (Away::default(), interval(REGISTRY_LOOK_EVERY), Instant::now());
        loop {
            tick.tick().await;
            let connected = *health.borrow() == Health::Connected;
            match away.pass(since.elapsed(), connected) {
                Verdict::Missing | Verdict::DoneWithout if *alone.borrow() => {
                    readiness.missing(Need::Registry, ALONE);
                }
                Verdict::There => readiness.there(Need::Registry),
                Verdict::Missing => readiness.missing(Need::Registry, OUT_OF_REACH),
                Verdict::DoneWithout => readiness.done_without(Need::Registry, OUT_OF_REACH),
            }
            since = Instant::now();
            if away.is_settled() {
                break;
            }
        }
    }
}

const OUT_OF_REACH: &str = "unreachable: other nodes' writes are read from the store with a delay";

/// Reports settings of the registry that should be changed, until it is closed.
pub(crate) async fn watch_warning(registry: Arc<dyn Registry>, readiness: Readiness) {
    let mut warning = registry.warning();
    loop {
        let now = warning.borrow_and_update().clone();
        readiness.warn(Need::Registry, now);
        if warning.changed().await.is_err() {
            return;
        }
    }
}

const ALONE: &str = "unreachable from this node only: clients should use other nodes";

/// Reports when one of the store's tables does not answer. They are probed in turn; one
/// that has not answered is probed again. Never returns.
pub(crate) async fn watch_store(store: Arc<dyn Store>, readiness: Readiness) {
    let (Ok(user), Ok(room)) = (UserId::parse(SOMEONE), RoomId::parse(SOMEONE)) else { return };
    let mut tables: [Answers; TABLES.len()] = Default::default();
    let (mut tick, mut asked, mut table) = (interval(STORE_ASK_EVERY), Instant::now(), 0);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let answer = match timeout(STORE_ANSWER_WITHIN, ask(store.as_ref(), table, &user, &room)).await {
            Ok(result) => Answer::from(result),
            Err(_) => Answer::Failed(format!("no answer within {} seconds", STORE_ANSWER_WITHIN.as_secs())),
        };
        let answers = &mut tables[table];
        match answers.count(answer, asked.elapsed()).map(ToOwned::to_owned) {
            Some(why) => readiness.missing(Need::Store, format!("{}: {why}", TABLES[table])),
            None if answers.is_well() => readiness.there(Need::Store),
            None => {}
        }
        asked = Instant::now();
        if tables[table].is_well() {
            table = (table + 1) % TABLES.len();
        }
    }
}

/// The tables of the store.
const TABLES: [&str; 4] = ["users", "rooms", "messages", "user_rooms"];

/// Reads from one of [`TABLES`].
async fn ask(store: &dyn Store, table: usize, user: &UserId, room: &RoomId) -> Result<(), StoreError> {
    match TABLES[table] {
        "users" => store.user(user).await.map(|_| ()),
        "rooms" => store.member(room, user).await.map(|_| ()),
        "messages" => store.chunk(room, 1).await.map(|_| ()),
        _ => store.user_room(user, room).await.map(|_| ()),
    }
}

/// Keeps the standard health service in sync. Never returns.
pub(crate) async fn follow_health(readiness: Readiness, reporter: HealthReporter) {
    let mut standing = readiness.subscribe();
    loop {
        let is_ready = standing.borrow_and_update().is_ready();
        let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        // The empty name stands for the whole server: used by most probes.
        for service in ["", ChatServiceServer::<Services>::NAME] {
            reporter.set_service_status(service, status).await;
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}
