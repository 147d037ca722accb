//! Contract of every list of revoked tokens.

use parlance_core::{Revocation, RevocationEntry, TokenId};
use parlance_store::revocations::{RevocationList, TokenLives};

use crate::contract::fixture::{unique, user};

pub(crate) async fn revocations_are_read_in_order_from_any_place(list: &dyn RevocationList) {
    let tag = unique();
    let (_, before) = list.revoked_after(0, usize::MAX).await.unwrap();
    let entries = [
        RevocationEntry::from(Revocation::User(user(tag, "alice"), 100)),
        RevocationEntry {
            revocation: Revocation::Token(TokenId::parse(&format!("token \n {tag}")).unwrap()),
            sessions_until: Some(200),
            at: Some(150),
            lifts: false,
        },
        RevocationEntry { lifts: true, ..Revocation::User(user(tag, "alice"), 100).into() },
        RevocationEntry::from(Revocation::Everyone(7)),
    ];
    for entry in &entries {
        list.revoke(entry).await.unwrap();
    }
    let (found, last) = list.revoked_after(before, 100).await.unwrap();
    assert_eq!(found, entries);
    assert_eq!(list.revoked_after(last, 100).await.unwrap(), (Vec::new(), last));
    let (first, place) = list.revoked_after(before, 1).await.unwrap();
    assert_eq!(first, entries[..1]);
    assert_eq!(list.revoked_after(place, 100).await.unwrap(), (entries[1..].to_vec(), last));
}

pub(crate) async fn concurrent_revocations_are_all_stored(list: &dyn RevocationList) {
    let (_, before) = list.revoked_after(0, usize::MAX).await.unwrap();
    let entries: Vec<_> = (0..8).map(|until| RevocationEntry::from(Revocation::Everyone(until))).collect();
    let revoked = futures::future::join_all(entries.iter().map(|entry| list.revoke(entry))).await;
    assert!(revoked.iter().all(Result::is_ok), "{revoked:?}");
    let (found, _) = list.revoked_after(before, 100).await.unwrap();
    for entry in entries {
        assert!(found.contains(&entry), "{entry:?}");
    }
}

pub(crate) async fn readers_miss_nothing_of_a_trimmed_list(list: &dyn RevocationList) {
    let (_, before) = list.revoked_after(0, usize::MAX).await.unwrap();
    let until = |until| RevocationEntry::from(Revocation::Everyone(until));
    for seconds in 0..5 {
        list.revoke(&until(seconds)).await.unwrap();
    }
    let (_, middle) = list.revoked_after(before, 3).await.unwrap();
    let (_, last) = list.revoked_after(middle, 100).await.unwrap();
    assert_eq!(list.trim(&|_, _| false).await, Ok(0));
    let kept = [until(1), until(3)];
    let removed = list.trim(&|place, entry| place > before && !kept.contains(entry)).await.unwrap();
    // The last one may have to stay, and an entry that was written twice counts twice.
    assert!(removed >= 2, "{removed}");
    assert_eq!(list.revoked_after(last, 100).await.unwrap(), (Vec::new(), last));
    list.revoke(&until(9)).await.unwrap();
    let (found, end) = list.revoked_after(last, 100).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|entry| *entry == until(9)) && end > last, "{found:?}");
    for (place, expected) in [(middle, &[until(3), until(9)][..]), (before, &[until(1), until(3), until(9)])]
    {
        let (found, _) = list.revoked_after(place, 100).await.unwrap();
        assert!(expected.iter().all(|entry| found.contains(entry)), "{found:?}");
        assert!(!found.contains(&until(0)) && !found.contains(&until(2)), "{found:?}");
    }
    assert!(list.trim(&|place, _| place > before).await.unwrap() >= 2);
    list.revoke(&until(10)).await.unwrap();
    assert!(list.revoked_after(end, 100).await.unwrap().0.contains(&until(10)));
}

pub(crate) async fn lives_of_tokens_only_grow(list: &dyn RevocationList) {
    let lives = |longest, unlimited_until| TokenLives { longest, unlimited_until };
    let recorded = async |one, before| list.record_lives(one, before).await.unwrap();
    assert_eq!(recorded(lives(60, 0), lives(0, 5)).await, lives(60, 5));
    assert_eq!(recorded(lives(1, 0), lives(0, 9)).await, lives(60, 5), "nothing was before only once");
    let all =
        [(70, 0), (0, 100), (80, 90)].map(|(longest, until)| recorded(lives(longest, until), lives(0, 0)));
    futures::future::join_all(all).await;
    assert_eq!(recorded(lives(0, 0), lives(0, 0)).await, lives(80, 100));
    let (found, last) = list.revoked_after(0, 1_000).await.unwrap();
    assert_eq!((found.len(), last), (0, 0), "they are no entries");
}
