//! The cost of delivery between nodes, and rooms that outgrow lookups.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_proto::v1::{AddMembersRequest, GetUserRequest};
use parlance_tests::{Cluster, fresh};
use tokio::task::JoinSet;

use crate::fleet::person;

#[tokio::test]
async fn room_outgrows_member_lookups_while_members_join() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let room = alice.channel().await;
    let first = person(&cluster, 1, "first").await;
    alice.add(&room, &first).await;
    let mut at_first = first.connect(Door::Grpc).await;
    let mut users: Vec<_> = (0..560).map(|user| format!("u{user:03}")).collect();
    let mut creating = JoinSet::new();
    for part in users.chunks(80) {
        let people: Vec<_> = part.iter().map(|user| cluster.person(0, user)).collect();
        creating.spawn(async move {
            for person in people {
                person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
            }
        });
    }
    creating.join_all().await;
    let mut came = Vec::new();
    while !users.is_empty() {
        let part: Vec<_> = users.drain(..40).collect();
        let late = cluster.person(1, &part[0]);
        let request = AddMembersRequest {
            room_id: room.clone(),
            user_ids: part,
            request_id: fresh("add"),
            after_seq: None,
        };
        let (added, at_late) = tokio::join!(
            async { alice.rooms().add_members(request).await.unwrap() },
            late.connect(Door::Grpc)
        );
        drop(added);
        came.push(at_late);
        // A message is sent at each size of the room.
        let seq = alice.say(&room, "who is here?").await;
        at_first.events_up_to(&room, seq).await;
        for conversation in &mut came {
            conversation.events_up_to(&room, seq).await;
        }
    }
    // Now it costs one message for all nodes, and no lookup.
    let (looked_up, published) = (lookups(&cluster).await, cluster.redis.calls("publish").await.unwrap());
    for _ in 0..50 {
        alice.say(&room, "hello all").await;
    }
    let published = cluster.redis.calls("publish").await.unwrap() - published;
    // The rest are heartbeats.
    assert!((50..80).contains(&published), "{published} for 50 messages");
    assert!(lookups(&cluster).await - looked_up < 30);
}

/// Scripts run so far: lookups and heartbeats.
async fn lookups(cluster: &Cluster) -> u64 {
    cluster.redis.calls("evalsha").await.unwrap()
}

#[tokio::test]
async fn a_message_costs_one_lookup_and_one_publish_for_each_node() {
    let cluster = Cluster::start(3).await;
    let alice = person(&cluster, 0, "alice").await;
    let mut people = Vec::new();
    for number in 0..12 {
        people.push(person(&cluster, number % 3, &format!("p{number}")).await);
    }
    let room = alice.group(&people.iter().collect::<Vec<_>>()).await;
    let mut conversations = Vec::new();
    for person in &people {
        conversations.push(person.connect(Door::Grpc).await);
    }
    let mut last = alice.say(&room, "the first").await;
    let (looked_up, published) = (lookups(&cluster).await, cluster.redis.calls("publish").await.unwrap());
    for _ in 0..100 {
        last = alice.say(&room, "hello").await;
    }
    let looked_up = lookups(&cluster).await - looked_up;
    let published = cluster.redis.calls("publish").await.unwrap() - published;
    for conversation in &mut conversations {
        conversation.events_up_to(&room, last).await;
    }
    // Four users on each of two other nodes; the rest are heartbeats of three nodes.
    assert!((100..160).contains(&looked_up), "{looked_up} lookups for 100 messages");
    assert!((200..260).contains(&published), "{published} publishes for 100 messages");
}
