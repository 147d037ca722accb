//! Users.

use std::collections::BTreeSet;

use parlance_core::{Data, FoldedName, ImageUrl, Name, Timestamp, UserId};
use parlance_store::{Created, User, UserChange, UserState};
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
    let renamed = User { name: name.clone(), updated_at: later, ..alice.clone() };
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

pub(crate) async fn users_are_read_together(store: AnyStore) {
    let tag = unique();
    let all = ["a", "b", "c"].map(|name| profile(&user(tag, name), name));
    for user in &all {
        store.create_user(user.clone()).await.unwrap();
    }
    let asked = ["c", "nobody", "a", "c"].map(|name| user(tag, name));
    let mut found = store.users_by_id(&asked).await.unwrap();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(found, [all[0].clone(), all[2].clone()]);
    assert_eq!(store.users_by_id(&[]).await.unwrap(), []);
}

/// Everyone found by `prefix`, in pages of `size`.
async fn found(store: &AnyStore, prefix: &str, size: usize) -> Vec<UserId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.find_users(&FoldedName::of(prefix), after.as_ref(), size).await.unwrap();
        assert!(page.users.len() <= size);
        ids.extend(page.users.into_iter().map(|user| user.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

fn of_state(state: UserState) -> UserChange {
    UserChange { state: Some(state), ..UserChange::default() }
}

pub(crate) async fn users_are_found_by_the_beginning_of_their_name(store: AnyStore) {
    let tag = unique();
    let named = |id: &str, name: &str| profile(&user(tag, id), &format!("{tag} {name}"));
    let all =
        [("a", "Anna B"), ("b", "anna b"), ("c", "Anna"), ("d", "ÄNNE"), ("e", "Bo Anna"), ("f", "ann")];
    for (id, name) in all {
        store.create_user(named(id, name)).await.unwrap();
    }
    let ids = |ids: &[&str]| ids.iter().map(|id| user(tag, id)).collect::<Vec<_>>();
    for size in [1, 2, 3, 100] {
        for (prefix, expected) in [
            ("ANN", &["f", "c", "a", "b"][..]),
            ("anna  b", &["a", "b"]),
            ("ä", &["d"]),
            ("A\u{308}\u{200b}n", &["d"]),
            ("", &["f", "c", "a", "b", "e", "d"]),
            ("anna c", &[]),
        ] {
            let prefix = format!("{tag} {prefix}");
            assert_eq!(found(&store, &prefix, size).await, ids(expected), "{prefix:?} in pages of {size}");
        }
    }
}

pub(crate) async fn users_are_found_by_their_present_name_while_they_are_active(store: AnyStore) {
    let tag = unique();
    let alice = profile(&user(tag, "alice"), &format!("{tag} Alice"));
    store.create_user(alice.clone()).await.unwrap();
    let by = async |name: &str| found(&store, &format!("{tag} {name}"), 10).await;
    let only = std::slice::from_ref(&alice.id);
    assert_eq!(by("ali").await, only);
    let renamed = UserChange::rename(Name::parse(&format!("{tag} Zoe")).unwrap());
    store.update_user(&alice.id, renamed.clone(), NOW).await.unwrap().unwrap();
    assert_eq!((by("ali").await.len(), by("zoe").await), (0, only.to_vec()));
    // The same name once more.
    store.update_user(&alice.id, renamed, NOW).await.unwrap().unwrap();
    assert_eq!(by("zoe").await, only);
    let later = Timestamp(NOW.0 + 1);
    let changed =
        store.update_user(&alice.id, of_state(UserState::Deactivated), later).await.unwrap().unwrap();
    assert_eq!((changed.state, changed.updated_at, by("z").await.len()), (UserState::Deactivated, later, 0));
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(changed));
    store.update_user(&alice.id, of_state(UserState::Active), later).await.unwrap().unwrap();
    assert_eq!(by("zoe").await, only);
}

pub(crate) async fn deleted_users_stay_and_are_not_changed(store: AnyStore) {
    let image = ImageUrl::parse_new("https://example.org/a.png").unwrap();
    let alice = User { image, ..profile(&user(unique(), "alice"), "Alice") };
    store.create_user(alice.clone()).await.unwrap();
    let deleted = store.update_user(&alice.id, of_state(UserState::Deleted), NOW).await.unwrap().unwrap();
    assert_eq!((deleted.state, &deleted.name), (UserState::Deleted, &alice.name));
    assert_eq!((&deleted.image, &deleted.data), (&ImageUrl::default(), &Data::default()));
    assert_eq!(store.user(&alice.id).await.unwrap().as_ref(), Some(&deleted));
    let data = UserChange { image: Some(alice.image.clone()), ..UserChange::default() };
    for change in [of_state(UserState::Active), UserChange::rename(alice.name.clone()), data] {
        assert_eq!(store.update_user(&alice.id, change, NOW).await.unwrap(), None);
    }
    assert_eq!(store.create_user(alice.clone()).await.unwrap(), Created::Existing(deleted.clone()));
    // Only a name that was kept may be removed.
    let without_name = UserChange { name: Some(Name::parse("A").unwrap()), ..of_state(UserState::Deleted) };
    let changed = store.update_user(&alice.id, without_name.clone(), NOW).await.unwrap().unwrap();
    assert_eq!((changed.name.as_str(), changed.state), ("A", UserState::Deleted));
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(changed));
    assert_eq!(store.update_user(&alice.id, without_name, NOW).await.unwrap(), None);
}
