use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parlance_peers::{Budget, Peer};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::STALL_CHECK;

/// Detects a peer that reads nothing of what waits for it. Has a timer only while data waits.
pub(crate) struct Stall {
    peer: Arc<Peer>,
    /// What the data is charged to.
    budget: Arc<Budget>,
    stalled: Option<Box<Stalled>>,
}

struct Stalled {
    since: Instant,
    /// Bytes accepted since then.
    taken: usize,
    timer: Pin<Box<Sleep>>,
}

impl Stall {
    pub(crate) fn new(peer: Arc<Peer>, budget: Arc<Budget>) -> Self {
        Self { peer, budget, stalled: None }
    }

    /// No data waits any more.
    pub(crate) fn end(&mut self) {
        self.stalled = None;
    }

    /// The peer has accepted bytes, and more wait. A trickle does not count as progress.
    pub(crate) fn taken(&mut self, bytes: usize) {
        if let Some(stalled) = &mut self.stalled {
            stalled.taken += bytes;
            if stalled.taken >= self.peer.progress(&self.budget) {
                (stalled.since, stalled.taken) = (Instant::now(), 0);
            }
        }
    }

    /// Data waits. Ready once it has waited for too long.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stalled = self.stalled.get_or_insert_with(|| {
            let timer = Box::pin(sleep(STALL_CHECK.min(self.peer.patience(&self.budget))));
            Box::new(Stalled { since: Instant::now(), taken: 0, timer })
        });
        while stalled.timer.as_mut().poll(cx).is_ready() {
            // Evaluated each time: the patience is shorter while the total limit is exceeded.
            let (now, end) = (Instant::now(), stalled.since + self.peer.patience(&self.budget));
            if now >= end {
                metrics::counter!("parlance_stalled_total").increment(1);
                return Poll::Ready(());
            }
            stalled.timer.as_mut().reset(end.min(now + STALL_CHECK));
        }
        Poll::Pending
    }

    /// Fails if data waits for a peer that has accepted nothing for too long.
    pub(crate) fn check(
        &mut self,
        written: Poll<Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize>> {
        if written.is_ready() {
            self.end();
            return written;
        }
        self.poll_elapsed(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}
