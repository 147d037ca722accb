use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::dice::lock;

/// The point at which a node dies, if set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// An append is written; the node does not learn of it.
    Committed,
    /// The answer to an append is lost, and the node dies when it reads back.
    ReadingBack,
    /// Before a commit is published.
    Publishing,
    /// After publishing, before the sender is answered.
    Published,
}

/// Separates a node from the world. A dead node's tasks continue until they make a call, which then never returns:
/// this is indistinguishable from their having ended.
pub struct Fence {
    dead: CancellationToken,
    paused_until: Mutex<Option<Instant>>,
    armed: Mutex<Option<CrashPoint>>,
}

impl Fence {
    /// The fence of a live node.
    pub fn new() -> Self {
        Self { dead: CancellationToken::new(), paused_until: Mutex::default(), armed: Mutex::default() }
    }

    /// From now on nothing passes.
    pub fn crash(&self) {
        self.dead.cancel();
    }

    /// Cancelled when the node is dead.
    pub fn dead(&self) -> &CancellationToken {
        &self.dead
    }

    /// Pauses the process.
    pub fn pause(&self, pause: Duration) {
        *lock(&self.paused_until) = Some(Instant::now() + pause);
    }

    /// Makes the node die when it reaches `point`.
    pub fn arm(&self, point: Option<CrashPoint>) {
        *lock(&self.armed) = point;
    }

    /// Whether the node will die at `point`.
    pub fn is_armed(&self, point: CrashPoint) -> bool {
        *lock(&self.armed) == Some(point)
    }

    /// The node reaches `point`, and dies if set.
    pub async fn reach(&self, point: CrashPoint) {
        if self.is_armed(point) {
            self.crash();
        }
        self.pass().await;
    }

    /// Passes once the node is running.
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
