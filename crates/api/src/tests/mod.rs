//! Tests of a whole node on a controlled store.
#![allow(clippy::large_futures, reason = "a test runs few of them")]

mod app;
mod blocks;
mod catch_up;
mod comebacks;
mod consent;
mod deleted;
mod erasure;
mod half_visible;
mod hanging;
mod heartbeat;
mod hub;
mod inbound;
mod invitations;
mod join_requests;
mod latest;
mod marks;
mod member_data;
mod memory;
mod once;
mod online;
mod outage;
mod past;
mod people;
mod recovery;
mod refresh;
mod reports;
mod rooms;
mod screen;
mod strangers;
mod unpublished;
mod unread;
use parlance_registry::Notice;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::testing::{TestNode, user};

#[tokio::test]
async fn a_full_list_of_known_users_keeps_a_part() {
    let node = TestNode::start();
    for number in 0..20 {
        let id = user(&format!("user-{number}"));
        node.api.remember(&id);
        assert!(node.api.is_known(&id));
        let known = node.api.accounts.len();
        assert!(known >= 3.min(number + 1) && known <= 4, "{known}");
    }
}

/// Delivers `notices` to the node as if from its registry.
async fn receive(node: &TestNode, notices: impl IntoIterator<Item = Notice>) {
    let (sender, receiver) = mpsc::channel(8);
    for notice in notices {
        sender.send(notice).await.unwrap();
    }
    drop(sender);
    let (cluster, rooms, tasks) = (node.api.cluster.clone(), node.api.rooms.clone(), node.api.tasks.clone());
    cluster.receive(rooms, receiver, tasks, CancellationToken::new()).await;
}
