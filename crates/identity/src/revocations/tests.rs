use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use parlance_core::TokenId;
use tokio::time::timeout;

use super::*;
use crate::live::Ending;

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
        profile: None,
    }
}

const NOW: Timestamp = Timestamp(1_000_000);

/// Revokes these without a grace.
fn apply<const N: usize>(revocations: &Revocations, revoked: [Revocation; N]) -> usize {
    revocations.apply(&revoked.map(RevocationEntry::from), NOW)
}

#[test]
fn tokens_users_and_times_are_revoked() {
    let revocations = Revocations::default();
    let alice = UserId::parse("alice").unwrap();
    apply(&revocations, [Revocation::Token(TokenId::parse("t1").unwrap()), Revocation::User(alice, 100)]);
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
    apply(&revocations, [Revocation::Everyone(60), Revocation::Everyone(40)]);
    assert!(revocations.has(&caller("bob", None, Some(60))));
    assert!(revocations.has(&caller("bob", None, None)));
    assert!(!revocations.has(&caller("bob", None, Some(61))));
}

#[test]
fn what_is_lifted_is_accepted_again() {
    let revocations = Revocations::default();
    let (alice, bob) = (UserId::parse("alice").unwrap(), UserId::parse("bob").unwrap());
    let token = Revocation::Token(TokenId::parse("t1").unwrap());
    let of_alice = |until| Revocation::User(alice.clone(), until);
    let lift = |revocation: Revocation| {
        let entry = RevocationEntry { lifts: true, ..revocation.into() };
        revocations.apply(&[entry], NOW);
    };
    let refused = || {
        let callers = [("alice", "t2"), ("bob", "t1"), ("bob", "t2")];
        callers.map(|(user, token)| revocations.has(&caller(user, Some(token), Some(90))))
    };
    apply(&revocations, [token.clone(), of_alice(100), of_alice(120), Revocation::User(bob.clone(), 50)]);
    assert_eq!(refused(), [true, true, false]);
    assert_eq!(revocations.find(&of_alice(7)), Some(of_alice(120)));
    assert_eq!(revocations.find(&Revocation::Everyone(0)), None);
    lift(of_alice(7));
    assert_eq!((refused(), revocations.find(&of_alice(7))), ([false, true, false], None));
    lift(token.clone());
    assert_eq!(refused(), [false; 3]);
    apply(&revocations, [Revocation::Everyone(95), of_alice(95)]);
    lift(Revocation::Everyone(0));
    assert_eq!(refused(), [true, false, false], "each of its kind");
    // Nothing ends for what is lifted before it is read.
    let mut live = revocations.begin(&caller("bob", Some("t1"), Some(90)));
    let lifted = RevocationEntry { lifts: true, ..token.clone().into() };
    assert_eq!(revocations.apply(&[token.into(), lifted], NOW), 0);
    assert!(!is_revoked(&mut live));
}

#[test]
fn what_was_issued_long_ago_is_forgotten() {
    let revocations = Revocations::default();
    let user = |name: &str| UserId::parse(name).unwrap();
    let token = |id: &str| Revocation::Token(TokenId::parse(id).unwrap());
    let entry = |revocation: Revocation, at| RevocationEntry { at, ..revocation.into() };
    let entries = [
        entry(token("old"), Some(99)),
        entry(token("new"), Some(100)),
        entry(token("undated"), None),
        entry(Revocation::User(user("alice"), 99), None),
        entry(Revocation::User(user("bob"), 100), Some(50)),
    ];
    revocations.apply(&entries, NOW);
    revocations.forget(100);
    for (name, id, is_refused) in [
        ("carol", "old", false),
        ("carol", "new", true),
        ("carol", "undated", true),
        ("alice", "other", false),
        ("bob", "other", true),
    ] {
        assert_eq!(revocations.has(&caller(name, Some(id), Some(90))), is_refused, "{name} {id}");
    }
    assert_eq!(revocations.streams.revoked().len(), 3);
}

