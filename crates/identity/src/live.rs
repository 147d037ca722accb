//! Sessions and streams that last as long as the token that they were opened with is not refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use parlance_core::{Caller, Revocation, RevocationEntry, TokenId, UserId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Tokens that are refused.
#[derive(Default)]
pub(crate) struct Revoked {
    /// With the last second in which each was issued, if that is known.
    tokens: HashMap<TokenId, Option<u64>>,
    users: HashMap<UserId, u64>,
    everyone: Option<u64>,
}

impl Revoked {
    pub(crate) fn has(&self, caller: &Caller) -> bool {
        // A token without an issue time counts as issued before any revocation.
        let is_until = |until: u64| caller.issued_at.is_none_or(|issued| issued <= until);
        caller.token.as_ref().is_some_and(|token| self.tokens.contains_key(token.as_ref()))
            || self.users.get(caller.subject()).is_some_and(|until| is_until(*until))
            || self.everyone.is_some_and(is_until)
    }

    /// Adds a revocation, or removes what it lifts.
    pub(crate) fn add(&mut self, entry: &RevocationEntry) {
        if entry.lifts {
            return self.remove(&entry.revocation);
        }
        match &entry.revocation {
            Revocation::Token(token) => drop(self.tokens.insert(token.clone(), entry.issued_until())),
            Revocation::User(user, until) => {
                let known = self.users.entry(user.clone()).or_default();
                *known = (*known).max(*until);
            }
            Revocation::Everyone(until) => self.everyone = self.everyone.max(Some(*until)),
            // Nothing to remember: the user's row says what they may do.
            Revocation::Ended(_) => {}
        }
    }

    fn remove(&mut self, revocation: &Revocation) {
        match revocation {
            Revocation::Token(token) => drop(self.tokens.remove(token)),
            Revocation::User(user, _) => drop(self.users.remove(user)),
            Revocation::Everyone(_) => self.everyone = None,
            Revocation::Ended(_) => {}
        }
    }

    /// The last revocation of the same token, the same user, or everyone.
    pub(crate) fn find(&self, revocation: &Revocation) -> Option<Revocation> {
        match revocation {
            Revocation::Token(token) => self.tokens.contains_key(token).then(|| revocation.clone()),
            Revocation::User(user, _) => Some(Revocation::User(user.clone(), *self.users.get(user)?)),
            Revocation::Everyone(_) => self.everyone.map(Revocation::Everyone),
            Revocation::Ended(_) => None,
        }
    }

    /// Forgets tokens that were issued before this second.
    pub(crate) fn forget(&mut self, before: u64) {
        self.tokens.retain(|_, issued| issued.is_none_or(|issued| issued >= before));
        self.users.retain(|_, issued| *issued >= before);
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len() + self.users.len()
    }
}

/// The refused tokens, and what was opened before.
#[derive(Default)]
pub(crate) struct Streams {
    revoked: RwLock<Revoked>,
    live: Mutex<HashMap<UserId, Vec<Begun>>>,
    /// Streams begun so far. Their numbers are never reused, since one may be dropped long after it was revoked.
    begun: AtomicU64,
}

