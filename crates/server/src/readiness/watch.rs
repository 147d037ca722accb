//! What looks after the needs of a node.

use std::sync::Arc;
use std::time::Duration;

use parlance_api::services::Services;
use parlance_core::UserId;
use parlance_proto::server::chat_service_server::ChatServiceServer;
use parlance_registry::{Health, Registry};
use parlance_store::{Store, StoreError};
use tokio::time::{interval, timeout};
use tonic_health::server::HealthReporter;

use super::{Need, Readiness};

/// How long the registry may be away before it shows: a reconnect is over by then.
const AWAY_FOR: Duration = Duration::from_secs(4);

/// How often the store is asked something.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long it may take to answer; the store's own retries fit in.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Questions in a row without an answer before it shows.
const UNANSWERED: u32 = 2;

/// Whoever is asked for need not exist.
const SOMEONE: &str = "readiness";

/// Shows when the registry is away for longer than it takes to reconnect. Never returns.
pub(crate) async fn watch_registry(registry: Arc<dyn Registry>, readiness: Readiness) {
    let mut health = registry.health();
    loop {
        if health.wait_for(|health| *health == Health::Away).await.is_err() {
            return;
        }
        match timeout(AWAY_FOR, health.wait_for(|health| *health == Health::Connected)).await {
            Ok(Ok(_)) => continue,
            Ok(Err(_)) => return,
            Err(_) => {}
        }
        readiness
            .missing(Need::Registry, "out of reach: other nodes are heard of late, by looking in the store");
        if health.wait_for(|health| *health == Health::Connected).await.is_err() {
            return;
        }
        readiness.there(Need::Registry);
    }
}

/// Shows when the store does not answer. Never returns.
pub(crate) async fn watch_store(store: Arc<dyn Store>, readiness: Readiness) {
    let Ok(someone) = UserId::parse(SOMEONE) else { return };
    let mut tick = interval(ASK_EVERY);
    let mut unanswered = 0;
    loop {
        tick.tick().await;
        let why = match timeout(ANSWER_WITHIN, store.user(&someone)).await {
            Ok(Ok(_)) => None,
            // Busy, it answers.
            Ok(Err(StoreError::Overloaded)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} seconds", ANSWER_WITHIN.as_secs())),
        };
        match why {
            None => {
                unanswered = 0;
                readiness.there(Need::Store);
            }
            Some(why) => {
                unanswered += 1;
                if unanswered >= UNANSWERED {
                    readiness.missing(Need::Store, why);
                }
            }
        }
    }
}

/// Has the standard health service say the same. Never returns.
pub(crate) async fn follow_health(readiness: Readiness, reporter: HealthReporter) {
    let mut standing = readiness.subscribe();
    loop {
        if standing.borrow_and_update().is_ready() {
            reporter.set_serving::<ChatServiceServer<Services>>().await;
        } else {
            reporter.set_not_serving::<ChatServiceServer<Services>>().await;
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}
