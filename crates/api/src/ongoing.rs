//! Calls of users that are carried out now: a deletion waits for them, since what they do would come after it.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;
use parlance_core::UserId;
use parlance_runtime::map::Map;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::limits::COMMIT_TIME;

/// The calls of each user that has some, as tokens of a tracker.
#[derive(Default)]
pub(crate) struct Ongoing {
    calls: Map<UserId, TaskTracker>,
}

/// A call that is carried out. Dropped without [`Self::ended`], its caller has gone, and what it has begun may go on.
pub(crate) struct OngoingCall {
    ongoing: Arc<Ongoing>,
    user: UserId,
    token: Option<TaskTrackerToken>,
}

impl Ongoing {
    pub(crate) fn begin(self: &Arc<Self>, user: &UserId) -> OngoingCall {
        self.call(user, &self.calls.entry(user.clone()).or_default())
    }

    fn call(self: &Arc<Self>, user: &UserId, calls: &TaskTracker) -> OngoingCall {
        OngoingCall { ongoing: self.clone(), user: user.clone(), token: Some(calls.token()) }
    }

    /// Waits for the calls of a user that have begun before, not for later ones.
    pub(crate) async fn wait_for(self: &Arc<Self>, user: &UserId) {
        // Whoever waits at the same time, or next because this caller gives up, waits for the same calls.
        let (call, before) = match self.calls.entry(user.clone()) {
            Entry::Vacant(_) => return,
            Entry::Occupied(mut calls) => {
                let later = TaskTracker::new();
                let call = self.call(user, &later);
                (call, calls.insert(later))
            }
        };
        let waiting = tokio::spawn(async move {
            before.close();
            before.wait().await;
            call.ended();
        });
        // It fails only if the runtime shuts down.
        let _ = waiting.await;
    }

    fn forget(&self, user: &UserId) {
        self.calls.remove_if(user, |_, calls| calls.is_empty());
    }
}

impl OngoingCall {
    pub(crate) fn ended(mut self) {
        self.token = None;
    }
}

impl Drop for OngoingCall {
    fn drop(&mut self) {
        let Some(token) = self.token.take() else { return self.ongoing.forget(&self.user) };
        let Ok(runtime) = Handle::try_current() else { return };
        // Not a call of its own: when the runtime ends, it drops what is spawned, and a call would spawn again.
        let (ongoing, user) = (self.ongoing.clone(), self.user.clone());
        runtime.spawn(async move {
            sleep(COMMIT_TIME).await;
            drop(token);
            ongoing.forget(&user);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use parlance_faults::fixture::user;
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_that_began_before_are_waited_for() {
        let (ongoing, alice) = (Arc::new(Ongoing::default()), user("alice"));
        assert!(ongoing.wait_for(&alice).now_or_never().is_some());
        let (first, other) = (ongoing.begin(&alice), ongoing.begin(&user("bob")));
        // One that waits gives up.
        assert!(timeout(COMMIT_TIME, ongoing.wait_for(&alice)).await.is_err());
        let waiting = tokio::spawn({
            let (ongoing, alice) = (ongoing.clone(), alice.clone());
            async move { ongoing.wait_for(&alice).await }
        });
        tokio::task::yield_now().await;
        let later = ongoing.begin(&alice);
        assert!(!waiting.is_finished());
        first.ended();
        waiting.await.unwrap();
        later.ended();
        other.ended();
        assert!(ongoing.calls.is_empty(), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_caller_who_has_gone_has_begun_is_waited_for() {
        let (ongoing, alice) = (Arc::new(Ongoing::default()), user("alice"));
        drop(ongoing.begin(&alice));
        let begun = Instant::now();
        ongoing.wait_for(&alice).await;
        assert_eq!(begun.elapsed(), COMMIT_TIME);
        assert!(ongoing.calls.is_empty(), "nothing is left behind");
    }
}
