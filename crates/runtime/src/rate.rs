//! Rates with bursts: one algorithm for everything that is limited by time.

use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::map::Map;

/// One permit per interval, and several at once after a pause.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    each: Duration,
    /// How far ahead of an even spacing permits may be taken.
    ahead: Duration,
}

impl Rate {
    /// One permit per `each`, and up to `burst` at once.
    pub const fn every(each: Duration, burst: u32) -> Self {
        Self { each, ahead: each.saturating_mul(burst.saturating_sub(1)) }
    }

    /// `permits` per second, at least one, and up to `burst` at once.
    pub const fn per_second(permits: u32, burst: u32) -> Self {
        let permits = if permits == 0 { 1 } else { permits };
        Self::every(Duration::from_nanos(1_000_000_000 / permits as u64), burst)
    }

    /// The interval of permits.
    pub const fn interval(&self) -> Duration {
        self.each
    }

    /// How far ahead of an even spacing permits may be taken.
    pub const fn ahead(&self) -> Duration {
        self.ahead
    }
}

/// The used part of a [`Rate`].
///
/// Holds a single point in time (the generic cell rate algorithm), so it needs no timer and little memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When the whole burst is available again; `None` if nothing was taken yet.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes a permit of `rate` if one is available at `now`.
    ///
    /// # Errors
    /// The time until one is.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.take_many(rate, 1, now)
    }

    /// Takes as many permits of `rate` if all are available at `now`; more than a burst once that is.
    ///
    /// # Errors
    /// The time until they are.
    pub fn take_many(&mut self, rate: Rate, count: u32, now: Instant) -> Result<(), Duration> {
        if count == 0 {
            return Ok(());
        }
        let ahead = rate.ahead.saturating_sub(rate.each.saturating_mul(count - 1));
        let wait = self.wait(Rate { ahead, ..rate }, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.spend(Rate { each: rate.each.saturating_mul(count), ..rate }, now);
        Ok(())
    }

    /// Takes permits of `rate` whether or not they are available at `now`, but never more than come within `most`. Returns
    /// the time until the next one is.
    pub fn owe(&mut self, rate: Rate, count: u32, most: Duration, now: Instant) -> Duration {
        // No more than that is added, so that no time is too far away.
        let (more, latest) = (rate.each.saturating_mul(count), now + rate.ahead + most);
        self.spend(Rate { each: more.min(rate.ahead + most), ..rate }, now);
        self.full_at = self.full_at.map(|at| at.min(latest));
        self.wait(rate, now)
    }

    /// How far more was [owed](Self::owe) than the whole burst.
    pub fn debt(&self, rate: Rate, now: Instant) -> Duration {
        // Whoever has taken the last permit of the burst waits for the next one, too.
        self.wait(rate, now).saturating_sub(rate.each)
    }

    /// Gives permits of `rate` back that were taken for nothing.
    pub fn give_back(&mut self, rate: Rate, count: u32) {
        self.full_at = self.full_at.and_then(|at| at.checked_sub(rate.each.saturating_mul(count)));
    }

    /// Takes the next permit, and returns the time until it is due.
    pub fn reserve(&mut self, rate: Rate, now: Instant) -> Duration {
        let wait = self.wait(rate, now);
        self.spend(rate, now);
        wait
    }

    /// Whether the whole burst is available at `now`, as if nothing was ever taken.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        let until_full = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        until_full.saturating_sub(rate.ahead)
    }

    fn spend(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + rate.each);
    }
}

/// A [`Rate`] that tasks share.
#[derive(Debug)]
pub struct Shared {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Shared {
    /// Starts with the whole burst.
    pub fn new(rate: Rate) -> Self {
        Self { rate, bucket: Mutex::default() }
    }

    /// Waits for a permit. Permits are given in the order of the calls.
    pub async fn take(&self) {
        let now = Instant::now();
        let wait = self.bucket().reserve(self.rate, now);
        if !wait.is_zero() {
            sleep_until(now + wait).await;
        }
    }

