use parlance_core::Caller;
use parlance_store::revocations::IsOver;

use super::*;

/// A list as that of several nodes: its last entry stays. And the lives of tokens.
#[derive(Default)]
struct List(Mutex<Vec<(u64, RevocationEntry)>>, Mutex<Option<TokenLives>>);

#[async_trait::async_trait]
impl RevocationList for List {
    async fn revoke(&self, entry: &RevocationEntry) -> Result<(), StoreError> {
        let mut list = self.0.lock().await;
        let place = list.last().map_or(1, |(place, _)| place + 1);
        list.push((place, entry.clone()));
        Ok(())
    }

    async fn revoked_after(
        &self,
        place: u64,
        limit: usize,
    ) -> Result<(Vec<RevocationEntry>, u64), StoreError> {
        let list = self.0.lock().await;
        let found: Vec<_> = list.iter().filter(|(at, _)| *at > place).take(limit).cloned().collect();
        let last = found.last().map_or(place, |(place, _)| *place);
        Ok((found.into_iter().map(|(_, entry)| entry).collect(), last))
    }

    async fn trim(&self, is_over: &IsOver<'_>) -> Result<usize, StoreError> {
        let mut list = self.0.lock().await;
        let (before, last) = (list.len(), list.last().map_or(0, |(place, _)| *place));
        list.retain(|(place, entry)| *place == last || !is_over(*place, entry));
        Ok(before - list.len())
    }

    async fn record_lives(&self, lives: TokenLives, before: TokenLives) -> Result<TokenLives, StoreError> {
        let mut recorded = self.1.lock().await;
        let longest = recorded.unwrap_or(before).max(lives);
        *recorded = Some(longest);
        Ok(longest)
    }
}

fn entry(revocation: Revocation, at: Option<u64>) -> RevocationEntry {
    RevocationEntry { at, ..revocation.into() }
}

fn ended(user: &str) -> Revocation {
    Revocation::Ended(UserId::parse(user).unwrap())
}

fn token(id: &str) -> Revocation {
    Revocation::Token(TokenId::parse(id).unwrap())
}

const KEPT: u64 = CHANGES_KEPT.as_secs();
const BEGIN: u64 = 1_000_000;

/// What is left of these entries, by their places, a while after a node has read them.
async fn left(
    entries: &[RevocationEntry],
    tokens_last: Option<u64>,
    others: Duration,
    later: u64,
) -> Vec<u64> {
    let list = Arc::new(List::default());
    list.record_lives(TokenLives::default(), TokenLives::default()).await.unwrap();
    for entry in entries {
        list.revoke(entry).await.unwrap();
    }
    let revoking = Revoking::new(list.clone(), Arc::default(), others, tokens_last);
    revoking.catch_up_at(BEGIN).await.unwrap();
    list.revoke(&entry(Revocation::Everyone(1), None)).await.unwrap();
    revoking.trim_at(BEGIN + later).await.unwrap();
    let left = list.0.lock().await.iter().map(|(place, _)| *place).collect::<Vec<_>>();
    left[..left.len() - 1].to_vec()
}

#[tokio::test]
async fn entries_that_are_over_are_removed() {
    let entries = [
        entry(ended("alice"), None),
        entry(ended("alice"), Some(BEGIN)),
        entry(ended("alice"), Some(BEGIN + 10)),
        entry(token("undated"), None),
        entry(token("dated"), Some(BEGIN)),
        entry(Revocation::User(UserId::parse("alice").unwrap(), BEGIN), None),
        entry(Revocation::Everyone(BEGIN + 10), None),
    ];
    let several = Duration::from_secs(5);
    let all: Vec<u64> = (1..=7).collect();
    assert_eq!(left(&entries, None, several, KEPT).await, all);
    assert_eq!(left(&entries, None, several, KEPT + 1).await, all[2..]);
    assert_eq!(left(&entries, None, Duration::ZERO, 0).await, all[3..], "no other node reads them");
    assert_eq!(left(&entries, Some(100), several, 100).await, all);
    assert_eq!(left(&entries, Some(100), several, 101).await, [1, 2, 3, 4, 7]);
}

/// A node on this list, for whose tokens this is the limit.
async fn node(list: &Arc<List>, tokens_last: Option<u64>) -> Arc<Revoking> {
    let revoking = Revoking::new(list.clone(), Arc::default(), Duration::ZERO, tokens_last);
    revoking.catch_up_at(BEGIN).await.unwrap();
    revoking.record_lives_at(BEGIN).await.unwrap();
    revoking
}

