//! Nodes whose clocks differ from the clocks of the shared servers.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_faults::dynamodb::{self, Proxy};
use parlance_proto::v1::GetUserRequest;
use parlance_tests::{Answer, Cluster, Http, Launch, Server, eventually, now};

/// The error of a clock.
const WRONG: Duration = Duration::from_secs(600);

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Tests can only set the clock in the store's answers: a store that is ahead is equivalent to a
/// node that is behind.
#[tokio::test]
async fn a_node_with_a_wrong_clock_is_not_ready_and_stamps_within_the_bound() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.dynamodb.direct_endpoint();
    let store = store.trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    proxy.plan().set_clock_ahead(WRONG);
    let environment = dynamodb::environment(&proxy.endpoint());
    let behind = Server::launch(Launch { environment, ..cluster.launch() }).await;
    let admin = Http::new(behind.admin());
    let said = eventually("it is not ready", async || {
        let answer = admin.get("/readyz").send().await.ok()?;
        (answer.status == 503).then(|| text(&answer))
    })
    .await;
    assert!(said.starts_with("clock: 59") && said.contains("seconds behind"), "{said}");
    let metrics = text(&admin.get("/metrics").send().await.unwrap());
    assert!(metrics.contains("parlance_clock_offset_seconds{source=\"store\"} -59"), "{metrics}");
    assert!(metrics.contains("parlance_clock_offset_seconds{source=\"registry\"}"), "{metrics}");
    cluster.nodes.push(behind);

    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(1, "bob"));
    for person in [&alice, &bob] {
        person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    }
    let room = alice.group(&[&bob]).await;
    let before = alice.say(&room, "by the right clock").await;
    let started = now();
    bob.say(&room, "by the wrong clock").await;
    let log = alice.log(&room).await;
    let sent_at = |seq: u64| log[seq as usize - 1].at.unwrap().seconds as u64;
    // It follows the store's clock, minus half a minute.
    let ahead = sent_at(before + 1) - started;
    assert!((560..=600).contains(&ahead), "{ahead}");

    proxy.plan().clear();
    cluster.ready(1).await;
}
