//! The directory of channels.

use parlance_core::{
    Action, Creation, FoldedName, NewRoom, RequestId, RoomId, RoomKind, Settings, SettingsChange, Title,
    TitlePlace, UserId,
};

use super::fixture::{AnyStore, NOW, Node, nonce, settings, unique, user};

/// A listed channel of `owner`.
fn channel(owner: &UserId, title: &str) -> Creation {
    let request = RequestId::parse(&format!("{:x}", unique())).unwrap();
    let id = RoomId::created_unkeyed(owner, &request);
    let settings = Settings { listed: true, ..settings(title) };
    let (kind, request) = (RoomKind::Channel, &request);
    let new = NewRoom { id, creator: owner, service: None, owner: None, request, kind, settings };
    Creation::shared(new, &[], nonce(), NOW)
}

fn change(change: SettingsChange) -> Action {
    Action::Update(change)
}

fn retitle(title: &str) -> Action {
    change(SettingsChange { title: Some(Title::parse(title).unwrap()), ..SettingsChange::default() })
}

/// The titles found by `prefix` in pages of `size`, with the number of members.
async fn found(store: &AnyStore, prefix: &str, size: usize) -> Vec<(String, u64)> {
    let (prefix, mut after, mut all) = (FoldedName::of(prefix), None::<TitlePlace>, Vec::new());
    loop {
        let page = store.listed_rooms(&prefix, after.as_ref(), size).await.unwrap();
        assert!(page.rooms.len() <= size && page.damaged.is_empty());
        let rooms = page.rooms.iter();
        all.extend(rooms.map(|room| (room.info.settings.title.as_str().to_owned(), room.members)));
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

pub(crate) async fn listed_channels_are_paged_by_title(store: AnyStore) {
    let tag = format!("{:016x}", unique());
    let alice = user(unique(), "alice");
    let names = ["b", "A", "a b", "ab", "Ab", "ä", "b  c", "C"];
    for name in names {
        Node::create(&store, channel(&alice, &format!("{tag} {name}"))).await;
    }
    let mut unlisted = channel(&alice, &format!("{tag} a"));
    unlisted.info.settings.listed = false;
    unlisted.append.listing = None;
    Node::create(&store, unlisted).await;
    for size in [1, 3, 8, 100] {
        let all = found(&store, &tag, size).await;
        let titles: Vec<String> = all.iter().map(|(title, _)| title.to_lowercase()).collect();
        let ordered = ["a", "a b", "ab", "ab", "b", "b  c", "c", "ä"];
        assert_eq!(titles, ordered.map(|name| format!("{tag} {name}")), "in pages of {size}");
        assert!(all.iter().all(|(_, members)| *members == 1));
        assert_eq!(found(&store, &format!("{tag}  AB"), size).await.len(), 2);
        assert_eq!(found(&store, &format!("{tag} b C"), size).await.len(), 1);
        assert_eq!(found(&store, &format!("{tag} d"), size).await, []);
    }
    // Without a beginning, all of the directory.
    let all = found(&store, "", 50).await;
    assert_eq!(all.iter().filter(|(title, _)| title.starts_with(&tag)).count(), names.len());
}

pub(crate) async fn a_row_of_the_directory_follows_its_room(store: AnyStore) {
    let tag = format!("{:016x}", unique());
    let [alice, bob] = ["alice", "bob"].map(|name| user(unique(), name));
    let mut node = Node::create(&store, channel(&alice, &format!("{tag} One"))).await;
    let listed = async || {
        let rows = found(&store, &tag, 10).await;
        rows.into_iter().map(|(title, members)| (title.replace(&tag, ""), members)).collect::<Vec<_>>()
    };
    let row = |title: &str, members| vec![(title.to_owned(), members)];
    assert_eq!(listed().await, row(" One", 1));
    node.write(&[(&bob, Action::Join)]).await;
    assert_eq!(listed().await, row(" One", 2));
    node.write(&[(&alice, retitle(&format!("{tag} Two"))), (&bob, Action::Leave)]).await;
    assert_eq!(listed().await, row(" Two", 1));
    node.say(&alice, "hello").await;
    assert_eq!(listed().await, row(" Two", 1));
    node.write(&[(&alice, Action::Leave)]).await;
    assert_eq!(listed().await, []);
    node.write(&[(&bob, Action::Join)]).await;
    assert_eq!(listed().await, row(" Two", 1));
    let hide = SettingsChange { listed: Some(false), ..SettingsChange::default() };
    node.write(&[(&bob, change(hide))]).await;
    assert_eq!(listed().await, []);
    let show = SettingsChange { listed: Some(true), ..SettingsChange::default() };
    node.write(&[(&bob, change(show))]).await;
    assert_eq!(listed().await, row(" Two", 1));
    // As an older version changes a room: without its row.
    let (mut append, after) = node.decide(&[(&bob, retitle(&format!("{tag} Three")))]);
    append.listing = None;
    store.append(node.id(), append).await.unwrap();
    node.room = after;
    // Left out, unless a store computes its rows; never under the title before.
    let shown = listed().await;
    assert!(shown.is_empty() || shown == row(" Three", 1), "{shown:?}");
    node.write(&[(&bob, retitle(&format!("{tag} Four")))]).await;
    assert_eq!(listed().await, row(" Four", 1));
    node.write(&[(&bob, Action::DeleteRoom)]).await;
    assert_eq!(listed().await, []);
}

pub(crate) async fn the_directory_is_in_no_list_of_rooms_or_members(store: AnyStore) {
    let alice = user(unique(), "alice");
    let node = Node::create(&store, channel(&alice, "Listed")).await;
    let page = store.rooms_of(&alice, None, 10).await.unwrap();
    assert_eq!((page.rows.len(), page.damaged.len()), (1, 0));
    assert_eq!(store.members(node.id(), None, 10).await.unwrap().len(), 1);
}