#[tokio::test]
async fn tokens_that_live_longer_elsewhere_or_did_before_stay_revoked() {
    let check = async |before: &[Option<u64>], after: Option<u64>, later: u64, is_left: bool| {
        let list = Arc::new(List::default());
        for last in before {
            node(&list, *last).await;
        }
        list.revoke(&entry(token("stolen"), Some(BEGIN))).await.unwrap();
        list.revoke(&entry(Revocation::Everyone(1), None)).await.unwrap();
        node(&list, after).await.trim_at(BEGIN + later).await.unwrap();
        let found = list.revoked_after(0, 1).await.unwrap().0;
        assert_eq!(found == [entry(token("stolen"), Some(BEGIN))], is_left, "{before:?} {after:?} {later}");
    };
    check(&[Some(1)], Some(1), 2, false).await;
    check(&[Some(3_600)], Some(1), 2, true).await;
    check(&[Some(3_600)], Some(1), 3_600, true).await;
    check(&[Some(3_600)], Some(1), 3_601, false).await;
    check(&[Some(1), Some(3_600)], Some(1), 2, true).await;
    check(&[None], Some(1), 1_000_000, true).await;
    let list = Arc::new(List::default());
    node(&list, Some(1)).await;
    let lifting = RevocationEntry { lifts: true, ..entry(token("found"), Some(BEGIN)) };
    list.revoke(&lifting).await.unwrap();
    list.revoke(&entry(Revocation::Everyone(1), None)).await.unwrap();
    node(&list, Some(1)).await.trim_at(BEGIN + 2).await.unwrap();
    assert_eq!(list.revoked_after(0, 1).await.unwrap().0, [lifting]);
    // By a version that did not record for how long it accepted tokens.
    check(&[], Some(1), 1_000_000, true).await;
}

#[tokio::test]
async fn a_node_that_has_read_nothing_for_long_ends_all_sessions() {
    let (list, revocations) = (Arc::new(List::default()), Arc::new(Revocations::default()));
    let revoking = Revoking::new(list, revocations.clone(), Duration::from_secs(5), None);
    let caller = Caller {
        user: UserId::parse("alice").unwrap(),
        is_service: false,
        is_admin: false,
        service: None,
        client: None,
        expires_at: u64::MAX,
        token: None,
        issued_at: None,
        profile: None,
    };
    revoking.catch_up_at(BEGIN).await.unwrap();
    let mut live = revocations.begin(&caller);
    revoking.catch_up_at(BEGIN + KEPT / 2).await.unwrap();
    assert!(revocations.renew(live.number(), &caller), "it lasts");
    revoking.catch_up_at(BEGIN + KEPT + 2).await.unwrap();
    live.revoked().await;
}

#[test]
fn an_order_names_one_thing() {
    let read = |json: &str| {
        let order = serde_json::from_str::<Order>(json).map_err(|error| error.to_string())?;
        order.entry(100)
    };
    let entry = |revocation, sessions_until| {
        Ok(RevocationEntry { revocation, sessions_until, at: Some(100), lifts: false })
    };
    let at_once = |revocation| entry(revocation, None);
    let alice = UserId::parse("alice").unwrap();
    assert_eq!(read(r#"{"user_id":"alice"}"#), at_once(Revocation::User(alice.clone(), 100)));
    assert_eq!(read(r#"{"user_id":"alice","issued_until":5}"#), at_once(Revocation::User(alice, 5)));
    assert_eq!(read(r#"{"everyone":true}"#), at_once(Revocation::Everyone(100)));
    assert_eq!(read(r#"{"everyone":true,"grace_seconds":0}"#), at_once(Revocation::Everyone(100)));
    assert_eq!(read(r#"{"everyone":true,"grace_seconds":60}"#), entry(Revocation::Everyone(100), Some(161)));
    assert!(read(r#"{"token_id":"t"}"#).is_ok());
    assert!(read(r#"{"token_id":"t","lift":true}"#).is_ok_and(|entry| entry.lifts));
    for wrong in [
        "{}",
        r#"{"user_id":"a/b"}"#,
        r#"{"token_id":""}"#,
        r#"{"token_id":"t","issued_until":5}"#,
        r#"{"token_id":"t","user_id":"alice"}"#,
        r#"{"user_id":"alice","everyone":true}"#,
        r#"{"user":"alice"}"#,
        r#"{"everyone":true,"issued_until":86501}"#,
        r#"{"user_id":"alice","issued_until":1800000000000}"#,
        r#"{"everyone":true,"grace_seconds":3601}"#,
        r#"{"everyone":true,"grace_seconds":-1}"#,
        r#"{"lift":true}"#,
        r#"{"everyone":true,"lift":true,"issued_until":5}"#,
        r#"{"everyone":true,"lift":true,"grace_seconds":5}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
