//! Fleets that share a Redis or tables, and nodes of other fleets.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::{GetPresenceRequest, GetUserRequest, SendMessageRequest};
use parlance_tests::{Cluster, Door, Launch, Person, Server, Setup};

/// The launch options of nodes of `cluster`, except for these.
fn with(cluster: &Cluster, options: &[&str]) -> Launch {
    let mut launch = cluster.launch();
    for pair in options.chunks(2) {
        match launch.options.iter().position(|option| option == pair[0]) {
            Some(at) => launch.options[at + 1] = pair[1].to_owned(),
            None => launch.options.extend(pair.iter().map(|option| (*option).to_owned())),
        }
    }
    launch
}

/// Another cluster without nodes on the same Redis.
async fn beside(cluster: &Cluster, options: &[&str]) -> Cluster {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Cluster::start_with(0, Setup { options, redis: Some(cluster.redis.url()) }).await
}

/// Sends to bob; returns the room.
async fn to_bob(person: &Person, text: &str) -> String {
    let request = SendMessageRequest {
        target: Some(Target::ToUser("bob".to_owned())),
        client_message_id: parlance_tests::fresh("direct"),
        text: text.to_owned(),
        ..SendMessageRequest::default()
    };
    person.chat().send_message(request).await.unwrap().into_inner().room_id
}

async fn people(cluster: &Cluster) -> [Person; 2] {
    let people = ["alice", "bob"].map(|id| cluster.person(0, id));
    for person in &people {
        person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    }
    people
}

#[tokio::test]
async fn a_node_of_another_store_or_key_is_refused_until_the_fleet_has_ended() {
    let mut cluster = Cluster::start(1).await;
    let elsewhere = beside(&cluster, &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "another secret, as long as it has to be").unwrap();
    let other_key = with(&cluster, &["--jwt-secret-file", key.to_str().unwrap()]);
    let (store, token) =
        tokio::join!(Server::refused(elsewhere.launch()), Server::refused(other_key.clone()));
    assert!(store.contains("with another store") && store.contains("--redis-prefix"), "{store}");
    assert!(!store.contains("key for tokens"), "{store}");
    assert!(token.contains("with another key for tokens") && !token.contains("another store"), "{token}");
    // Refused nodes leave nothing behind: the fleet continues, and grows.
    let [alice, bob] = people(&cluster).await;
    let room = alice.group(&[&bob]).await;
    alice.say(&room, "still here").await;
    let another = cluster.add().await;
    assert_eq!(cluster.person(another, "bob").log(&room).await, alice.log(&room).await);
    for node in &mut cluster.nodes {
        node.stop().await;
    }
    let replaced = Server::launch(other_key).await;
    assert!(replaced.output().contains("the store is open"), "{}", replaced.output());
}

#[tokio::test]
async fn tables_are_served_by_one_prefix_at_a_time() {
    let mut cluster = Cluster::start(2).await;
    let moved = with(&cluster, &["--redis-prefix", "moved:"]);
    let said = Server::refused(moved.clone()).await;
    assert!(said.contains("begin with `parlance:`") && said.contains("start again in"), "{said}");
    // The first of two nodes to stop does not end the claim, the last one does.
    cluster.nodes[0].stop().await;
    let said = Server::refused(moved.clone()).await;
    assert!(said.contains("served by another fleet"), "{said}");
    cluster.nodes[1].stop().await;
    Server::launch(moved).await.stop().await;
}

#[tokio::test]
async fn two_fleets_on_one_redis_are_isolated() {
    let cluster = Cluster::start(1).await;
    let mut staging = beside(&cluster, &["--redis-prefix", "staging:"]).await;
    staging.add().await;
    let [alice, bob] = people(&cluster).await;
    let [alice_there, bob_there] = people(&staging).await;
    let (mut at_bob, mut at_bob_there) = (bob.connect(Door::Grpc).await, bob_there.connect(Door::Grpc).await);
    let online = async |person: &Person, user: &str| {
        let request = GetPresenceRequest { user_ids: vec![user.to_owned()] };
        person.users().get_presence(request).await.unwrap().into_inner().presences[0].online
    };
    let _at_alice = alice.connect(Door::Grpc).await;
    // A direct room of two users has the same id everywhere.
    let first = to_bob(&alice, "production first").await;
    let second = to_bob(&alice_there, "staging first").await;
    assert_eq!(first, second);
    assert!(online(&bob, "alice").await);
    assert!(!online(&bob_there, "alice").await);
    for number in 0..3 {
        alice.say(&first, &format!("production {number}")).await;
        let seq = alice_there.say(&second, &format!("staging {number}")).await;
        at_bob_there.events_up_to(&second, seq).await;
    }
    let seq = alice.say(&first, "the last one").await;
    at_bob.events_up_to(&first, seq).await;
    let texts = |log: Vec<parlance_proto::v1::Event>| format!("{log:?}");
    assert!(!texts(alice.log(&first).await).contains("staging"));
    assert!(!texts(alice_there.log(&second).await).contains("production"));
}
