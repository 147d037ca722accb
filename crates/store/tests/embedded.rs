//! The embedded engine keeps the contract, also across restarts, and locks its
//! directory.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contract;
#[path = "contract/feed_contract.rs"]
mod feed_contract;
#[path = "support/files.rs"]
mod files;
#[path = "contract/revocations.rs"]
mod revocations;

use std::path::Path;
use std::sync::Arc;

use contract::fixture::{AnyStore, NOW, Node, edit, group, profile, unique, user};
use feed_contract::consumers::AnyConsumers;
use feed_contract::feed::AnyFeed;
use parlance_core::{Cursors, Mark, Name, SeqRange};
use parlance_store::revocations::RevocationList;
use parlance_store::{Embedded, OpenError, Options, Store, StoreError, UserChange, UserStore};
use tempfile::TempDir;

fn open_in(dir: &Path) -> Result<Embedded, OpenError> {
    Embedded::open(dir, Options::default())
}

async fn open() -> (AnyStore, TempDir) {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path()).unwrap();
    (Arc::new(store), dir)
}

contract::contract!(crate::open);

#[tokio::test]
async fn the_number_of_blocks_is_bounded() {
    let (store, _dir) = open().await;
    contract::blocks::the_number_of_blocks_is_bounded(store).await;
}

mod feeds {
    use super::*;

    pub(crate) async fn open() -> (AnyStore, AnyFeed, AnyConsumers, TempDir) {
        let dir = TempDir::new().unwrap();
        let store = Arc::new(open_in(dir.path()).unwrap());
        (store.clone(), store.clone(), store, dir)
    }

    feed_contract::feed_contract!(crate::feeds::open);
}

#[tokio::test]
async fn revoked_tokens_are_listed() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path()).unwrap();
    revocations::revocations_are_read_in_order_from_any_place(&store).await;
    revocations::concurrent_revocations_are_all_stored(&store).await;
    let before = store.revoked_after(0, 100).await.unwrap();
    store.close().await;
    drop(store);
    assert_eq!(open_in(dir.path()).unwrap().revoked_after(0, 100).await.unwrap(), before);
}

#[tokio::test]
async fn revocations_that_are_over_are_removed() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path()).unwrap();
    revocations::lives_of_tokens_only_grow(&store).await;
    revocations::readers_miss_nothing_of_a_trimmed_list(&store).await;
    revocations::readers_miss_nothing_of_a_trimmed_list(&store).await;
    let before = store.revoked_after(0, 100).await.unwrap().0;
    store.close().await;
    drop(store);
    assert_eq!(open_in(dir.path()).unwrap().revoked_after(0, 100).await.unwrap().0, before);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let dir = TempDir::new().unwrap();
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let answers = async |store: &AnyStore, node: &Node| {
        let id = node.id();
        let everything = SeqRange { from: 1, to: node.head() };
        (
            store.room(id).await.unwrap(),
            store.chunks_after(id, 0, 100).await.unwrap(),
            store.read(id, everything, 100, false).await.unwrap(),
            store.members(id, None, 10).await.unwrap(),
            store.rooms_of(&bob, None, 10).await.unwrap().rows,
            store.users(None, 10).await.unwrap(),
        )
    };

    let store: AnyStore = Arc::new(open_in(dir.path()).unwrap());
    store.create_user(profile(&alice, "Alice")).await.unwrap();
    store.update_user(&alice, UserChange::rename(Name::parse("Alice L.").unwrap()), NOW).await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let message = node.say(&alice, "hello").await;
    node.write(&[(&alice, edit(message, "hello, Bob"))]).await;
    let read = Mark { seq: message, message_count: 1, deleted_count: 0 };
    store.advance(&bob, node.id(), Cursors { delivered: message, read }).await.unwrap();
    let before = answers(&store, &node).await;

    // Dropped without being closed: everything was durable before it was acknowledged.
    let Node { store: held, room } = node;
    drop((held, store));
    let store: AnyStore = Arc::new(open_in(dir.path()).unwrap());
    let mut node = Node { store: store.clone(), room };
    assert_eq!(answers(&store, &node).await, before);
    // And it goes on from there.
    node.say(&alice, "hello again").await;
    assert_eq!(node.stored().await.head(), node.room.head());
}

