use std::fmt::Display;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use parlance_registry::{Rates, Taken};
use parlance_runtime::rate::Rate;
use tokio::time::{Instant, timeout};

use super::rate::{RateLimit, count};
use crate::limits::{SHARED_RATE_AGAIN, SHARED_RATE_TIMEOUT};

/// A limit on the rate of each key that holds for all nodes together. Each node limits it by itself, too: that is all
/// there is while the registry does not answer. Meant for calls that are rare, and cost more than asking the registry.
pub(crate) struct SharedRate<K> {
    /// In the metrics, and in the keys of the registry.
    label: &'static str,
    own: RateLimit<K>,
    /// `None`: there are no other nodes.
    others: Option<Others>,
}

struct Others {
    rates: Arc<dyn Rates>,
    rate: Rate,
    /// Set while the registry is not asked, because it did not answer.
    silent_until: Mutex<Option<Instant>>,
}

impl<K: Clone + Eq + Hash + Display> SharedRate<K> {
    /// `per_second` of each key, and bursts of `burst` times as many; `None` is no limit. `rates` are shared with the
    /// other nodes, if there are any.
    pub(crate) fn new(
        label: &'static str,
        per_second: Option<NonZeroU32>,
        burst: NonZeroU32,
        rates: Option<&Arc<dyn Rates>>,
    ) -> Self {
        let own = RateLimit::new(label, per_second, burst);
        let others = rates.zip(own.rate()).map(|(rates, rate)| {
            let (rates, silent_until) = (rates.clone(), Mutex::default());
            Others { rates, rate, silent_until }
        });
        Self { label, own, others }
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.own.is_limited()
    }

    /// Counts one of `key`.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub(crate) async fn check(&self, key: &K) -> Taken {
        // What this node refuses by itself costs the registry nothing.
        self.own.check(key)?;
        let Some(others) = &self.others else { return Ok(()) };
        let taken = others.take(&format!("{}:{key}", self.label)).await;
        let outcome = match taken {
            Some(Ok(())) => "taken",
            Some(Err(_)) => "refused",
            None => "unavailable",
        };
        metrics::counter!("parlance_shared_limits_total", "limit" => self.label, "outcome" => outcome)
            .increment(1);
        // Otherwise this node's own limit is what counts.
        let taken = taken.unwrap_or(Ok(()));
        taken.inspect_err(|_| count(self.label))
    }

    /// Forgets keys that were not used for a while.
    pub(crate) fn trim(&self) {
        self.own.trim();
    }
}

impl Others {
    /// `None`: the registry does not answer.
    async fn take(&self, key: &str) -> Option<Taken> {
        if self.silent_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let taken = timeout(SHARED_RATE_TIMEOUT, self.rates.take(key, 1, self.rate)).await;
        if let Ok(Ok(taken)) = taken {
            return Some(taken);
        }
        // Callers must not wait for it one after the other.
        *self.silent_until() = Some(Instant::now() + SHARED_RATE_AGAIN);
        None
    }

    fn silent_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.silent_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use parlance_registry::RegistryError;
    use parlance_runtime::rate::Keyed;

    use super::*;

    /// Buckets as in Redis, which answers, fails or hangs.
    struct Shared {
        keyed: Keyed<String>,
        answers: Mutex<Answers>,
        asked: AtomicUsize,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Answers {
        Yes,
        Fails,
        Hangs,
    }

    #[async_trait]
    impl Rates for Shared {
        async fn take(&self, key: &str, permits: u32, _: Rate) -> Result<Taken, RegistryError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answers = *self.answers.lock().unwrap();
            match answers {
                Answers::Yes => Ok((0..permits).try_for_each(|_| self.keyed.take(&key.to_owned()))),
                Answers::Fails => Err(RegistryError::Unavailable),
                Answers::Hangs => std::future::pending().await,
            }
        }
    }

    const ONE: NonZeroU32 = NonZeroU32::MIN;
    const BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

    fn shared() -> Arc<Shared> {
        let keyed = Keyed::new(Rate::per_second(1, BURST.get()));
        Arc::new(Shared { keyed, answers: Mutex::new(Answers::Yes), asked: AtomicUsize::new(0) })
    }

    fn node(shared: &Arc<Shared>) -> SharedRate<String> {
        let rates: Arc<dyn Rates> = shared.clone();
        SharedRate::new("test", Some(ONE), BURST, Some(&rates))
    }

    /// How many of `attempts` are allowed.
    async fn allowed(node: &SharedRate<String>, key: &str, attempts: usize) -> usize {
        let mut allowed = 0;
        for _ in 0..attempts {
            allowed += usize::from(node.check(&key.to_owned()).await.is_ok());
        }
        allowed
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_have_one_burst_together() {
        let shared = shared();
        let (one, other) = (node(&shared), node(&shared));
        assert_eq!((allowed(&one, "alice", 6).await, allowed(&other, "alice", 10).await), (6, 4));
        assert_eq!(allowed(&other, "bob", 20).await, 10);
        assert!(shared.asked.load(Ordering::SeqCst) <= 26, "what a node refuses by itself is not asked");
    }

    #[tokio::test(start_paused = true)]
    async fn without_answers_each_node_limits_by_itself() {
        for failing in [Answers::Fails, Answers::Hangs] {
            let shared = shared();
            let (one, other) = (node(&shared), node(&shared));
            *shared.answers.lock().unwrap() = failing;
            let begun = Instant::now();
            assert_eq!((allowed(&one, "alice", 20).await, allowed(&other, "alice", 20).await), (10, 10));
            assert!(begun.elapsed() <= 2 * SHARED_RATE_TIMEOUT, "one waits once");
            assert_eq!(shared.asked.load(Ordering::SeqCst), 2);
            // And together again, once it answers.
            *shared.answers.lock().unwrap() = Answers::Yes;
            tokio::time::sleep(SHARED_RATE_AGAIN).await;
            assert_eq!((allowed(&one, "bob", 10).await, allowed(&other, "bob", 10).await), (10, 0));
        }
    }
}
