use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use parlance_runtime::rate::{Keyed, Rate};

/// A limit on the rate of each key, counted in the metrics; or none.
pub(crate) struct RateLimit<K> {
    /// In the metrics.
    label: &'static str,
    keyed: Option<Keyed<K>>,
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    /// `per_second` of each key, and bursts of `burst` times as many; `None` is no limit.
    pub(crate) fn new(label: &'static str, per_second: Option<NonZeroU32>, burst: NonZeroU32) -> Self {
        let rate = |permits: NonZeroU32| Rate::per_second(permits.get(), permits.saturating_mul(burst).get());
        Self { label, keyed: per_second.map(|permits| Keyed::new(rate(permits))) }
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.keyed.is_some()
    }

    /// Counts one of `key`.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        let Some(keyed) = &self.keyed else { return Ok(()) };
        keyed.take(key).inspect_err(|_| count(self.label))
    }

    /// Forgets keys that were not used for a while.
    pub(crate) fn trim(&self) {
        if let Some(keyed) = &self.keyed {
            keyed.trim();
        }
    }
}

/// Counts what a limit on people has refused.
pub(crate) fn count(limit: &'static str) {
    metrics::counter!("parlance_limited_total", "limit" => limit).increment(1);
}
