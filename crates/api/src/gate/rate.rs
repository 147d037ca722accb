use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// A rate for each key, with bursts; or none.
pub(crate) struct Rate<K: Clone + Eq + Hash> {
    /// In the metrics.
    label: &'static str,
    limiter: Option<DefaultKeyedRateLimiter<K>>,
}

impl<K: Clone + Eq + Hash> Rate<K> {
    /// `per_second` of each key, and bursts of `burst` times as many; `None` is no limit.
    pub(crate) fn new(label: &'static str, per_second: Option<NonZeroU32>, burst: NonZeroU32) -> Self {
        let quota = |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(burst));
        Self { label, limiter: per_second.map(|rate| RateLimiter::keyed(quota(rate))) }
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.limiter.is_some()
    }

    /// Counts one of `key`.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_until| {
            count(self.label);
            not_until.wait_time_from(DefaultClock::default().now())
        })
    }

    /// Forgets keys that were not used for a while.
    pub(crate) fn trim(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

/// Counts what a limit on people has refused.
pub(crate) fn count(limit: &'static str) {
    metrics::counter!("parlance_limited_total", "limit" => limit).increment(1);
}
