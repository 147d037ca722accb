//! Writes that a node cannot publish, and the reads that other nodes make because of it.
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_faults::ControlledStore;
use parlance_faults::fixture::group;
use parlance_registry::Notice;
use parlance_rooms::Error;
use parlance_store::StoreError;
use tokio::time::sleep;

use super::outage::{Outage, start};
use super::receive;
use crate::testing::{TestNode, say, soon, user};

/// Checks that other nodes are not made to read the store, neither now nor when this node ends.
async fn leaves_others_alone(node: &TestNode, registry: &Outage) {
    sleep(Duration::from_secs(60)).await;
    assert_eq!(registry.reports.load(Ordering::SeqCst), 0);
    node.api.stop(Duration::from_secs(3_600)).await;
    assert_eq!(registry.reports.load(Ordering::SeqCst), 0, "at its end");
}

#[tokio::test(start_paused = true)]
async fn unreadable_members_cause_no_reads_of_other_rooms() {
    let (node, registry, _published) = start().await;
    let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    let other = node.other();
    // The audience is no longer cached here.
    say(&other, &room, "elsewhere").await;
    node.store.damaged_lists.lock().unwrap().insert(room.clone());
    say(&node.api, &room, "hello").await;
    leaves_others_alone(&node, &registry).await;
}

#[tokio::test(start_paused = true)]
async fn room_that_was_never_created_is_not_announced_forever() {
    let (node, registry, _published) = start().await;
    node.store.failing_creations.store(1, Ordering::SeqCst);
    let failed = node.api.rooms().create(group("first")).await.map(drop);
    assert_eq!(failed.unwrap_err(), Error::Store(StoreError::Overloaded));
    sleep(ControlledStore::LATE_APPEND).await;
    leaves_others_alone(&node, &registry).await;
}

/// Regardless of how long the comparison of all rooms with the store takes.
#[tokio::test]
async fn failed_publish_is_repeated_during_recovery() {
    let (node, registry, mut published) = start().await;
    let mut hanging = Vec::new();
    for number in 0..5 {
        let created = node.api.rooms().create(group(&format!("hanging-{number}"))).await.unwrap();
        let room = created.into_parts().0.info.id;
        hanging.push(node.live("bob", &room).await);
        node.store.hang(&room);
    }
    let whole = node.api.rooms().create(group("whole")).await.unwrap().into_parts().0.info.id;
    while published.try_recv().is_ok() {}
    receive(&node, [Notice::Missed]).await;
    // The round has begun, and earlier writes of this node are announced again.
    let id = whole.as_str().as_bytes();
    let is_of_whole = |payload: &[u8]| payload.windows(id.len()).any(|some| some == id);
    while !is_of_whole(&soon(published.recv()).await.unwrap().1) {}
    registry.failing_publishes.store(1, Ordering::SeqCst);
    say(&node.api, &whole, "hello").await;
    soon(published.recv()).await.unwrap();
    assert!(!node.api.recovery().settled, "long before the end of that");
}

/// Even if other tasks never end.
#[tokio::test(start_paused = true)]
async fn final_announcements_are_sent_despite_hanging_room() {
    let (node, registry, _published) = start().await;
    let hanging = node.api.rooms().create(group("hanging")).await.unwrap().into_parts().0.info.id;
    let whole = node.api.rooms().create(group("whole")).await.unwrap().into_parts().0.info.id;
    node.store.hold_appends();
    node.store.hang(&hanging);
    let api = node.api.clone();
    let never = tokio::spawn(async move { say(&api, &hanging, "hello").await });
    sleep(Duration::from_secs(1)).await;
    node.store.land_appends().await;
    registry.failing_publishes.store(usize::MAX, Ordering::SeqCst);
    say(&node.api, &whole, "hello").await;
    assert!(!node.api.stop(Duration::from_secs(10)).await, "a room does not end");
    assert!(registry.reports.load(Ordering::SeqCst) > 0, "others have to read the store");
    never.abort();
}

/// More than the node remembers: others have to compare with the store.
#[tokio::test]
async fn too_many_possibly_unnotified_users_cause_a_read_by_others() {
    let (node, registry, _published) = start().await;
    let users = (0..300).map(|number| user(&format!("user-{number}"))).collect();
    node.api.cluster().may_be_unannounced(&RoomId::parse("room").unwrap(), users);
    assert_eq!(registry.reports.load(Ordering::SeqCst), 1);
}
