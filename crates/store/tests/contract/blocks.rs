//! Whom users block.

use parlance_core::limits::MAX_BLOCKS;
use parlance_core::{Blocks, Timestamp, TooManyBlocks, UserId};
use parlance_store::BlockError;
use tokio::task::JoinSet;

use super::fixture::{AnyStore, NOW, Node, group, unique, user};

fn of(blocks: &[(&UserId, Timestamp)]) -> Blocks {
    blocks.iter().map(|(user, since)| ((*user).clone(), *since)).collect()
}

pub(crate) async fn blocks_are_set_and_lifted(store: AnyStore) {
    let tag = unique();
    let (alice, bob, carol) = (user(tag, "alice"), user(tag, "bob"), user(tag, "carol"));
    assert_eq!(store.blocks(&alice).await.unwrap(), Blocks::default());
    assert_eq!(store.set_block(&alice, &bob, None).await.unwrap(), Blocks::default());
    let later = Timestamp(NOW.0 + 1);
    assert_eq!(store.set_block(&alice, &carol, Some(NOW)).await.unwrap(), of(&[(&carol, NOW)]));
    let both = of(&[(&bob, later), (&carol, NOW)]);
    assert_eq!(store.set_block(&alice, &bob, Some(later)).await.unwrap(), both);
    // Again: since the first time.
    assert_eq!(store.set_block(&alice, &carol, Some(later)).await.unwrap(), both);
    assert_eq!(store.blocks(&alice).await.unwrap(), both);
    assert_eq!(store.blocks(&bob).await.unwrap(), Blocks::default());
    assert_eq!(store.set_block(&alice, &carol, None).await.unwrap(), of(&[(&bob, later)]));
    assert_eq!(store.blocks(&alice).await.unwrap(), of(&[(&bob, later)]));
}

pub(crate) async fn concurrent_blocks_are_all_kept(store: AnyStore) {
    let tag = unique();
    let alice = user(tag, "alice");
    let mut devices = JoinSet::new();
    for device in 0..8 {
        let (store, alice, other) = (store.clone(), alice.clone(), user(tag, &device.to_string()));
        devices.spawn(async move { store.set_block(&alice, &other, Some(NOW)).await.unwrap() });
    }
    devices.join_all().await;
    assert_eq!(store.blocks(&alice).await.unwrap().iter().count(), 8);
}

pub(crate) async fn blocks_are_in_no_list_of_rooms_or_members(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    store.set_block(&alice, &bob, Some(NOW)).await.unwrap();
    let node = Node::create(&store, group(&alice, &[&bob])).await;
    let page = store.rooms_of(&alice, None, 10).await.unwrap();
    let rooms: Vec<_> = page.rows.iter().map(|row| &row.room).collect();
    assert_eq!((rooms, page.damaged.len()), (vec![node.id()], 0));
    assert_eq!(store.members(node.id(), None, 10).await.unwrap().len(), 2);
}

pub(crate) async fn the_number_of_blocks_is_bounded(store: AnyStore) {
    let tag = unique();
    let alice = user(tag, "alice");
    for number in 0..MAX_BLOCKS {
        store.set_block(&alice, &user(tag, &number.to_string()), Some(NOW)).await.unwrap();
    }
    let refused = store.set_block(&alice, &user(tag, "more"), Some(NOW)).await;
    assert_eq!(refused, Err(BlockError::TooMany(TooManyBlocks)));
    assert_eq!(store.blocks(&alice).await.unwrap().iter().count(), MAX_BLOCKS);
}
