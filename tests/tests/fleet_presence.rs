//! Presence across nodes, including nodes that end.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use tokio::time::Instant;

use parlance_client::transport::Door;
use parlance_faults::TcpProxy;
use parlance_proto::v1::signal::Signal;
use parlance_proto::v1::{GetPresenceRequest, SendTypingRequest};
use parlance_tests::Cluster;

use crate::fleet::person;

#[tokio::test]
async fn typing_receipts_and_presence_cross_nodes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let at_bob = bob.connect(Door::Grpc).await;
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob came") };
    assert!(presence.online && presence.user_id == "bob");
    bob.chat().send_typing(SendTypingRequest { room_id: room.clone() }).await.unwrap();
    let Signal::Typing(typing) = at_alice.signal().await else { panic!("bob types") };
    assert_eq!(typing.user_id, "bob");
    let seq = bob.say(&room, "hello").await;
    at_alice.events_up_to(&room, seq).await;
    bob.acknowledge(&room, seq).await;
    let Signal::Receipt(receipt) = at_alice.signal().await else { panic!("bob has it") };
    assert_eq!(receipt.delivered_seq, seq);
    let asked = GetPresenceRequest { user_ids: vec!["bob".to_owned(), "carol".to_owned()] };
    let online = alice.users().get_presence(asked).await.unwrap().into_inner().presences;
    assert_eq!(online.iter().map(|presence| presence.online).collect::<Vec<_>>(), [true, false]);
    drop(at_bob);
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob went") };
    assert!(!presence.online);
}

/// Bob reconnects with a new session, here or on another node: for alice he was never offline.
#[tokio::test]
async fn session_that_reconnects_within_seconds_signals_no_presence() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let nodes = [person(&cluster, 0, "bob").await, person(&cluster, 1, "bob").await];
    let room = alice.group(&[&nodes[0]]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let is_online = async || {
        let asked = GetPresenceRequest { user_ids: vec!["bob".to_owned()] };
        alice.users().get_presence(asked).await.unwrap().into_inner().presences[0].online
    };
    let mut at_bob = nodes[0].connect(Door::Grpc).await;
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob came") };
    assert!(presence.online);
    for node in [0, 1, 1, 0] {
        drop(at_bob);
        assert!(is_online().await, "a moment ago he was");
        at_bob = nodes[node].connect(Door::Grpc).await;
        nodes[node].chat().send_typing(SendTypingRequest { room_id: room.clone() }).await.unwrap();
        let next = at_alice.signal().await;
        assert!(matches!(&next, Signal::Typing(typing) if typing.user_id == "bob"), "{next:?}");
    }
    drop(at_bob);
    let next = at_alice.signal().await;
    assert!(matches!(&next, Signal::Presence(presence) if !presence.online), "{next:?}");
    assert!(!is_online().await);
}

/// The lease of a killed node, plus its cleanup, plus the grace period of its users.
const GONE_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn users_of_a_killed_node_go_offline_unless_they_come_back() {
    let mut cluster = Cluster::start(3).await;
    let alice = person(&cluster, 0, "alice").await;
    let others = [person(&cluster, 1, "gone").await, person(&cluster, 1, "back").await];
    alice.group(&[&others[0]]).await;
    alice.group(&[&others[1]]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let mut sessions = Vec::new();
    for other in &others {
        sessions.push(other.connect(Door::Grpc).await);
        let Signal::Presence(presence) = at_alice.signal().await else { panic!("{} came", other.id) };
        assert_eq!((presence.user_id.as_str(), presence.online), (other.id.as_str(), true));
    }
    cluster.kill(1).await;
    let killed = Instant::now();
    let _back = cluster.person(2, "back").connect(Door::Grpc).await;
    let signals = async {
        let mut told = Vec::new();
        loop {
            let Signal::Presence(presence) = at_alice.signal().await else { continue };
            let is_last = presence.user_id == "gone";
            told.push((presence.user_id, presence.online));
            if is_last {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(GONE_WITHIN, signals).await;
    let told = told.unwrap_or_else(|_| panic!("nothing in {:?}", killed.elapsed()));
    assert_eq!(told.last().unwrap(), &("gone".to_owned(), false));
    assert!(!told.contains(&("back".to_owned(), false)), "{told:?}");
}

/// Others have considered the node dead, and its users offline.
#[tokio::test]
async fn users_of_a_node_that_was_cut_off_are_online_again() {
    let mut cluster = Cluster::start(1).await;
    let way = TcpProxy::start(cluster.redis.address()).await.unwrap();
    let node = cluster.add_at(&format!("redis://{}", way.address()), &[]).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, node, "bob").await);
    alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let _session = bob.connect(Door::Grpc).await;
    let mut is_online = async || {
        let Signal::Presence(presence) = at_alice.signal().await else { panic!("presence of bob") };
        assert_eq!(presence.user_id, "bob");
        presence.online
    };
    assert!(is_online().await);
    way.refuse();
    assert!(!is_online().await);
    way.pass();
    assert!(is_online().await);
}
