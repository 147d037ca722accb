//! Revoked tokens, and the sessions that were opened with them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use parlance_core::{Caller, Revocation, TokenId, UserId};
use tokio::sync::oneshot;

use crate::limits::MAX_REVOCATIONS;

/// The revocations known to this node.
#[derive(Default)]
pub struct Revocations {
    revoked: RwLock<Revoked>,
    live: Mutex<HashMap<UserId, Vec<Begun>>>,
    /// Streams begun so far. Their numbers are never reused, since one may be dropped long after it was revoked.
    begun: AtomicU64,
    /// Called for each user whose state has changed, before their sessions end.
    on_ended: OnceLock<OnEnded>,
}

type OnEnded = Box<dyn Fn(&UserId) + Send + Sync>;

#[derive(Default)]
struct Revoked {
    tokens: HashSet<TokenId>,
    users: HashMap<UserId, u64>,
    everyone: Option<u64>,
}

/// A session or stream that lasts as long as its token is valid.
struct Begun {
    number: u64,
    caller: Caller,
    end: oneshot::Sender<()>,
}

/// Resolves once the token of a session or stream is revoked.
pub struct Live {
    revocations: Arc<Revocations>,
    user: UserId,
    number: u64,
    revoked: oneshot::Receiver<()>,
}

impl Revoked {
    fn has(&self, caller: &Caller) -> bool {
        // A token without an issue time counts as issued before any revocation.
        let is_until = |until: u64| caller.issued_at.is_none_or(|issued| issued <= until);
        caller.token.as_ref().is_some_and(|token| self.tokens.contains(token.as_ref()))
            || self.users.get(caller.subject()).is_some_and(|until| is_until(*until))
            || self.everyone.is_some_and(is_until)
    }

    fn add(&mut self, revocation: &Revocation) {
        match revocation {
            Revocation::Token(token) => drop(self.tokens.insert(token.clone())),
            Revocation::User(user, until) => {
                let known = self.users.entry(user.clone()).or_default();
                *known = (*known).max(*until);
            }
            Revocation::Everyone(until) => self.everyone = self.everyone.max(Some(*until)),
            // Nothing to remember: the user's row says what they may do.
            Revocation::Ended(_) => {}
        }
    }

    fn len(&self) -> usize {
        self.tokens.len() + self.users.len()
    }
}

