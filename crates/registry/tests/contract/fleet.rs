//! Contract of three nodes that share a registry.

use std::time::Duration;

use bytes::Bytes;
use parlance_core::UserId;
use parlance_registry::{Notice, To};
use parlance_runtime::rate::Rate;

use crate::support::{
    AnyRegistry, DEADLINE, notice, payload, room, taken_until_now, to_room, to_user, until, user, users,
};

async fn online(node: &AnyRegistry, user: &UserId) -> bool {
    node.online(std::slice::from_ref(user)).await.unwrap()[0]
}

pub(crate) async fn a_user_is_online_wherever_they_are(nodes: &[AnyRegistry]) {
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let user = user();
    assert!(a.connect(&user).await.unwrap(), "offline before");
    assert!(!b.connect(&user).await.unwrap(), "online elsewhere before");
    for node in [a, b, c] {
        assert!(online(node, &user).await);
    }
    assert!(!a.disconnect(&user).await.unwrap(), "online elsewhere still");
    assert!(online(a, &user).await);
    assert!(b.disconnect(&user).await.unwrap(), "offline now");
    for node in [a, b, c] {
        assert!(!online(node, &user).await);
    }
}

pub(crate) async fn publish_to_a_user_reaches_their_nodes_once(nodes: &[AnyRegistry]) {
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let (first, second, nobody) = (user(), user(), user());
    b.connect(&first).await.unwrap();
    b.connect(&second).await.unwrap();
    c.connect(&second).await.unwrap();
    a.connect(&second).await.unwrap();
    let (mut at_b, mut at_c) = (b.notices(), c.notices());
    let (to_both, to_first) = (payload(), payload());
    a.publish(To { users: &[first.clone(), second, nobody.clone()], room: None }, to_both.clone())
        .await
        .unwrap();
    a.publish(to_user(&first), to_first.clone()).await.unwrap();
    a.publish(to_user(&nobody), payload()).await.unwrap();
    let at_b = taken_until_now(a, b, &mut at_b).await;
    assert_eq!(at_b, [Notice::Payload(to_both.clone()), Notice::Payload(to_first)]);
    assert_eq!(taken_until_now(a, c, &mut at_c).await, [Notice::Payload(to_both)]);
}

pub(crate) async fn publish_to_a_room_reaches_its_followers(nodes: &[AnyRegistry]) {
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let room = room();
    let (mut at_b, mut at_c) = (b.notices(), c.notices());
    b.follow(&room).await.unwrap();
    b.follow(&room).await.unwrap();
    let first = payload();
    a.publish(to_room(&room), first.clone()).await.unwrap();
    notice(&mut at_b, &Notice::Payload(first)).await;
    c.follow(&room).await.unwrap();
    b.unfollow(&room).await;
    let second = payload();
    a.publish(to_room(&room), second.clone()).await.unwrap();
    notice(&mut at_b, &Notice::Payload(second.clone())).await;
    notice(&mut at_c, &Notice::Payload(second)).await;
    b.unfollow(&room).await;
    // Unsubscribing is not awaited, but a later subscription is ordered after it.
    b.follow(&self::room()).await.unwrap();
    let third = payload();
    a.publish(to_room(&room), third.clone()).await.unwrap();
    notice(&mut at_c, &Notice::Payload(third)).await;
    assert_eq!(taken_until_now(a, b, &mut at_b).await, []);
}

pub(crate) async fn single_node_is_notified(nodes: &[AnyRegistry]) {
    let (a, b) = (&nodes[0], &nodes[1]);
    let mut at_b = b.notices();
    // Not text, and of the maximum size of a chunk.
    let long = Bytes::from(vec![0xff; 300_000]);
    for payload in [Bytes::new(), payload(), long] {
        a.send_to(b.node(), payload.clone()).await.unwrap();
        notice(&mut at_b, &Notice::Payload(payload)).await;
    }
}

