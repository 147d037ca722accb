//! Deletions wait until nothing that a user has begun before is carried out any more: rooms that they create or join
//! later would be missed.

use std::time::Duration;

use parlance_core::limits::CLOCK_SKEW;
use parlance_store::User;
use tokio::time::{sleep, timeout};

use super::parse;
use crate::limits::{COMMIT_TIME, OPERATION_TIMEOUT, WALK_TIME};
use crate::{Api, Error};

/// The page token of a call that still waits, with the milliseconds that are left.
const WAITING: &str = "waiting-";

/// Whether a page token is that of a call that still waits.
pub(super) fn is_waiting(page_token: &str) -> bool {
    page_token.starts_with(WAITING)
}

impl Api {
    /// Waits for [`WALK_TIME`] at most, at the beginning of a deletion. Returns the page token of the call that has to wait
    /// on.
    ///
    /// Calls on this node are waited for: none lasts longer than an operation may, even if the store hangs. Those on other
    /// nodes end within that time after these nodes have read that the user was deleted.
    pub(crate) async fn settle(&self, user: &User, page_token: &str) -> Result<Option<String>, Error> {
        let most = self.time_of_others();
        let rest = match page_token.strip_prefix(WAITING) {
            Some(rest) => {
                let rest = parse::page_token(rest, |rest| rest.parse::<u64>().map_err(drop))?;
                Duration::from_millis(rest.unwrap_or_default()).min(most)
            }
            // Another node, whose clock differs, may have deleted the user.
            None if self.passed_since(user) < most + Duration::from_secs(CLOCK_SKEW) => most,
            None => Duration::ZERO,
        };
        let part = rest.min(WALK_TIME);
        let (own, ()) =
            tokio::join!(timeout(WALK_TIME, self.accounts().ongoing().wait_for(&user.id)), sleep(part));
        let rest = rest.saturating_sub(part);
        Ok((own.is_err() || !rest.is_zero()).then(|| format!("{WAITING}{}", rest.as_millis())))
    }

    fn time_of_others(&self) -> Duration {
        let longest = self.parts.end_sessions.as_ref().map_or(Duration::ZERO, |others| others.longest());
        if longest.is_zero() { longest } else { longest + OPERATION_TIMEOUT + COMMIT_TIME }
    }

    fn passed_since(&self, user: &User) -> Duration {
        Duration::from_millis(self.clock().now().0.saturating_sub(user.updated_at.0))
    }
}
