//! Contract of a single node.

use std::sync::Arc;

use futures::future::join_all;
use parlance_registry::{Health, To};

use crate::support::{AnyRegistry, payload, room, taken, to_user, user, users};

async fn online(node: &AnyRegistry, user: &parlance_core::UserId) -> bool {
    node.online(std::slice::from_ref(user)).await.unwrap()[0]
}

pub(crate) async fn a_user_is_online_until_the_last_session_closes(nodes: &[AnyRegistry]) {
    let (node, user) = (&nodes[0], user());
    assert!(!online(node, &user).await);
    assert!(node.connect(&user).await.unwrap());
    assert!(!node.connect(&user).await.unwrap());
    assert!(!node.disconnect(&user).await.unwrap());
    assert!(online(node, &user).await);
    assert!(node.disconnect(&user).await.unwrap());
    assert!(!online(node, &user).await);
    assert!(node.connect(&user).await.unwrap());
    assert!(online(node, &user).await);
}

/// Every user has 40 sessions opened and 39 or 40 closed, all concurrently.
pub(crate) async fn sessions_that_come_and_go_at_once_end_in_the_right_state(nodes: &[AnyRegistry]) {
    let users = users(50);
    let storms = users.iter().enumerate().flat_map(|(at, user)| {
        (0..40).map(move |session| {
            let (node, user) = (Arc::clone(&nodes[session % nodes.len()]), user.clone());
            tokio::spawn(async move {
                let opened = node.connect(&user).await.unwrap();
                if session > 0 || at % 2 == 0 {
                    tokio::task::yield_now().await;
                    let closed = node.disconnect(&user).await.unwrap();
                    return (opened, closed);
                }
                (opened, false)
            })
        })
    });
    let changes = join_all(storms.collect::<Vec<_>>()).await;
    let online = nodes[0].online(&users).await.unwrap();
    for (at, online) in online.into_iter().enumerate() {
        assert_eq!(online, at % 2 == 1, "user {at}");
        if nodes.len() == 1 {
            let of_user = changes[at * 40..][..40].iter().map(|change| change.as_ref().unwrap());
            let came = of_user.clone().filter(|(opened, _)| *opened).count();
            let went = of_user.filter(|(_, closed)| *closed).count();
            assert_eq!(came, went + at % 2, "user {at} came online as often as they went");
        }
    }
}

pub(crate) async fn a_session_that_never_opened_closes_nothing(nodes: &[AnyRegistry]) {
    let (node, user) = (&nodes[0], user());
    assert!(!node.disconnect(&user).await.unwrap());
    assert!(node.connect(&user).await.unwrap());
    assert!(online(node, &user).await);
}

pub(crate) async fn nothing_comes_back_to_the_sender(nodes: &[AnyRegistry]) {
    let (node, user, room) = (&nodes[0], user(), room());
    let mut notices = node.notices();
    node.connect(&user).await.unwrap();
    node.follow(&room).await.unwrap();
    node.publish(to_user(&user), payload()).await.unwrap();
    node.publish(To { users: &[user], room: Some(&room) }, payload()).await.unwrap();
    // Commands on the same connection are ordered after it.
    node.follow(&self::room()).await.unwrap();
    assert!(taken(&mut notices).is_empty());
}

pub(crate) async fn rooms_are_followed_and_left(nodes: &[AnyRegistry]) {
    let (node, room) = (&nodes[0], room());
    node.unfollow(&room).await;
    node.follow(&room).await.unwrap();
    node.follow(&room).await.unwrap();
    node.unfollow(&room).await;
    node.unfollow(&room).await;
    node.follow(&room).await.unwrap();
}

pub(crate) async fn it_is_connected_and_knows_itself(nodes: &[AnyRegistry]) {
    let node = &nodes[0];
    assert_eq!(*node.health().borrow(), Health::Connected);
    assert!(node.nodes().contains(node.node()));
    assert!(node.nodes().is_sorted());
}

pub(crate) async fn notices_are_taken_once(nodes: &[AnyRegistry]) {
    let _first = nodes[0].notices();
    assert_eq!(nodes[0].notices().recv().await, None);
}
