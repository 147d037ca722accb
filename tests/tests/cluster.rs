//! Several nodes on one store and one registry: startup, refusals and readiness.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_proto::v1::event::Body;
use parlance_proto::v1::{Event, GetPresenceRequest, GetUserRequest};
use parlance_tests::{Cluster, DOORS, Http, Person, Server, deploy, eventually, run_to_end, text_of, within};
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

#[tokio::test]
async fn nodes_discover_each_other() {
    let cluster = Cluster::start(3).await;
    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(1, "bob"));
    // A user is created by their first call.
    bob.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    let mut at_bob = bob.connect(DOORS[0]).await;
    let room = alice.group(&[&bob]).await;
    for door in DOORS {
        let mut at_alice = alice.connect(door).await;
        let sent = at_alice.call(Person::message(&room, &format!("through {door}"))).await.unwrap();
        let events = at_bob.events_up_to(&room, sent.seq).await;
        assert_eq!(text_of(events.last().unwrap()), format!("through {door}"));
    }
    let carol = cluster.person(2, "bob");
    assert_eq!(carol.log(&room).await, alice.log(&room).await);
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing() {
    let mut cluster = Cluster::start(2).await;
    let alice = cluster.person(0, "alice");
    let room = alice.channel().await;
    let mut expected = Vec::new();
    for round in 0..2 {
        let text = format!("round {round}");
        alice.say(&room, &text).await;
        expected.push(text);
        cluster.rolling_restart().await;
    }
    let log = cluster.person(1, "alice").log(&room).await;
    let texts: Vec<_> = log.iter().filter(|event| is_message(event)).map(text_of).collect();
    assert_eq!(texts, expected);
}

fn is_message(event: &Event) -> bool {
    matches!(event.body, Some(Body::Message(_)))
}

#[tokio::test]
async fn the_tables_are_checked_before_a_node_starts() {
    let cluster = Cluster::start(0).await;
    assert!(cluster.tables("create").await.contains("the tables are ready"), "again, with no harm");
    assert!(cluster.tables("check").await.contains("the tables are ready"));
    let mut launch = cluster.launch();
    launch.options.extend(["--table-prefix", "nothing_"].map(ToOwned::to_owned));
    let said = Server::refused(launch).await;
    assert!(said.contains("nothing_users is missing") && said.contains("tables create"), "{said}");
}

/// The emulator requires a signature, but does not verify it.
const UNSIGNED: &str = "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/dynamodb/aws4_request, \
                        SignedHeaders=host;x-amz-date;x-amz-target, Signature=00";

#[tokio::test]
async fn terraform_makes_the_same_tables() {
    let cluster = Cluster::start(0).await;
    let terraform = std::fs::read_to_string(deploy().join("terraform/tables.tf")).unwrap();
    let http = Http::new(cluster.dynamodb.endpoint().trim_start_matches("http://").to_owned());
    let ask = async |operation: &str, body: Value| {
        let target = format!("DynamoDB_20120810.{operation}");
        let call = http.call(http::Method::POST, "/").header("x-amz-target", &target);
        let call = call.header("authorization", UNSIGNED).header("x-amz-date", "20260101T000000Z");
        call.header("content-type", "application/x-amz-json-1.0").body(body.to_string()).answer().await.json()
    };
    let names = ask("ListTables", json!({})).await["TableNames"].as_array().unwrap().clone();
    assert_eq!(names.len(), terraform.matches("{ partition = ").count(), "{names:?}");
    for name in names {
        let table = ask("DescribeTable", json!({"TableName": name})).await["Table"].clone();
        let key = |at: usize| table["KeySchema"][at]["AttributeName"].as_str().map(ToOwned::to_owned);
        let of = |name: &str| {
            let attributes = table["AttributeDefinitions"].as_array().unwrap().iter();
            let attribute = attributes.clone().find(|attribute| attribute["AttributeName"] == name).unwrap();
            attribute["AttributeType"].as_str().unwrap().to_owned()
        };
        let (partition, quoted) = (key(0).unwrap(), |text: &str| format!("{text:?}"));
        assert_eq!(of(&partition), "S");
        let sort = key(1).map_or("null".into(), |name| quoted(&name));
        let kind = key(1).map_or("null".into(), |name| quoted(&of(&name)));
        let line = format!("{{ partition = {partition:?}, sort = {sort}, type = {kind} }}");
        let name = name.as_str().unwrap().trim_start_matches("parlance_").to_owned();
        let found = terraform.lines().find(|found| found.trim().split(' ').next() == Some(&name));
        assert!(found.unwrap().ends_with(&line), "{name}: {line}");
    }
}

