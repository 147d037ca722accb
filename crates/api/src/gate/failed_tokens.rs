use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parlance_peers::counted_as;
use parlance_registry::Rates;
use parlance_runtime::map::Map;
use tokio::time::Instant;

use super::rate::count;
use super::shared_rate::SharedRate;
use crate::limits::{FAILED_TOKENS_BURST, FAILED_TOKENS_PAUSE};

/// Addresses from which too many tokens came that are not valid. Verifying one costs up to 0.1 ms: for a while, no
/// token from there is looked at. The rate is shared; each node pauses for itself, with the next bad one.
pub(crate) struct FailedTokens {
    rate: SharedRate<IpAddr>,
    paused: Map<IpAddr, Instant>,
}

impl FailedTokens {
    pub(crate) fn new(per_second: Option<NonZeroU32>, rates: Option<&Arc<dyn Rates>>) -> Self {
        Self {
            rate: SharedRate::new("failed_tokens", per_second, FAILED_TOKENS_BURST, rates),
            paused: Map::default(),
        }
    }

    /// Whether tokens from `address` are looked at.
    ///
    /// # Errors
    /// When they are again.
    pub(crate) fn check(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        // Usually there are none.
        if self.paused.is_empty() {
            return Ok(());
        }
        let Some(until) = address.and_then(|address| Some(*self.paused.get(&counted_as(address))?)) else {
            return Ok(());
        };
        let remaining = until.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Ok(());
        }
        count("failed_tokens");
        Err(remaining)
    }

    /// Counts a token from `address` that is not valid.
    pub(crate) async fn failed(&self, address: Option<IpAddr>) {
        let Some(address) = address.map(counted_as) else { return };
        if let Err(wait) = self.rate.check(&address).await {
            self.paused.insert(address, Instant::now() + wait.max(FAILED_TOKENS_PAUSE));
        }
    }

    pub(crate) fn trim(&self) {
        self.rate.trim();
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn address_over_failure_rate_is_blocked_briefly() {
        let tokens = FailedTokens::new(NonZeroU32::new(1), None);
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        for _ in 0..FAILED_TOKENS_BURST.get() {
            tokens.failed(one).await;
            assert_eq!(tokens.check(one), Ok(()));
        }
        tokens.failed(one).await;
        assert!(tokens.check(one).is_err_and(|wait| wait >= FAILED_TOKENS_PAUSE));
        assert_eq!((tokens.check(other), tokens.check(None)), (Ok(()), Ok(())));
        tokio::time::sleep(FAILED_TOKENS_PAUSE * 2).await;
        assert_eq!(tokens.check(one), Ok(()));
        tokens.trim();
        assert!(tokens.paused.is_empty());
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted() {
        let tokens = FailedTokens::new(None, None);
        let one = "192.0.2.1".parse().ok();
        for _ in 0..10_000 {
            tokens.failed(one).await;
        }
        assert_eq!(tokens.check(one), Ok(()));
    }
}