impl Revocations {
    /// Whether the caller's token was revoked.
    pub fn has(&self, caller: &Caller) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).has(caller)
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).len() >= MAX_REVOCATIONS
    }

    /// Applies revocations: the tokens are refused from now on, and everything opened with them ends. Returns
    /// the number of sessions and streams ended.
    pub fn apply(&self, revocations: &[Revocation]) -> usize {
        if revocations.is_empty() {
            return 0;
        }
        {
            let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
            revocations.iter().for_each(|revocation| revoked.add(revocation));
        }
        let gone: HashSet<&UserId> = revocations.iter().filter_map(Revocation::ended).collect();
        if let Some(on_ended) = self.on_ended.get() {
            gone.iter().for_each(|user| on_ended(user));
        }
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let is_over = |caller: &Caller| {
            revoked.has(caller) || [&caller.user, caller.subject()].iter().any(|user| gone.contains(user))
        };
        let mut ended = 0;
        self.live().retain(|_, begun| {
            let (over, goes_on): (Vec<_>, Vec<_>) =
                std::mem::take(begun).into_iter().partition(|begun| is_over(&begun.caller));
            *begun = goes_on;
            ended += over.into_iter().filter_map(|over| over.end.send(()).ok()).count();
            !begun.is_empty()
        });
        ended
    }

    /// Has `on_ended` called for each user whose state has changed. Only the first call has an effect.
    pub fn on_ended(&self, on_ended: impl Fn(&UserId) + Send + Sync + 'static) {
        let _ = self.on_ended.set(Box::new(on_ended));
    }

    /// Registers a session or stream that ends when the caller's token is revoked.
    pub fn begin(self: &Arc<Self>, caller: &Caller) -> Live {
        let (end, revoked) = oneshot::channel();
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let begun = Begun { number, caller: caller.clone(), end };
        self.live().entry(caller.subject().clone()).or_default().push(begun);
        let live = Live { revocations: self.clone(), user: caller.subject().clone(), number, revoked };
        // The token may have been revoked since it was verified.
        if self.has(caller) {
            live.forget();
        }
        live
    }

    /// From now on, the session or stream with this number ends when the token of `caller`, who is its user, is
    /// revoked. Returns whether it still lasts.
    pub fn renew(&self, number: u64, caller: &Caller) -> bool {
        let mut live = self.live();
        let of_user = live.get_mut(caller.subject()).into_iter().flatten();
        let Some(begun) = of_user.into_iter().find(|begun| begun.number == number) else { return false };
        begun.caller = caller.clone();
        drop(live);
        // The token may have been revoked since it was verified.
        let is_revoked = self.has(caller);
        if is_revoked {
            self.forget(caller.subject(), number);
        }
        !is_revoked
    }

    fn forget(&self, user: &UserId, number: u64) {
        let mut live = self.live();
        if let Some(begun) = live.get_mut(user) {
            begun.retain(|begun| begun.number != number);
            if begun.is_empty() {
                live.remove(user);
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Begun>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Waits until the token is revoked. Cancel-safe.
    pub async fn revoked(&mut self) {
        // The sender was dropped: the token counts as revoked, too.
        let _ = (&mut self.revoked).await;
    }

    /// Its number, for [`Revocations::renew`].
    pub fn number(&self) -> u64 {
        self.number
    }

    fn forget(&self) {
        self.revocations.forget(&self.user, self.number);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn caller(user: &str, token: Option<&str>, issued_at: Option<u64>) -> Caller {
        Caller {
            user: UserId::parse(user).unwrap(),
            is_service: false,
            is_admin: false,
            service: None,
            client: None,
            expires_at: u64::MAX,
            token: token.map(|id| Arc::new(TokenId::parse(id).unwrap())),
            issued_at,
        }
    }

    #[test]
    fn tokens_users_and_times_are_revoked() {
        let revocations = Revocations::default();
        let alice = UserId::parse("alice").unwrap();
        revocations.apply(&[Revocation::Token(TokenId::parse("t1").unwrap()), Revocation::User(alice, 100)]);
        for (user, token, issued_at, expected) in [
            ("bob", Some("t1"), Some(500), true),
            ("bob", Some("t2"), Some(50), false),
            ("bob", None, None, false),
            ("alice", Some("t2"), Some(100), true),
            ("alice", None, Some(101), false),
            ("alice", None, None, true),
        ] {
            let caller = caller(user, token, issued_at);
            assert_eq!(revocations.has(&caller), expected, "{caller:?}");
        }
        revocations.apply(&[Revocation::Everyone(60), Revocation::Everyone(40)]);
        assert!(revocations.has(&caller("bob", None, Some(60))));
        assert!(revocations.has(&caller("bob", None, None)));
        assert!(!revocations.has(&caller("bob", None, Some(61))));
    }

    /// Revoking a user's tokens affects the user's own tokens, not those of services that act as the user.
    #[tokio::test]
    async fn streams_on_behalf_of_a_user_end_with_the_tokens_of_the_service() {
        let revocations = Arc::new(Revocations::default());
        let as_bob = caller("backend", None, Some(100)).acting_as(UserId::parse("bob").unwrap());
        let mut live = revocations.begin(&as_bob);
        let of = |user: &str| [Revocation::User(UserId::parse(user).unwrap(), 150)];
        assert_eq!(revocations.apply(&of("bob")), 0);
        assert!(!revocations.has(&as_bob));
        assert_eq!(revocations.apply(&of("backend")), 1);
        live.revoked().await;
        assert!(revocations.has(&as_bob));
        drop(live);
        assert!(revocations.live().is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn streams_of_a_user_whose_state_has_changed_end_and_no_token_is_revoked() {
        let revocations = Arc::new(Revocations::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        revocations.on_ended(move |user| heard.lock().unwrap().push(user.to_string()));
        let (alice, backend) = (caller("alice", None, Some(100)), caller("backend", None, Some(100)));
        let as_alice = backend.clone().acting_as(alice.user.clone());
        let (mut own, mut by_app, app) =
            (revocations.begin(&alice), revocations.begin(&as_alice), revocations.begin(&backend));
        assert_eq!(revocations.apply(&[Revocation::Ended(alice.user.clone())]), 2);
        own.revoked().await;
        by_app.revoked().await;
        assert_eq!(*told.lock().unwrap(), ["alice"]);
        assert!(!revocations.has(&alice) && !revocations.has(&as_alice));
        drop((own, by_app, app));
        assert!(revocations.live().is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn only_streams_of_a_revoked_token_end() {
        let revocations = Arc::new(Revocations::default());
        let mut old = revocations.begin(&caller("alice", None, Some(100)));
        let mut new = revocations.begin(&caller("alice", None, Some(200)));
        let gone = revocations.begin(&caller("alice", None, Some(100)));
        drop(gone);
        assert_eq!(revocations.apply(&[Revocation::User(UserId::parse("alice").unwrap(), 150)]), 1);
        old.revoked().await;
        let is_over = poll_fn(|cx| Poll::Ready(std::pin::pin!(new.revoked()).poll(cx).is_ready())).await;
        assert!(!is_over);
        // Verified before the revocation, begun after it.
        revocations.begin(&caller("alice", None, Some(1))).revoked().await;
        drop((old, new));
        assert!(revocations.live().is_empty(), "nothing is left behind");
    }

    fn is_revoked(live: &mut Live) -> bool {
        std::pin::pin!(live.revoked()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_revoked_stream_that_is_dropped_late_does_not_end_a_newer_one() {
        let revocations = Arc::new(Revocations::default());
        let old = revocations.begin(&caller("alice", None, Some(100)));
        revocations.apply(&[Revocation::User(UserId::parse("alice").unwrap(), 150)]);
        let mut newer = revocations.begin(&caller("alice", None, Some(200)));
        drop(old);
        assert!(!is_revoked(&mut newer));
    }

    #[test]
    fn a_renewed_stream_ends_with_its_new_token_alone() {
        let revocations = Arc::new(Revocations::default());
        let revoke = |id: &str| revocations.apply(&[Revocation::Token(TokenId::parse(id).unwrap())]);
        let mut live = revocations.begin(&caller("alice", Some("old"), None));
        assert!(revocations.renew(live.number(), &caller("alice", Some("new"), None)));
        assert_eq!((revoke("old"), is_revoked(&mut live)), (0, false));
        assert_eq!((revoke("new"), is_revoked(&mut live)), (1, true));
        assert!(!revocations.renew(live.number(), &caller("alice", Some("newer"), None)), "it has ended");
        let mut live = revocations.begin(&caller("alice", Some("newer"), None));
        assert!(
            !revocations.renew(live.number(), &caller("alice", Some("old"), None)),
            "that one is revoked"
        );
        assert!(is_revoked(&mut live));
    }
}
