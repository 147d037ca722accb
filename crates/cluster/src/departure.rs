use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::{DRAIN_GRACE, LEAVE_SLACK};

/// Sends sessions to other nodes: for good on shutdown, temporarily while only this node is cut off from the
/// registry. Clones refer to the same node.
#[derive(Clone)]
pub struct Departure(Arc<Shared>);

struct Shared {
    shutdown: CancellationToken,
    /// How long it takes for sessions to leave.
    takes: Duration,
    state: watch::Sender<State>,
    /// The same as an atomic, read for each command.
    has_departed: AtomicBool,
}

struct State {
    /// Makes the current sessions leave.
    leave: CancellationToken,
    since: Option<Instant>,
}

/// How long after being told to leave a session may still send, if reconnects are spread over `spread`.
pub(crate) fn takes(spread: Duration) -> Duration {
    spread + LEAVE_SLACK + DRAIN_GRACE
}

impl Departure {
    /// Nobody departs until `shutdown`. Reconnects are spread over `spread`.
    pub fn new(shutdown: CancellationToken, spread: Duration) -> Self {
        let state = State { leave: shutdown.child_token(), since: None };
        let (takes, has_departed) = (takes(spread), AtomicBool::new(false));
        Self(Arc::new(Shared { shutdown, takes, state: watch::Sender::new(state), has_departed }))
    }

    /// A token that is cancelled when its holder has to move to another node.
    pub fn token(&self) -> CancellationToken {
        self.0.state.borrow().leave.child_token()
    }

    /// Waits until new clients are to be refused, or accepted again.
    pub async fn wait_for(&self, departed: bool) {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as this.
        let _ = state.wait_for(|state| state.since.is_some() == departed).await;
    }

    /// Sends current and new sessions away until [`Self::end`]. Returns whether this is a change.
    pub(crate) fn begin(&self) -> bool {
        self.0.state.send_if_modified(|state| {
            let begins = state.since.is_none();
            if begins {
                state.since = Some(Instant::now());
                self.0.has_departed.store(true, Ordering::Release);
                state.leave.cancel();
            }
            begins
        })
    }

    /// Accepts clients again. Returns whether this is a change.
    pub(crate) fn end(&self) -> bool {
        self.0.state.send_if_modified(|state| {
            let ends = state.since.take().is_some();
            if ends {
                self.0.has_departed.store(false, Ordering::Release);
                state.leave = self.0.shutdown.child_token();
            }
            ends
        })
    }

    /// Whether all sessions have had the time to leave.
    pub fn is_complete(&self) -> bool {
        let has_departed = self.0.has_departed.load(Ordering::Acquire);
        has_departed && self.0.state.borrow().since.is_some_and(|since| since.elapsed() >= self.0.takes)
    }

    /// Cancelled on shutdown.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn departure_can_end_but_shutdown_cannot() {
        let shutdown = CancellationToken::new();
        let departure = Departure::new(shutdown.clone(), Duration::from_secs(5));
        let here = departure.token();
        assert!(!departure.end() && departure.begin() && !departure.begin());
        assert!(here.is_cancelled() && departure.token().is_cancelled(), "those who come, too");
        departure.wait_for(true).await;
        assert!(!departure.is_complete());
        tokio::time::advance(takes(Duration::from_secs(5))).await;
        assert!(departure.is_complete());
        assert!(departure.end() && !departure.is_complete());
        let again = departure.token();
        assert!(!again.is_cancelled());
        shutdown.cancel();
        assert!(again.is_cancelled() && departure.token().is_cancelled());
    }
}
