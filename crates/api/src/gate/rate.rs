use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parlance_runtime::rate::{Keyed, Rate};

use crate::limits::{LONGEST_DEBT, WEIGHED_BYTES};

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

    /// The rate of each key, if there is a limit.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.keyed.as_ref().map(Keyed::rate)
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

    /// Takes as many permits of `key`, all or none. They are given back unless they are spent.
    ///
    /// # Errors
    /// When so many are there.
    pub(crate) fn take(self: &Arc<Self>, key: &K, count: usize) -> Result<Permits<K>, Duration> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let Some(keyed) = &self.keyed else { return Ok(Permits::none()) };
        keyed.take_many(key, count).inspect_err(|_| self::count(self.label))?;
        Ok(Permits { of: Some((self.clone(), key.clone())), count })
    }

    /// Counts what `key` has sent beyond one piece, whether or not that is allowed. Returns when the next one is.
    pub(crate) fn weigh(&self, key: &K, bytes: usize) -> Duration {
        let more = u32::try_from(bytes.saturating_sub(1) / WEIGHED_BYTES).unwrap_or(u32::MAX);
        let Some(keyed) = self.keyed.as_ref().filter(|_| more > 0) else { return Duration::ZERO };
        let wait = keyed.owe(key, more, LONGEST_DEBT);
        if !wait.is_zero() {
            count("bytes");
        }
        wait
    }

    /// Counts `more` of `key`, whether or not that is allowed: the next ones are refused for at most `longest`.
    pub(crate) fn owe(&self, key: &K, more: usize, longest: Duration) {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Some(keyed) = self.keyed.as_ref().filter(|_| more > 0) {
            keyed.owe(key, more, longest);
        }
    }

    /// Whether `key` owes more than is allowed at once.
    ///
    /// # Errors
    /// When it no longer does.
    pub(crate) fn check_debt(&self, key: &K) -> Result<(), Duration> {
        let debt = self.keyed.as_ref().map_or(Duration::ZERO, |keyed| keyed.debt(key));
        if debt.is_zero() {
            return Ok(());
        }
        count(self.label);
        Err(debt)
    }

    fn give_back(&self, key: &K, count: u32) {
        if let Some(keyed) = &self.keyed {
            keyed.give_back(key, count);
        }
    }

    /// Forgets keys that were not used for a while.
    pub(crate) fn trim(&self) {
        if let Some(keyed) = &self.keyed {
            keyed.trim();
        }
    }
}

/// Permits that were taken, and are given back when this is dropped, but those that are spent.
pub(crate) struct Permits<K: Clone + Eq + Hash> {
    of: Option<(Arc<RateLimit<K>>, K)>,
    count: u32,
}

impl<K: Clone + Eq + Hash> Permits<K> {
    /// For who is not limited.
    pub(crate) fn none() -> Self {
        Self { of: None, count: 0 }
    }

    /// Spends all.
    pub(crate) fn spend(mut self) {
        self.count = 0;
    }

    /// Keeps as many of them, and gives the others back.
    pub(crate) fn shrink(&mut self, count: usize) {
        let kept = self.count.min(u32::try_from(count).unwrap_or(u32::MAX));
        let rest = std::mem::replace(&mut self.count, kept) - kept;
        if let Some((limit, key)) = &self.of {
            limit.give_back(key, rest);
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for Permits<K> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Counts what a limit on people has refused.
pub(crate) fn count(limit: &'static str) {
    metrics::counter!("parlance_limited_total", "limit" => limit).increment(1);
}