#[tokio::test]
async fn a_cluster_of_strangers_is_refused() {
    let refused = async |options: &[&str], expected: &str| {
        let output = run_to_end(&[&["serve"], options].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{options:?}: {said}");
    };
    refused(&["--store", "dynamodb"], "share keys").await;
    refused(&["--redis", "redis://127.0.0.1:1"], "--store dynamodb").await;
    refused(&["--role", "bridge"], "--api-url").await;
}

#[tokio::test]
async fn readiness_says_when_redis_is_away_and_when_it_is_back() {
    let mut cluster = Cluster::start(1).await;
    let http = Http::new(cluster.nodes[0].admin());
    let says = async |status: u16, words: &str| {
        eventually(words, async || {
            let answer = http.get("/readyz").answer().await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.status == status && text.contains(words)).then_some(())
        })
        .await;
    };
    cluster.redis.kill().await.unwrap();
    says(503, "registry: unreachable").await;
    let page = http.get("/metrics").answer().await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.contains("parlance_ready 0") && page.contains("parlance_missing{what=\"registry\"} 1"));
    // Everything that does not need Redis works.
    let alice = cluster.person(0, "alice");
    let room = alice.channel().await;
    alice.say(&room, "with redis away").await;
    // An empty answer would wrongly mean that nobody is online.
    let ids = vec!["alice".to_owned()];
    let presence = alice.users().get_presence(GetPresenceRequest { user_ids: ids }).await.unwrap_err();
    assert_eq!(presence.code(), tonic::Code::Unavailable, "{presence}");
    // As far as it knows, nobody else could serve its clients.
    says(200, "without registry: unreachable").await;
    cluster.redis.restart().await.unwrap();
    eventually("nothing is missing any more", async || {
        let answer = http.get("/readyz").answer().await;
        (answer.status == 200 && answer.body == "ready\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn readiness_warns_of_a_redis_that_evicts() {
    let mut cluster = Cluster::start(0).await;
    for setting in [["maxmemory", "100mb"], ["maxmemory-policy", "allkeys-lru"]] {
        cluster.redis.command(&[&["CONFIG", "SET"], &setting[..]].concat()).await.unwrap();
    }
    let node = cluster.add().await;
    let http = Http::new(cluster.nodes[node].admin());
    eventually("it is warned of", async || {
        let answer = http.get("/readyz").answer().await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status == 200 && text.contains("warning, registry: redis evicts")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn readiness_says_when_the_store_fails_every_call() {
    use parlance_faults::dynamodb::{ANY, Fault};
    let cluster = Cluster::start(1).await;
    let http = Http::new(cluster.nodes[0].admin());
    cluster.dynamodb.plan().often(ANY, 1.0, Fault::Throttle);
    eventually("the store is of no use", async || {
        let answer = http.get("/readyz").answer().await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status == 503 && text.contains("overloaded")).then_some(())
    })
    .await;
    // Most probes use the empty name.
    let address = format!("http://{}", cluster.nodes[0].address());
    let channel = Endpoint::from_shared(address).unwrap().connect_lazy();
    for service in ["", "parlance.v1.ChatService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let health = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(health.status(), ServingStatus::NotServing, "{service:?}");
    }
}

#[tokio::test]
async fn readiness_says_when_the_store_does_not_answer() {
    use parlance_faults::dynamodb::{ANY, Fault};
    let cluster = Cluster::start(1).await;
    let http = Http::new(cluster.nodes[0].admin());
    let says = async |status: u16, words: &str| {
        eventually(words, async || {
            let answer = http.get("/readyz").answer().await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            (answer.status == status && text.contains(words)).then_some(())
        })
        .await;
    };
    cluster.dynamodb.plan().often(ANY, 1.0, Fault::Cut);
    says(503, "store: ").await;
    cluster.dynamodb.plan().clear();
    says(200, "ready").await;
}

#[tokio::test]
async fn simultaneous_sessions_queue_before_the_store() {
    use parlance_faults::dynamodb::{ANY, Fault};
    let cluster = Cluster::start(1).await;
    cluster.dynamodb.plan().often(ANY, 1.0, Fault::Delay(Duration::from_millis(100)));
    let mut coming = tokio::task::JoinSet::new();
    for number in 0..400 {
        let person = cluster.person(0, &format!("person-{number}"));
        coming.spawn(async move { drop(person.connect(DOORS[1]).await) });
    }
    // Every client is welcomed, or panics.
    within("all are welcomed", coming.join_all()).await;
    let most = cluster.dynamodb.tally().most_at_once;
    assert!((50..200).contains(&most), "{most} requests at a time");
}
