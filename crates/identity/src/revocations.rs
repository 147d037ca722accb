//! Revoked tokens, and the sessions that were opened with them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parlance_core::{Caller, Revocation, RevocationEntry, Timestamp, UserId};
use tokio::time::Instant;

use crate::limits::MAX_REVOCATIONS;
use crate::live::{Live, Revoked, Streams};

/// The revocations known to this node.
#[derive(Default)]
pub struct Revocations {
    streams: Arc<Streams>,
    /// Called for each user whose state has changed, before their sessions end; without one if that may be anybody.
    on_ended: OnceLock<OnEnded>,
}

type OnEnded = Box<dyn Fn(Option<&UserId>) + Send + Sync>;

impl Revocations {
    /// Whether the caller's token was revoked.
    pub fn has(&self, caller: &Caller) -> bool {
        self.streams.revoked().has(caller)
    }

    /// The last revocation of the same token, the same user, or everyone, if there is one.
    pub fn find(&self, revocation: &Revocation) -> Option<Revocation> {
        self.streams.revoked().find(revocation)
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.streams.revoked().len() >= MAX_REVOCATIONS
    }

    /// Applies revocations: the tokens are refused from now on, and everything opened with them ends, at once or when
    /// the entry says. Returns the number of sessions and streams that end.
    pub fn apply(&self, entries: &[RevocationEntry], now: Timestamp) -> usize {
        if entries.is_empty() {
            return 0;
        }
        self.streams.refuse(entries);
        let gone: HashSet<&UserId> = entries.iter().filter_map(|entry| entry.revocation.ended()).collect();
        if let Some(on_ended) = self.on_ended.get() {
            gone.iter().for_each(|user| on_ended(Some(user)));
        }
        let is_gone =
            |caller: &Caller| [&caller.user, caller.subject()].iter().any(|user| gone.contains(user));
        let mut ended = if gone.is_empty() { 0 } else { self.streams.end(None, is_gone) };
        // Only the new ones: what was revoked before, and has time left, keeps it.
        let mut by_end: BTreeMap<Option<u64>, Revoked> = BTreeMap::new();
        for entry in entries {
            match entry.lifts {
                // What is lifted by the time it is read ends nothing.
                true => by_end.values_mut().for_each(|revoked| revoked.add(entry)),
                false => by_end.entry(entry.sessions_until).or_default().add(entry),
            }
        }
        for (until, revoked) in by_end {
            let left =
                until.map(|until| Duration::from_millis(until.saturating_mul(1_000).saturating_sub(now.0)));
            let until = left.filter(|left| !left.is_zero()).map(|left| Instant::now() + left);
            ended += self.streams.end(until, |caller| revoked.has(caller));
        }
        ended
    }

    /// Ends the sessions and streams of a user whose state has changed.
    pub fn end_user(&self, user: &UserId) {
        self.apply(&[Revocation::Ended(user.clone()).into()], Timestamp(0));
    }

    /// Ends all sessions and streams: the state of any user may have changed. Returns their number.
    pub fn end_all(&self) -> usize {
        if let Some(on_ended) = self.on_ended.get() {
            on_ended(None);
        }
        self.streams.end(None, |_| true)
    }

    /// Forgets revocations of tokens that were issued before this second, since these have expired.
    pub fn forget(&self, before: u64) {
        self.streams.forget_refused(before);
    }

    /// Has `on_ended` called for each user whose state has changed, and without one if that may be anybody. Only the
    /// first call has an effect.
    pub fn on_ended(&self, on_ended: impl Fn(Option<&UserId>) + Send + Sync + 'static) {
        let _ = self.on_ended.set(Box::new(on_ended));
    }

    /// Registers a session or stream that ends when the caller's token is revoked.
    pub fn begin(&self, caller: &Caller) -> Live {
        self.streams.begin(caller)
    }

    /// From now on, the session or stream with this number ends when the token of `caller`, who is its user, is
    /// revoked. Returns whether it still lasts.
    pub fn renew(&self, number: u64, caller: &Caller) -> bool {
        self.streams.renew(number, caller)
    }
}
