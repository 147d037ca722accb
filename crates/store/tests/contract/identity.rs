//! The identity distinguishes a store from any other.

use super::fixture::{AnyStore, Node, group, unique, user};

pub(crate) async fn a_store_has_one_identity(store: AnyStore) {
    let identity = store.identity().await.unwrap();
    assert!(identity.len() >= 16 && identity.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{identity}");
    assert_eq!(store.identity().await.unwrap(), identity);
    // A store that was never restored has rooms of the first epoch.
    let node = Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    assert_eq!(node.stored().await.info.epoch, 1);
}

pub(crate) async fn a_store_has_one_key_of_room_ids(store: AnyStore) {
    let ids = store.room_ids().await.unwrap();
    Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    assert_eq!(store.room_ids().await.unwrap(), ids);
}

pub(crate) async fn a_note_replaces_the_one_before(store: AnyStore) {
    for note in ["one", "another"] {
        store.leave_note(note).await.unwrap();
        let last = store.last_note().await.unwrap();
        // A single-node store has no reader for it.
        assert!(last.is_none() || last.as_deref() == Some(note), "{last:?}");
    }
}
