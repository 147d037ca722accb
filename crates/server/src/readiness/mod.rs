//! Whether new clients are accepted, and if not, why: for load balancers and operators.

mod answers;
mod away;
mod clock;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::watch as channel;

pub use clock::clock_error;
pub(crate) use clock::watch_clock;
pub(crate) use watch::{follow_health, watch_registry, watch_store, watch_warning};

/// A dependency of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The store.
    Store,
    /// The registry, which connects it to other nodes.
    Registry,
    /// Nodes behind a bridge.
    Nodes,
    /// Tables that no other fleet serves.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "without a cluster nothing claims them"))]
    Tables,
    /// A clock that agrees with those of store and registry.
    Clock,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Registry => "registry",
            Self::Nodes => "nodes",
            Self::Tables => "tables",
            Self::Clock => "clock",
        }
    }
}

/// Whether new clients are accepted. Clones refer to the same process.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(Arc<channel::Sender<Standing>>);

/// The current state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    draining: bool,
    /// What is missing, and why.
    missing: BTreeMap<Need, String>,
    /// What is missing too, but is not required to accept new clients.
    done_without: BTreeMap<Need, String>,
    /// What is available, but misconfigured.
    warnings: BTreeMap<Need, String>,
}

impl Standing {
    pub(crate) fn is_ready(&self) -> bool {
        !self.draining && self.missing.is_empty()
    }

    /// Describes the state, a line for each reason.
    fn describe(&self) -> String {
        let mut text = String::new();
        if self.draining {
            text.push_str("draining\n");
        }
        for (need, why) in &self.missing {
            text.push_str(&format!("{}: {why}\n", need.name()));
        }
        if text.is_empty() {
            text.push_str("ready\n");
        }
        for (need, why) in &self.done_without {
            text.push_str(&format!("without {}: {why}\n", need.name()));
        }
        for (need, what) in &self.warnings {
            text.push_str(&format!("warning, {}: {what}\n", need.name()));
        }
        text
    }
}

impl Readiness {
    /// Ready, until something is reported missing.
    pub(crate) fn new() -> Self {
        metrics::describe_gauge!("parlance_ready", "whether new clients are accepted: 1 or 0");
        metrics::describe_gauge!("parlance_missing", "whether a dependency is missing: 1 or 0");
        metrics::gauge!("parlance_ready").set(1.0);
        Self(Arc::new(channel::Sender::default()))
    }

    /// Accepts no new clients from now on.
    pub(crate) fn drain(&self) {
        self.change(|standing| standing.draining = true);
    }

    /// Records that a required dependency is missing.
    pub(crate) fn missing(&self, need: Need, why: impl Into<String>) {
        let why = why.into();
        metrics::gauge!("parlance_missing", "what" => need.name()).set(1.0);
        self.change(|standing| {
            standing.done_without.remove(&need);
            let before = standing.missing.insert(need, why.clone());
            if before.is_none() {
                tracing::warn!(what = need.name(), why, "not ready");
            }
        });
    }

    /// Records that a dependency is missing, and new clients are accepted nevertheless.
    pub(crate) fn done_without(&self, need: Need, why: impl Into<String>) {
        let why = why.into();
        metrics::gauge!("parlance_missing", "what" => need.name()).set(1.0);
        self.change(|standing| {
            standing.missing.remove(&need);
            if standing.done_without.insert(need, why.clone()).is_none() {
                tracing::warn!(what = need.name(), why, "dependency unavailable, ready without it");
            }
        });
    }

    /// Records that a dependency is available.
    pub(crate) fn there(&self, need: Need) {
        metrics::gauge!("parlance_missing", "what" => need.name()).set(0.0);
        self.change(|standing| {
            let was_away = standing.done_without.remove(&need).is_some();
            if standing.missing.remove(&need).is_some() || was_away {
                tracing::info!(what = need.name(), "available again");
            }
        });
    }

    /// Records that a dependency is misconfigured, or no longer is.
    pub(crate) fn warn(&self, need: Need, what: Option<String>) {
        self.change(|standing| {
            standing.warnings.remove(&need);
            standing.warnings.extend(what.map(|what| (need, what)));
        });
    }

    /// The current state, and each change.
    pub(crate) fn subscribe(&self) -> channel::Receiver<Standing> {
        self.0.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        self.0.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            metrics::gauge!("parlance_ready").set(if standing.is_ready() { 1.0 } else { 0.0 });
            *standing != before
        });
    }
}

/// Liveness.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness: whether new clients are accepted, or why not.
pub(crate) async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let standing = readiness.0.borrow();
    let status = if standing.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, standing.describe())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_missing() {
        let readiness = Readiness::new();
        let said = || readiness.subscribe().borrow().describe();
        assert_eq!(said(), "ready\n");
        readiness.missing(Need::Registry, "redis is out of reach");
        readiness.missing(Need::Store, "no answer");
        assert_eq!(said(), "store: no answer\nregistry: redis is out of reach\n");
        readiness.there(Need::Store);
        readiness.drain();
        assert_eq!(said(), "draining\nregistry: redis is out of reach\n");
        readiness.there(Need::Registry);
        assert!(!readiness.subscribe().borrow().is_ready());
    }

    #[test]
    fn warnings_do_not_make_it_unready() {
        let readiness = Readiness::new();
        readiness.warn(Need::Registry, Some("redis evicts keys".to_owned()));
        let standing = || readiness.subscribe().borrow().clone();
        assert!(standing().is_ready());
        assert_eq!(standing().describe(), "ready\nwarning, registry: redis evicts keys\n");
        readiness.warn(Need::Registry, None);
        assert_eq!(standing().describe(), "ready\n");
    }

    #[test]
    fn it_is_ready_without_what_it_can_do_without() {
        let readiness = Readiness::new();
        let said = || readiness.subscribe().borrow().describe();
        readiness.missing(Need::Registry, "redis is out of reach");
        readiness.done_without(Need::Registry, "redis is out of reach");
        assert_eq!(said(), "ready\nwithout registry: redis is out of reach\n");
        assert!(readiness.subscribe().borrow().is_ready());
        readiness.there(Need::Registry);
        assert_eq!(said(), "ready\n");
    }
}
