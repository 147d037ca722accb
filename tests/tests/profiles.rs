//! Profile changes while others are connected.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Cluster, Conversation, Server, for_each_door, fresh};

fn rename(name: &str) -> v1::UpdateUserRequest {
    let (user_id, name) = ("me".to_owned(), Some(name.to_owned()));
    v1::UpdateUserRequest { user_id, name, request_id: fresh("rename"), ..Default::default() }
}

/// The next profile change received by `at`: user and name.
async fn next_profile(at: &mut Conversation) -> (String, String) {
    loop {
        if let Signal::UserUpdated(user) = at.signal().await {
            assert_ne!(user.updated_at, user.created_at);
            return (user.user_id, user.name);
        }
    }
}

#[tokio::test]
async fn a_rename_reaches_those_who_share_a_room_and_ones_own_sessions() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let names = ["alice", "bob", "carol", "dan"].map(fresh);
        let [alice, bob, carol, dan] = &names;
        let (alice, bob) = (server.person(alice).await, server.person(bob).await);
        let (carol, dan) = (server.person(carol).await, server.person(dan).await);
        alice.group(&[&bob]).await;
        carol.group(&[&dan]).await;
        let (mut at_alice, mut at_carol) = (alice.connect(door).await, carol.connect(door).await);
        let (mut at_bob, mut at_phone) = (bob.connect(door).await, bob.connect(Door::Grpc).await);
        at_bob.call(rename("Robert")).await.unwrap();
        let expected = (bob.id.clone(), "Robert".to_owned());
        assert_eq!(next_profile(&mut at_alice).await, expected);
        assert_eq!(next_profile(&mut at_phone).await, expected);
        // Users who share no room with bob are not notified.
        dan.users().update_user(rename("Daniel")).await.unwrap();
        assert_eq!(next_profile(&mut at_carol).await, (dan.id.clone(), "Daniel".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_rename_reaches_sessions_on_other_nodes() {
    let cluster = Cluster::start(2).await;
    let person = async |node: usize, name: &str| {
        let person = cluster.person(node, name);
        person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
        person
    };
    let (alice, bob) = (person(0, "alice").await, person(1, "bob").await);
    alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let mut at_bob = person(0, "bob").await.connect(Door::WebSocketJson).await;
    bob.users().update_user(rename("Robert")).await.unwrap();
    for at in [&mut at_alice, &mut at_bob] {
        assert_eq!(next_profile(at).await, ("bob".to_owned(), "Robert".to_owned()));
    }
}