/// A node that is both looked up and subscribed gets each message twice; receivers
/// recognise chunks.
pub(crate) async fn node_in_both_roles_receives_twice_and_in_order(nodes: &[AnyRegistry]) {
    let (a, b) = (&nodes[0], &nodes[1]);
    let (user, room) = (user(), room());
    let mut at_b = b.notices();
    b.connect(&user).await.unwrap();
    b.follow(&room).await.unwrap();
    let payloads: Vec<Bytes> =
        (0..100).map(|number: u32| Bytes::from(number.to_be_bytes().to_vec())).collect();
    for payload in &payloads {
        a.publish(To { users: std::slice::from_ref(&user), room: Some(&room) }, payload.clone())
            .await
            .unwrap();
    }
    let mut heard: Vec<Bytes> = Vec::new();
    until("everything arrived twice", async || {
        while let Ok(notice) = at_b.try_recv() {
            let Notice::Payload(payload) = notice else { panic!("{notice:?}") };
            heard.push(payload);
        }
        heard.len() == 200
    })
    .await;
    // Each path keeps its order, so the nth arrival of a message follows the nth
    // arrival of those published before it.
    let mut times = vec![0; 100];
    for payload in heard {
        let number = u32::from_be_bytes(payload.as_ref().try_into().unwrap()) as usize;
        times[number] += 1;
        assert!(number == 0 || times[number] <= times[number - 1], "{number} came too early");
    }
}

pub(crate) async fn thousands_of_users_are_looked_up(nodes: &[AnyRegistry]) {
    let (a, b, c) = (&nodes[0], &nodes[1], &nodes[2]);
    let users = users(5_000);
    let at = |at: usize| [b, c][at % 2];
    let sessions = users.iter().enumerate().filter(|(number, _)| number % 5 != 0);
    let opened = sessions.map(|(number, user)| at(number).connect(user));
    for opened in futures::future::join_all(opened).await {
        assert!(opened.unwrap());
    }
    let online = a.online(&users).await.unwrap();
    assert!(online.iter().enumerate().all(|(number, online)| *online == (number % 5 != 0)));
    let (mut at_b, mut at_c) = (b.notices(), c.notices());
    let payload = payload();
    a.publish(To { users: &users, room: None }, payload.clone()).await.unwrap();
    for (node, notices) in [(b, &mut at_b), (c, &mut at_c)] {
        assert_eq!(taken_until_now(a, node, notices).await, [Notice::Payload(payload.clone())]);
    }
}

pub(crate) async fn a_node_that_closes_is_gone_with_its_users(nodes: &[AnyRegistry]) {
    let (a, b) = (&nodes[0], &nodes[1]);
    let user = user();
    b.connect(&user).await.unwrap();
    until("a knows b", async || a.nodes().contains(b.node())).await;
    let mut at_a = a.notices();
    b.close().await;
    assert!(!online(a, &user).await);
    assert!(a.connect(&user).await.unwrap(), "offline before");
    until("a knows that b is gone", async || !a.nodes().contains(b.node())).await;
    let lost = Notice::NodeLost(b.node().clone());
    assert!(!crate::support::taken(&mut at_a).contains(&lost), "it said goodbye");
}

#[allow(dead_code, reason = "not every registry shares rates")]
pub(crate) async fn permits_are_shared(nodes: &[AnyRegistry]) {
    // The test takes less time than a permit.
    let (rate, key, other) = (Rate::every(DEADLINE * 10, 5), user().to_string(), user().to_string());
    for node in nodes.iter().cycle().take(5) {
        assert_eq!(node.take(&key, 1, rate).await, Ok(Ok(())));
    }
    for node in nodes {
        let wait = node.take(&key, 1, rate).await.unwrap().unwrap_err();
        assert!(DEADLINE * 9 < wait && wait <= DEADLINE * 10, "{wait:?}");
    }
    // All of them or none.
    assert!(nodes[0].take(&other, 6, rate).await.unwrap().is_err());
    assert_eq!(nodes[1].take(&other, 3, rate).await, Ok(Ok(())));
    assert!(nodes[2].take(&other, 3, rate).await.unwrap().is_err());
    assert_eq!(nodes[0].take(&other, 2, rate).await, Ok(Ok(())));
    // They come back.
    let (fast, key) = (Rate::every(Duration::from_millis(20), 2), user().to_string());
    let mut taken = 0;
    until("as many were taken as there are in a while", async || {
        taken += usize::from(nodes[taken % nodes.len()].take(&key, 1, fast).await.unwrap().is_ok());
        taken == 20
    })
    .await;
}