impl Streams {
    pub(crate) fn revoked(&self) -> RwLockReadGuard<'_, Revoked> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses these tokens from now on.
    pub(crate) fn refuse(&self, entries: &[RevocationEntry]) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        entries.iter().for_each(|entry| revoked.add(entry));
    }

    /// Forgets refused tokens that were issued before this second.
    pub(crate) fn forget_refused(&self, before: u64) {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).forget(before);
    }

    /// Ends what was opened by such callers, at `until` or now. Returns how much that is.
    pub(crate) fn end(&self, until: Option<Instant>, is_over: impl Fn(&Caller) -> bool) -> usize {
        let mut ended = 0;
        self.live().retain(|_, begun| {
            let (over, goes_on): (Vec<_>, Vec<_>) =
                std::mem::take(begun).into_iter().partition(|begun| is_over(&begun.caller));
            *begun = goes_on;
            for over in over {
                let (is_told, lasts) = over.end(until);
                ended += usize::from(is_told);
                begun.extend(lasts);
            }
            !begun.is_empty()
        });
        ended
    }

    /// Registers a session or stream that ends when the caller's token is revoked.
    pub(crate) fn begin(self: &Arc<Self>, caller: &Caller) -> Live {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let (begun, live) = Live::new(self.clone(), caller, number);
        self.live().entry(caller.subject().clone()).or_default().push(begun);
        // The token may have been revoked since it was verified.
        if self.revoked().has(caller) {
            self.forget(caller.subject(), number);
        }
        live
    }

    /// From now on, the session or stream with this number ends when the token of `caller`, who is its user, is
    /// revoked. Returns whether it still lasts.
    pub(crate) fn renew(&self, number: u64, caller: &Caller) -> bool {
        let mut live = self.live();
        let of_user = live.get_mut(caller.subject()).into_iter().flatten();
        let Some(begun) = of_user.into_iter().find(|begun| begun.number == number) else { return false };
        (begun.caller, begun.is_renewed) = (caller.clone(), true);
        drop(live);
        // The token may have been revoked since it was verified.
        let is_revoked = self.revoked().has(caller);
        if is_revoked {
            self.forget(caller.subject(), number);
        }
        !is_revoked
    }

    /// Whether a session or stream has a token that is not revoked.
    fn is_valid(&self, user: &UserId, number: u64) -> bool {
        let live = self.live();
        let begun = live.get(user).into_iter().flatten().find(|begun| begun.number == number);
        let Some(caller) = begun.map(|begun| begun.caller.clone()) else { return false };
        drop(live);
        !self.revoked().has(&caller)
    }

    /// Ends what it has not ended before.
    fn forget(&self, user: &UserId, number: u64) {
        let mut live = self.live();
        if let Some(begun) = live.get_mut(user) {
            begun.retain(|begun| begun.number != number);
            if begun.is_empty() {
                live.remove(user);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.live().is_empty()
    }

    fn live(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Begun>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens to a session or stream whose token is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ends after this time, unless it has another token by then.
    After(Duration),
    /// It ends now.
    Now,
}

/// What it is told, and where it is told more. Boxed: every stream has room for it, and few ever need it.
enum End {
    At(Box<Grace>),
    Now,
}

struct Grace {
    until: Instant,
    /// Whether it got another token since the last one that was revoked, whose time no longer counts.
    is_renewed: bool,
    next: oneshot::Receiver<End>,
}

/// A session or stream, as its node sees it.
struct Begun {
    number: u64,
    caller: Caller,
    /// Whether it got another token since it was told of an end.
    is_renewed: bool,
    end: oneshot::Sender<End>,
}

impl Begun {
    /// Ends it at `until`, or now. Returns whether it learns of it, and itself if it lasts.
    fn end(self, until: Option<Instant>) -> (bool, Option<Self>) {
        let Some(until) = until else { return (self.end.send(End::Now).is_ok(), None) };
        let (end, next) = oneshot::channel();
        let grace = Grace { until, is_renewed: self.is_renewed, next };
        match self.end.send(End::At(Box::new(grace))) {
            Ok(()) => (true, Some(Self { end, is_renewed: false, ..self })),
            Err(_) => (false, None),
        }
    }
}

/// The end of a session or stream by the revocation of its token.
pub struct Live {
    streams: Arc<Streams>,
    user: UserId,
    number: u64,
    end: oneshot::Receiver<End>,
    /// When it ends, unless it has another token.
    until: Option<Instant>,
}

impl Live {
    fn new(streams: Arc<Streams>, caller: &Caller, number: u64) -> (Begun, Self) {
        let (sender, end) = oneshot::channel();
        let begun = Begun { number, caller: caller.clone(), is_renewed: false, end: sender };
        (begun, Self { streams, user: caller.subject().clone(), number, end, until: None })
    }

    /// Waits until the token is revoked, and then until the stream ends for it. Cancel-safe.
    pub async fn ending(&mut self) -> Ending {
        loop {
            let told = match self.until {
                None => (&mut self.end).await,
                // Boxed: few streams ever need a timer.
                Some(until) => match Box::pin(timeout_at(until, &mut self.end)).await {
                    Ok(told) => told,
                    Err(_) if self.streams.is_valid(&self.user, self.number) => {
                        self.until = None;
                        continue;
                    }
                    Err(_) => return Ending::Now,
                },
            };
            match told {
                Ok(End::At(told)) => {
                    let Grace { until, is_renewed, next } = *told;
                    let known = self.until.filter(|_| !is_renewed);
                    let until = known.map_or(until, |known| known.min(until));
                    (self.end, self.until) = (next, Some(until));
                    return Ending::After(until.saturating_duration_since(Instant::now()));
                }
                // The sender was dropped: the token counts as revoked, too.
                Ok(End::Now) | Err(_) => return Ending::Now,
            }
        }
    }

    /// Waits until it ends because the token was revoked. Cancel-safe.
    pub async fn revoked(&mut self) {
        while self.ending().await != Ending::Now {}
    }

    /// Its number, for [`crate::Revocations::renew`].
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.streams.forget(&self.user, self.number);
    }
}