    /// Takes a permit if one is available now.
    pub fn try_take(&self) -> bool {
        self.bucket().take(self.rate, Instant::now()).is_ok()
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Rate`] for each key.
pub struct Keyed<K> {
    rate: Rate,
    buckets: Map<K, Bucket>,
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash> Keyed<K> {
    /// Starts with the whole burst for each key.
    pub fn new(rate: Rate) -> Self {
        Self { rate, buckets: Map::default() }
    }

    /// The rate of each key.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a permit of `key` if one is available now.
    ///
    /// # Errors
    /// The time until one is.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        self.take_many(key, 1)
    }

    /// Takes as many permits of `key` if all are available now.
    ///
    /// # Errors
    /// The time until they are.
    pub fn take_many(&self, key: &K, count: u32) -> Result<(), Duration> {
        let now = Instant::now();
        if let Some(mut bucket) = self.buckets.get_mut(key) {
            return bucket.take_many(self.rate, count, now);
        }
        self.buckets.entry(key.clone()).or_default().take_many(self.rate, count, now)
    }

    /// Takes permits of `key` whether or not they are available now, but never more than come within `most`. Returns the
    /// time until the next one is.
    pub fn owe(&self, key: &K, count: u32, most: Duration) -> Duration {
        let now = Instant::now();
        self.buckets.entry(key.clone()).or_default().owe(self.rate, count, most, now)
    }

    /// How far more was [owed](Self::owe) by `key` than the whole burst.
    pub fn debt(&self, key: &K) -> Duration {
        let bucket = self.buckets.get(key);
        bucket.map_or(Duration::ZERO, |bucket| bucket.debt(self.rate, Instant::now()))
    }

    /// Gives permits of `key` back that were taken for nothing.
    pub fn give_back(&self, key: &K, count: u32) {
        if let Some(mut bucket) = self.buckets.get_mut(key) {
            bucket.give_back(self.rate, count);
        }
    }

    /// Forgets keys whose whole burst is available.
    pub fn trim(&self) {
        let now = Instant::now();
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(bucket: &mut Bucket, rate: Rate, now: Instant) -> usize {
        std::iter::from_fn(|| bucket.take(rate, now).ok()).count()
    }

    #[test]
    fn time_refills_up_to_the_burst() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs_f64(seconds);
        let rate = Rate::every(Duration::from_secs(1), 20);
        let mut bucket = Bucket::default();
        assert_eq!(take_all(&mut bucket, rate, start), 20);
        assert_eq!(bucket.take(rate, after(0.25)), Err(Duration::from_millis(750)));
        assert_eq!(take_all(&mut bucket, rate, after(0.9)), 0);
        assert_eq!(take_all(&mut bucket, rate, after(3.5)), 3);
        assert_eq!(take_all(&mut bucket, rate, after(4.0)), 1);
        assert!(!bucket.is_full(after(23.5)));
        assert!(bucket.is_full(after(24.0)));
        assert_eq!(take_all(&mut bucket, rate, after(1e6)), 20);
    }

    #[test]
    fn several_permits_are_taken_all_or_none() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let rate = Rate::every(Duration::from_secs(1), 20);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(rate, 15, start), Ok(()));
        assert_eq!(bucket.take_many(rate, 10, start), Err(Duration::from_secs(5)));
        assert_eq!(bucket.take_many(rate, 0, start), Ok(()));
        assert_eq!(bucket.take_many(rate, 10, after(5)), Ok(()), "nothing was taken for the attempt");
        assert_eq!(bucket.take(rate, after(5)), Err(Duration::from_secs(1)));
        bucket.give_back(rate, 10);
        assert_eq!(bucket.take_many(rate, 10, after(5)), Ok(()));
        // More than ever are there at once.
        assert_eq!(bucket.take_many(rate, 30, after(10)), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take_many(rate, 30, after(25)), Ok(()));
        assert_eq!(bucket.take(rate, after(25)), Err(Duration::from_secs(11)));
        bucket.give_back(rate, 1_000_000);
        assert!(bucket.is_full(start));
    }

    #[test]
    fn permits_that_are_owed_come_first() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let (rate, most) = (Rate::every(seconds(1), 20), seconds(10));
        let mut bucket = Bucket::default();
        assert_eq!(bucket.owe(rate, 19, most, start), Duration::ZERO);
        assert_eq!(bucket.owe(rate, 0, most, start), Duration::ZERO);
        let mut used_up = bucket;
        assert_eq!(used_up.take(rate, start), Ok(()));
        assert_eq!((used_up.take(rate, start), used_up.debt(rate, start)), (Err(seconds(1)), Duration::ZERO));
        assert_eq!(bucket.owe(rate, 5, most, start), seconds(5));
        assert_eq!(
            [0, 3, 5].map(|at| bucket.debt(rate, start + seconds(at))),
            [seconds(4), seconds(1), seconds(0)]
        );
        assert_eq!(bucket.take(rate, start), Err(seconds(5)));
        assert_eq!(bucket.take(rate, start + seconds(5)), Ok(()));
        assert_eq!(bucket.owe(rate, 1_000, most, start + seconds(5)), most);
        assert_eq!(bucket.owe(rate, u32::MAX, most, start + seconds(6)), most);
    }

    #[test]
    fn without_a_burst_permits_are_single() {
        let now = Instant::now();
        for burst in [0, 1] {
            let rate = Rate::per_second(10, burst);
            assert_eq!(take_all(&mut Bucket::default(), rate, now), 1);
        }
    }

    #[test]
    fn no_rate_is_too_large_or_too_small() {
        let now = Instant::now();
        for permits in [0, 1, u32::MAX] {
            let rate = Rate::per_second(permits, u32::MAX);
            let mut bucket = Bucket::default();
            for _ in 0..1_000 {
                assert_eq!(bucket.take(rate, now), Ok(()));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn burst_is_free_then_permits_are_evenly_spaced() {
        let shared = Shared::new(Rate::per_second(100, 6));
        let start = Instant::now();
        for _ in 0..6 {
            shared.take().await;
        }
        assert!(start.elapsed() < Duration::from_millis(2), "{:?}", start.elapsed());
        assert!(!shared.try_take());
        for _ in 0..10 {
            shared.take().await;
        }
        let took = start.elapsed();
        assert!((95..=105).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_rate_and_idle_keys_are_forgotten() {
        let keyed = Keyed::new(Rate::per_second(1, 2));
        assert_eq!([keyed.take(&"a"), keyed.take(&"a")], [Ok(()), Ok(())]);
        assert_eq!(keyed.take(&"a"), Err(Duration::from_secs(1)));
        assert_eq!(keyed.take(&"b"), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        keyed.trim();
        assert_eq!(keyed.buckets.iter().map(|entry| *entry.key()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(keyed.take(&"a"), Ok(()));
        assert!(keyed.take(&"a").is_err());
    }
}