/// Copies `from` like taking or restoring a backup.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_restored_backup_is_another_store_with_a_higher_epoch() {
    let dir = TempDir::new().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let reopen = || -> AnyStore { Arc::new(open_in(&data).unwrap()) };
    let store = reopen();
    let node = Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    let (id, identity) = (node.id().clone(), store.identity().await.unwrap());
    drop((store, node));
    copy(&data, &backup);
    let epoch = async |store: &AnyStore| store.room(&id).await.unwrap().unwrap().info.epoch;
    let store = reopen();
    assert_eq!((store.identity().await.unwrap(), epoch(&store).await), (identity.clone(), 1));
    drop(store);

    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let store = reopen();
    let restored = (store.identity().await.unwrap(), epoch(&store).await);
    assert!(restored.0 != identity && restored.1 > 1, "{restored:?}");
    // New rooms have that epoch, too.
    let new = Node::create(&store, group(&user(unique(), "bob"), &[])).await;
    assert_eq!(new.stored().await.info.epoch, restored.1);
    drop((store, new));
    let store = reopen();
    assert_eq!((store.identity().await.unwrap(), epoch(&store).await), restored);
}

#[tokio::test]
async fn a_restore_that_cannot_be_noticed_is_declared() {
    let dir = TempDir::new().unwrap();
    let store = open_in(dir.path()).unwrap();
    let identity = store.identity().await.unwrap();
    let epoch = store.restored().unwrap();
    drop(store);
    let store = open_in(dir.path()).unwrap();
    assert_ne!(store.identity().await.unwrap(), identity);
    assert!(epoch > 1 && store.restored().unwrap() >= epoch);
}

#[tokio::test]
async fn a_store_keeps_its_key_of_room_ids_and_knows_rooms_of_before() {
    let dir = TempDir::new().unwrap();
    let store: AnyStore = Arc::new(open_in(dir.path()).unwrap());
    let ids = store.room_ids().await.unwrap();
    assert!(!ids.some_unkeyed);
    let node = Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    drop((store, node));
    let store = open_in(dir.path()).unwrap();
    assert_eq!(store.room_ids().await.unwrap(), ids);
    drop(store);

    // As left by an older version: with a room but no key.
    std::fs::remove_file(dir.path().join("room-ids")).unwrap();
    for _ in 0..2 {
        let store = open_in(dir.path()).unwrap();
        assert!(store.room_ids().await.unwrap().some_unkeyed);
    }
}

#[tokio::test]
async fn a_closed_store_takes_no_writes() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open_in(dir.path()).unwrap());
    let alice = profile(&user(unique(), "alice"), "Alice");
    store.create_user(alice.clone()).await.unwrap();
    store.close().await;
    let refused = store.create_user(profile(&user(unique(), "bob"), "Bob")).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))));
    // Reads work until the store is dropped, which also releases the lock on the
    // directory.
    assert_eq!(store.user(&alice.id).await.unwrap(), Some(alice));
    assert!(matches!(open_in(dir.path()), Err(OpenError::Locked(_))));
    drop(store);
    open_in(dir.path()).unwrap();
}

#[test]
fn a_directory_is_open_once() {
    let dir = TempDir::new().unwrap();
    let first = open_in(dir.path()).unwrap();
    assert!(matches!(open_in(dir.path()), Err(OpenError::Locked(path)) if path == dir.path()));
    drop(first);
    open_in(dir.path()).unwrap();
}

#[test]
fn a_directory_is_created_with_those_above_it() {
    let dir = TempDir::new().unwrap();
    open_in(&dir.path().join("not/there/yet")).unwrap();
    assert!(dir.path().join("not/there/yet/engine").is_dir());
}

#[test]
fn another_format_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(open_in(dir.path()).unwrap());
    let format = dir.path().join("format");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "1\n");

    std::fs::write(&format, "2\n").unwrap();
    let before = files::read(dir.path());
    assert!(matches!(open_in(dir.path()), Err(OpenError::Format { found: 2 })));
    std::fs::write(&format, "what?").unwrap();
    assert!(matches!(open_in(dir.path()), Err(OpenError::Damaged { .. })));
    std::fs::remove_file(&format).unwrap();
    assert!(matches!(open_in(dir.path()), Err(OpenError::Damaged { .. })));
    std::fs::write(&format, "2\n").unwrap();
    assert!(files::read(dir.path()) == before, "something was changed");
    std::fs::write(&format, "1\n").unwrap();
    open_in(dir.path()).unwrap();
}