/// Revoking a user's tokens affects the user's own tokens, not those of services that act as the user.
#[tokio::test]
async fn streams_on_behalf_of_a_user_end_with_the_tokens_of_the_service() {
    let revocations = Arc::new(Revocations::default());
    let as_bob = caller("backend", None, Some(100)).acting_as(UserId::parse("bob").unwrap());
    let mut live = revocations.begin(&as_bob);
    let of = |user: &str| [Revocation::User(UserId::parse(user).unwrap(), 150)];
    assert_eq!(apply(&revocations, of("bob")), 0);
    assert!(!revocations.has(&as_bob));
    assert_eq!(apply(&revocations, of("backend")), 1);
    live.revoked().await;
    assert!(revocations.has(&as_bob));
    drop(live);
    assert!(revocations.streams.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn streams_of_a_user_whose_state_has_changed_end_and_no_token_is_revoked() {
    let revocations = Arc::new(Revocations::default());
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    revocations.on_ended(move |user| heard.lock().unwrap().push(user.map(ToString::to_string)));
    let (alice, backend) = (caller("alice", None, Some(100)), caller("backend", None, Some(100)));
    let as_alice = backend.clone().acting_as(alice.user.clone());
    let (mut own, mut by_app, app) =
        (revocations.begin(&alice), revocations.begin(&as_alice), revocations.begin(&backend));
    assert_eq!(apply(&revocations, [Revocation::Ended(alice.user.clone())]), 2);
    own.revoked().await;
    by_app.revoked().await;
    assert_eq!(*told.lock().unwrap(), [Some("alice".to_owned())]);
    assert!(!revocations.has(&alice) && !revocations.has(&as_alice));
    assert_eq!((revocations.end_all(), told.lock().unwrap().last()), (1, Some(&None)));
    drop((own, by_app, app));
    assert!(revocations.streams.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn only_streams_of_a_revoked_token_end() {
    let revocations = Arc::new(Revocations::default());
    let mut old = revocations.begin(&caller("alice", None, Some(100)));
    let mut new = revocations.begin(&caller("alice", None, Some(200)));
    let gone = revocations.begin(&caller("alice", None, Some(100)));
    drop(gone);
    assert_eq!(apply(&revocations, [Revocation::User(UserId::parse("alice").unwrap(), 150)]), 1);
    old.revoked().await;
    let is_over = poll_fn(|cx| Poll::Ready(std::pin::pin!(new.revoked()).poll(cx).is_ready())).await;
    assert!(!is_over);
    // Verified before the revocation, begun after it.
    revocations.begin(&caller("alice", None, Some(1))).revoked().await;
    drop((old, new));
    assert!(revocations.streams.is_empty(), "nothing is left behind");
}

fn is_revoked(live: &mut Live) -> bool {
    std::pin::pin!(live.revoked()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_revoked_stream_that_is_dropped_late_does_not_end_a_newer_one() {
    let revocations = Arc::new(Revocations::default());
    let old = revocations.begin(&caller("alice", None, Some(100)));
    apply(&revocations, [Revocation::User(UserId::parse("alice").unwrap(), 150)]);
    let mut newer = revocations.begin(&caller("alice", None, Some(200)));
    drop(old);
    assert!(!is_revoked(&mut newer));
}

#[test]
fn a_renewed_stream_ends_with_its_new_token_alone() {
    let revocations = Arc::new(Revocations::default());
    let revoke = |id: &str| apply(&revocations, [Revocation::Token(TokenId::parse(id).unwrap())]);
    let mut live = revocations.begin(&caller("alice", Some("old"), None));
    assert!(revocations.renew(live.number(), &caller("alice", Some("new"), None)));
    assert_eq!((revoke("old"), is_revoked(&mut live)), (0, false));
    assert_eq!((revoke("new"), is_revoked(&mut live)), (1, true));
    assert!(!revocations.renew(live.number(), &caller("alice", Some("newer"), None)), "it has ended");
    let mut live = revocations.begin(&caller("alice", Some("newer"), None));
    assert!(!revocations.renew(live.number(), &caller("alice", Some("old"), None)), "that one is revoked");
    assert!(is_revoked(&mut live));
}

/// The second in which the tokens are revoked.
const SECOND: u64 = 1_000;
const GRACE: Duration = Duration::from_secs(30);

fn with(token: &str) -> Caller {
    caller("alice", Some(token), None)
}

/// Revokes a token, with a grace of this many seconds. Returns how many streams end.
fn revoke(revocations: &Revocations, token: &str, grace: Option<u64>) -> usize {
    let revocation = Revocation::Token(TokenId::parse(token).unwrap());
    let sessions_until = grace.map(|grace| SECOND + grace);
    let entry = RevocationEntry { revocation, sessions_until, at: Some(SECOND), lifts: false };
    revocations.apply(&[entry], NOW)
}

fn opened(token: &str) -> (Revocations, Live) {
    let revocations = Revocations::default();
    let live = revocations.begin(&with(token));
    (revocations, live)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_told_and_ends_after_the_grace() {
    let (revocations, mut live) = opened("old");
    assert_eq!(revoke(&revocations, "old", Some(30)), 1);
    assert!(revocations.has(&with("old")), "for whoever comes now");
    assert_eq!(live.ending().await, Ending::After(GRACE));
    let begun = Instant::now();
    assert_eq!(live.ending().await, Ending::Now);
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn another_token_within_the_grace_keeps_it_open() {
    let (revocations, mut live) = opened("old");
    revoke(&revocations, "old", Some(30));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    assert!(revocations.renew(live.number(), &with("new")));
    assert!(timeout(10 * GRACE, live.ending()).await.is_err(), "it lasts");
    assert_eq!(revoke(&revocations, "new", None), 1);
    assert_eq!(live.ending().await, Ending::Now);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_token_is_accepted_again_within_the_grace_lasts() {
    let (revocations, mut live) = opened("old");
    revoke(&revocations, "old", Some(30));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    let revocation = Revocation::Token(TokenId::parse("old").unwrap());
    revocations.apply(&[RevocationEntry { lifts: true, ..revocation.into() }], NOW);
    assert!(timeout(10 * GRACE, live.ending()).await.is_err(), "it lasts");
    assert_eq!(revoke(&revocations, "old", None), 1);
    assert_eq!(live.ending().await, Ending::Now);
}

#[tokio::test(start_paused = true)]
async fn another_token_has_a_grace_of_its_own() {
    let (revocations, mut live) = opened("old");
    revoke(&revocations, "old", Some(30));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    assert!(revocations.renew(live.number(), &with("new")));
    revoke(&revocations, "new", Some(90));
    assert_eq!(live.ending().await, Ending::After(3 * GRACE));
    let begun = Instant::now();
    assert_eq!(live.ending().await, Ending::Now);
    assert_eq!(begun.elapsed(), 3 * GRACE);
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_one_token_does_not_end_with_another() {
    let (revocations, mut live) = opened("old");
    revoke(&revocations, "old", Some(30));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    assert_eq!(revoke(&revocations, "another", None), 0);
    assert!(timeout(GRACE / 2, live.ending()).await.is_err(), "it lasts");
    // Revoked once more, without a grace.
    assert_eq!(revoke(&revocations, "old", None), 1);
    assert_eq!(live.ending().await, Ending::Now);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_grace_counts_and_none_that_is_over() {
    let (revocations, mut live) = opened("old");
    revoke(&revocations, "old", Some(30));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    revoke(&revocations, "old", Some(90));
    assert_eq!(live.ending().await, Ending::After(GRACE));
    revoke(&revocations, "old", Some(20));
    assert_eq!(live.ending().await, Ending::After(Duration::from_secs(20)));
    revoke(&revocations, "old", Some(0));
    assert_eq!(live.ending().await, Ending::Now);
    drop(live);
    assert_eq!(revoke(&revocations, "old", None), 0, "nothing is left behind");
}
