//! Users.

use std::collections::BTreeSet;

use parlance_core::{Name, Timestamp, UserId};
use parlance_store::{Created, UserChange};
use tokio::task::JoinSet;

use super::fixture::{AnyStore, NOW, profile, unique, user};

pub(crate) async fn a_user_is_created_once(store: AnyStore) {
    let alice = profile(&user(unique(), "alice"), "Alice");
    assert_eq!(store.user(&alice.id).await.unwrap(), None);
    assert_eq!(store.create_user(alice.clone()).await.unwrap(), Created::New(alice.clone()));
    let again = profile(&alice.id, "Someone else");
    assert_eq!(store.create_user(again).await.unwrap(), Created::Existing(alice.clone()));
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(alice));
}

pub(crate) async fn of_16_creations_one_is_new(store: AnyStore) {
    let id = user(unique(), "alice");
    let mut devices = JoinSet::new();
    for device in 0..16 {
        let (store, alice) = (store.clone(), profile(&id, &format!("Alice on {device}")));
        devices.spawn(async move { store.create_user(alice).await.unwrap() });
    }
    let answers = devices.join_all().await;
    let stored = store.user(&id).await.unwrap().unwrap();
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Created::New(_))).count(), 1);
    for answer in answers {
        assert_eq!(answer.into_parts().0, stored);
    }
}

pub(crate) async fn a_name_is_changed(store: AnyStore) {
    let alice = profile(&user(unique(), "alice"), "Alice");
    let (name, later) = (Name::parse("Alice L.").unwrap(), Timestamp(NOW.0 + 1));
    assert_eq!(store.update_user(&alice.id, UserChange::rename(name.clone()), later).await.unwrap(), None);
    assert_eq!(store.user(&alice.id).await.unwrap(), None);

    store.create_user(alice.clone()).await.unwrap();
    let renamed = parlance_store::User { name: name.clone(), updated_at: later, ..alice.clone() };
    assert_eq!(
        store.update_user(&alice.id, UserChange::rename(name), later).await.unwrap(),
        Some(renamed.clone())
    );
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(renamed));
}

pub(crate) async fn users_are_paged_each_once(store: AnyStore) {
    let tag = unique();
    let ids: BTreeSet<UserId> = ["a", "a.b", "a0", "aa", "b"].map(|name| user(tag, name)).into();
    for id in ids.iter().rev() {
        store.create_user(profile(id, "Someone")).await.unwrap();
    }
    for size in [1, 2, 100] {
        let mut read: Vec<UserId> = Vec::new();
        loop {
            let page = store.users(read.last(), size).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            read.extend(page.into_iter().map(|user| user.id));
        }
        // Other cases may share the store, whose order is unspecified.
        let ours: Vec<&UserId> = read.iter().filter(|id| ids.contains(id)).collect();
        assert_eq!(ours.len(), ids.len(), "in pages of {size}: {ours:?}");
        assert_eq!(ours.into_iter().cloned().collect::<BTreeSet<_>>(), ids);
    }
    assert_eq!(store.users(None, 0).await.unwrap(), []);
}
