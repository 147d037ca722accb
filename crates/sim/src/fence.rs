use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::dice::lock;

/// Where a node dies, if it is to die at a certain point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// An append is written; the node does not learn of it.
    Committed,
    /// The answer to an append is lost, and the node dies when it looks.
    ReadingBack,
    /// Before others are told of what was written.
    Publishing,
    /// They are told; the sender is not.
    Published,
}

/// Between a node and the world. A dead node's tasks go on until they ask for something,
/// and wait for ever then: nobody can tell that from their being gone.
pub struct Fence {
    dead: CancellationToken,
    paused_until: Mutex<Option<Instant>>,
    armed: Mutex<Option<CrashPoint>>,
}

impl Fence {
    /// Around a node that is alive.
    pub fn new() -> Self {
        Self { dead: CancellationToken::new(), paused_until: Mutex::default(), armed: Mutex::default() }
    }

    /// From now on nothing gets through.
    pub fn crash(&self) {
        self.dead.cancel();
    }

    /// Cancelled when the node is dead.
    pub fn dead(&self) -> &CancellationToken {
        &self.dead
    }

    /// The process does not run for a while.
    pub fn pause(&self, pause: Duration) {
        *lock(&self.paused_until) = Some(Instant::now() + pause);
    }

    /// Dies when it comes to `point`.
    pub fn arm(&self, point: Option<CrashPoint>) {
        *lock(&self.armed) = point;
    }

    /// Whether it is to die at `point`.
    pub fn is_armed(&self, point: CrashPoint) -> bool {
        *lock(&self.armed) == Some(point)
    }

    /// The node comes to `point`, and dies if it is to.
    pub async fn reach(&self, point: CrashPoint) {
        if self.is_armed(point) {
            self.crash();
        }
        self.pass().await;
    }

    /// Goes through once the node runs.
    pub async fn pass(&self) {
        loop {
            if self.dead.is_cancelled() {
                pending::<()>().await;
            }
            let until = lock(&self.paused_until).filter(|until| *until > Instant::now());
            let Some(until) = until else { return };
            sleep_until(until).await;
        }
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self::new()
    }
}
