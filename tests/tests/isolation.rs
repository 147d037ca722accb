//! Nodes that cannot reach Redis: a single one, or all of them.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_faults::TcpProxy;
use parlance_proto::v1::GetUserRequest;
use parlance_tests::{Cluster, DOORS, Door, Http, Person, Server, eventually};
use tokio::net::TcpStream;

/// Maximum delay of an event after its acknowledgement: until the lease of its node has expired
/// and others read the store.
const SOON: Duration = Duration::from_secs(25);

/// Two nodes with a short isolation time, each with its own proxy to Redis.
async fn cluster() -> (Cluster, [TcpProxy; 2]) {
    let mut cluster = Cluster::start(0).await;
    let address = cluster.redis.address();
    let ways = [TcpProxy::start(address).await.unwrap(), TcpProxy::start(address).await.unwrap()];
    for way in &ways {
        cluster.add_at(&format!("redis://{}", way.address()), &["--isolation-seconds", "4"]).await;
    }
    (cluster, ways)
}

async fn person(cluster: &Cluster, node: usize, id: &str) -> Person {
    let person = cluster.person(node, id);
    person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    person
}

async fn readiness_is(cluster: &Cluster, node: usize, status: u16, words: &str) {
    let http = Http::new(cluster.nodes[node].admin());
    eventually(words, async || {
        let answer = http.get("/readyz").answer().await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status == status && text.contains(words)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn node_cut_off_alone_sends_its_clients_away_until_it_is_back() {
    let (cluster, ways) = cluster().await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(DOORS[0]).await;
    let mut at_others = [alice.connect(Door::WebSocketJson).await, alice.connect(Door::Grpc).await];
    let mut at_bob = bob.connect(DOORS[0]).await;
    ways[0].refuse();
    // Acknowledged messages reach the other node, including the last one.
    let mut last = 0;
    while let Ok(sent) = at_alice.call(Person::message(&room, "is anybody there?")).await {
        last = sent.seq;
        if at_alice.was_sent_away() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let heard = tokio::time::timeout(SOON, at_bob.events_up_to(&room, last)).await;
    assert!(heard.is_ok(), "{last} was acknowledged");
    assert!(at_alice.was_sent_away());
    for session in &mut at_others {
        session.draining().await;
        session.end().await;
    }
    readiness_is(&cluster, 0, 503, "unreachable from this node only").await;
    // New clients are refused at the TCP level, and try the next node.
    let address = cluster.nodes[0].address();
    eventually("the door is closed", async || TcpStream::connect(&address).await.is_err().then_some(()))
        .await;
    // The other node is not affected.
    readiness_is(&cluster, 1, 200, "ready").await;
    assert!(!at_bob.was_sent_away());

    ways[0].pass();
    readiness_is(&cluster, 0, 200, "ready").await;
    eventually("the door is open", async || TcpStream::connect(&address).await.ok().map(drop)).await;
    let alice = cluster.person(0, "alice");
    let mut again = alice.connect(DOORS[0]).await;
    let seq = bob.say(&room, "welcome back").await;
    again.events_up_to(&room, seq).await;
}

/// A node that is isolated from its start: nobody looks for its writes.
#[tokio::test]
async fn node_that_never_reached_redis_keeps_nobody() {
    let mut cluster = Cluster::start(1).await;
    let way = TcpProxy::start(cluster.redis.address()).await.unwrap();
    way.refuse();
    let mut launch = cluster.launch();
    let at = launch.options.iter().position(|option| option == "--redis").unwrap();
    launch.options[at + 1] = format!("redis://{}", way.address());
    cluster.nodes.push(Server::launch(launch).await);
    readiness_is(&cluster, 1, 503, "unreachable from this node only").await;
    let address = cluster.nodes[1].address();
    eventually("the door is closed", async || TcpStream::connect(&address).await.is_err().then_some(()))
        .await;
    way.pass();
    readiness_is(&cluster, 1, 200, "ready").await;
    eventually("the door is open", async || TcpStream::connect(&address).await.ok().map(drop)).await;
}

#[tokio::test]
async fn redis_away_for_all_nodes_sends_nobody_away() {
    let (mut cluster, _ways) = cluster().await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let (mut at_alice, mut at_bob) = (alice.connect(DOORS[0]).await, bob.connect(DOORS[1]).await);
    cluster.redis.kill().await.unwrap();
    // Long after an isolated node would have drained them.
    for node in [0, 1] {
        readiness_is(&cluster, node, 200, "without registry: unreachable").await;
    }
    for (session, text) in [(&mut at_alice, "from one"), (&mut at_bob, "from the other")] {
        session.call(Person::message(&room, text)).await.unwrap();
        assert!(!session.was_sent_away());
    }
    let last = alice.say(&room, "still here").await;
    at_alice.events_up_to(&room, last).await;
    at_bob.events_up_to(&room, last).await;
}
