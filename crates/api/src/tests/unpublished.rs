//! What a node cannot tell others, and what it makes them read for it.
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_faults::ControlledStore;
use parlance_faults::fixture::group;
use parlance_rooms::Error;
use parlance_store::StoreError;
use tokio::time::sleep;

use super::outage::{Outage, start};
use crate::testing::{TestNode, say, user};

/// Checks that other nodes are not made to read the store, neither now nor when this node ends.
async fn leaves_others_alone(node: &TestNode, registry: &Outage) {
    sleep(Duration::from_secs(60)).await;
    assert_eq!(registry.reports.load(Ordering::SeqCst), 0);
    node.api.stop().await;
    assert_eq!(registry.reports.load(Ordering::SeqCst), 0, "at its end");
}

#[tokio::test(start_paused = true)]
async fn a_room_whose_members_cannot_be_read_has_no_other_room_read() {
    let (node, registry, _published) = start().await;
    let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    let other = node.other();
    // The audience is not known here any more.
    say(&other, &room, "elsewhere").await;
    node.store.damaged_lists.lock().unwrap().insert(room.clone());
    say(&node.api, &room, "hello").await;
    leaves_others_alone(&node, &registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_never_created_is_not_announced_for_ever() {
    let (node, registry, _published) = start().await;
    node.store.failing_creations.store(1, Ordering::SeqCst);
    let failed = node.api.rooms().create(group("first")).await.map(drop);
    assert_eq!(failed.unwrap_err(), Error::Store(StoreError::Overloaded));
    sleep(ControlledStore::LATE_APPEND).await;
    leaves_others_alone(&node, &registry).await;
}

/// More than are remembered: others have to find out for themselves.
#[tokio::test]
async fn too_many_users_who_may_be_untold_have_others_read() {
    let (node, registry, _published) = start().await;
    let users = (0..300).map(|number| user(&format!("user-{number}"))).collect();
    node.api.cluster().may_be_untold(&RoomId::parse("room").unwrap(), users);
    assert_eq!(registry.reports.load(Ordering::SeqCst), 1);
}
