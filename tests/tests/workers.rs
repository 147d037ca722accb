//! Delivery of events by a cluster, by whichever node is available.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and says what it measured")]

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlance_faults::dynamodb::{ANY, Fault};
use parlance_proto::storage::v1::{ChunkRecord, Event};
use parlance_proto::v1::GetUserRequest;
use parlance_tests::{Cluster, Http, Launch, Person, Server, Setup, eventually, fresh};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::consumers::{refused, said};
use crate::events::{Consumer, from_beginning, open};
use crate::webhooks::{Endpoint, Mode, PRIVATE, file};

/// Time from the end of the delivering process until another one takes over.
const REPLACED_WITHIN: Duration = Duration::from_secs(15);

/// The first call creates the user.
pub(super) async fn registered(person: &Person) {
    let request = GetUserRequest { user_id: "me".to_owned() };
    person.users().get_user(request).await.unwrap();
}

/// The delivering node; there is never a second one.
async fn owner(cluster: &Cluster, of: &[usize]) -> usize {
    let servers: Vec<&Server> = of.iter().map(|node| &cluster.nodes[*node]).collect();
    of[owner_among(&servers).await]
}

/// Likewise among `servers`.
pub(super) async fn owner_among(servers: &[&Server]) -> usize {
    eventually("a process hands events on", async || {
        let mut owners = Vec::new();
        for (number, server) in servers.iter().enumerate() {
            let answer = Http::new(server.admin()).get("/consumers").answer().await;
            let is_here = |consumer: &Value| consumer["here"] == true;
            if answer.json().as_array().unwrap().iter().any(is_here) {
                owners.push(number);
            }
        }
        assert!(owners.len() <= 1, "{owners:?}");
        owners.pop()
    })
    .await
}

#[tokio::test]
async fn a_killed_node_is_replaced_and_nothing_is_lost() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let setup = Setup { options: vec!["--webhooks".to_owned(), webhooks], ..Setup::default() };
    let mut cluster = Cluster::start_with(3, setup).await;
    let first = owner(&cluster, &[0, 1, 2]).await;
    let other = (first + 1) % 3;
    let alice = cluster.person(other, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    for number in 0..10 {
        alice.say(&room, &format!("message {number}")).await;
    }
    cluster.kill(first).await;
    let killed = Instant::now();
    let mut head = 0;
    for number in 10..20 {
        head = alice.say(&room, &format!("message {number}")).await;
    }
    endpoint.has_all(&room, head).await;
    let taken = killed.elapsed();
    println!("replaced after {taken:?}");
    assert!(taken < REPLACED_WITHIN, "after {taken:?}");
    let left: Vec<usize> = (0..3).filter(|node| *node != first).collect();
    // On shutdown it releases the consumer's lease itself.
    let second = owner(&cluster, &left).await;
    let third = left.into_iter().find(|node| *node != second).unwrap();
    cluster.nodes[second].stop().await;
    let alice = cluster.person(third, &alice.id);
    let head = alice.say(&room, "after the stop").await;
    endpoint.has_all(&room, head).await;
}

#[tokio::test]
async fn workers_deliver_what_nodes_write_and_replace_each_other() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let cluster = Cluster::start(1).await;
    let launch = || worker(&cluster, &webhooks);
    let mut workers = [Server::launch(launch()).await, Server::launch(launch()).await];
    let first = owner_among(&[&workers[0], &workers[1]]).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    let head = alice.say(&room, "hello").await;
    endpoint.has_all(&room, head).await;
    assert_eq!(workers[first].http().get("/readyz").answer().await.status, 200);
    assert_eq!(workers[first].http().get("/v1/users/me").answer().await.status, 404);
    workers[first].kill().await;
    let killed = Instant::now();
    let head = alice.say(&room, "after the kill").await;
    endpoint.has_all(&room, head).await;
    let taken = killed.elapsed();
    println!("replaced after {taken:?}");
    assert!(taken < REPLACED_WITHIN, "after {taken:?}");
    // After a restart it waits for the lease.
    workers[first].start_again().await;
    workers[1 - first].stop().await;
    let head = alice.say(&room, "after the stop").await;
    endpoint.has_all(&room, head).await;
}

#[tokio::test]
async fn nothing_is_missing_while_the_tables_and_their_streams_fail() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let setup = Setup { options: vec!["--webhooks".to_owned(), webhooks], ..Setup::default() };
    let cluster = Cluster::start_with(2, setup).await;
    owner(&cluster, &[0, 1]).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let rooms = [alice.group(&[]).await, alice.group(&[]).await];
    let plan = cluster.dynamodb.plan();
    for call in ["GetRecords", "GetShardIterator", "DescribeStream", "BatchWriteItem"] {
        for fault in [Fault::Throttle, Fault::ServerError, Fault::LoseAnswer, Fault::Cut] {
            plan.often(call, 0.08, fault);
        }
    }
    plan.often(ANY, 0.05, Fault::PartialBatch);
    let mut heads = [0; 2];
    for number in 0..30 {
        heads[number % 2] = alice.say(&rooms[number % 2], &format!("message {number}")).await;
    }
    endpoint.has_all(&rooms[0], heads[0]).await;
    endpoint.has_all(&rooms[1], heads[1]).await;
}

/// Calls the API of the tables itself.
pub(super) async fn call(cluster: &Cluster, operation: &str, body: &Value) -> Value {
    let dynamodb = Http::new(cluster.dynamodb.direct_endpoint().replace("http://", ""));
    let call = dynamodb.call(http::Method::POST, "/").body(body.to_string());
    let call = call.header("content-type", "application/x-amz-json-1.0");
    // The emulator requires a signature, but does not verify it.
    let call = call.header("x-amz-date", "20260101T000000Z").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature=0",
    );
    let answer = call.header("x-amz-target", &format!("DynamoDB_20120810.{operation}")).answer().await;
    assert_eq!(answer.status, 200, "{operation}: {:?}", answer.body);
    answer.json()
}

/// How a process that only delivers to these webhooks is started.
pub(super) fn worker(cluster: &Cluster, webhooks: &str) -> Launch {
    let options = ["--role", "worker", "--store", "dynamodb", "--webhooks", webhooks];
    Launch {
        options: options.map(ToOwned::to_owned).into(),
        environment: cluster.environment(),
        is_bridge: true,
        ..Launch::default()
    }
}

/// Rows that are damaged hide no other consumer, and can be removed; a consumer that runs cannot.
#[tokio::test]
async fn a_damaged_consumer_is_listed_and_removed_and_one_that_runs_is_not() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let cluster = Cluster::start(1).await;
    let node = &cluster.nodes[0];
    let mut worker = Server::launch(worker(&cluster, &webhooks)).await;
    owner_among(&[&worker]).await;
    let row = json!({ "TableName": "parlance_consumers", "Item": {
        "consumer": { "S": "#consumers" }, "item": { "S": "broken" }, "v": { "B": "/////w==" },
    }});
    call(&cluster, "PutItem", &row).await;
    let listed = said(node, &["list"]).await;
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).expect("it is listed");
    assert!(line("broken").contains("damaged") && line("broken").contains("consumer broken"), "{listed}");
    assert!(line("hook-0").contains("not-configured"), "{listed}");
    assert!(line("hook-0").contains("has its lease"), "{listed}");
    let removed = said(node, &["remove", "broken"]).await;
    assert!(removed.contains("removed broken"), "{removed}");
    let why = refused(node, &["remove", "hook-0"]).await;
    assert!(why.contains("runs the consumer hook-0"), "{why}");
    // Its lease ends with it, after a while.
    worker.kill().await;
    said(node, &["remove", "hook-0"]).await;
    assert_eq!(said(node, &["list"]).await.lines().count(), 1);
    worker.start_again().await;
    owner_among(&[&worker]).await;
}

/// Units of DynamoDB that a process has counted, by operation.
async fn units(server: &Server, metric: &str) -> BTreeMap<String, f64> {
    let answer = Http::new(server.admin()).get("/metrics").answer().await;
    let metrics = String::from_utf8_lossy(&answer.body);
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix("{operation=\""));
    lines
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(of, n)| (of.to_owned(), n.parse().unwrap()))
        .collect()
}

const READ_UNITS: &str = "parlance_dynamodb_read_units_total";
const WRITE_UNITS: &str = "parlance_dynamodb_write_units_total";

/// A message costs one write unit, whether or not its event leaves. Prints what delivering costs
/// (`--no-capture`): docs/events.md.
#[tokio::test]
async fn events_add_nothing_to_what_a_message_costs() {
    const MESSAGES: usize = 40;
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let cluster = Cluster::start(1).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    let appended = async || units(&cluster.nodes[0], WRITE_UNITS).await.get("append").copied().unwrap_or(0.0);
    let send = async |begin: f64| {
        let mut head = 0;
        for number in 0..MESSAGES {
            head = alice.say(&room, &format!("message {number}")).await;
        }
        assert!((appended().await - begin - MESSAGES as f64).abs() < 0.5);
        head
    };
    send(appended().await).await;
    let worker = Server::launch(worker(&cluster, &webhooks)).await;
    owner_among(&[&worker]).await;
    let head = send(appended().await).await;
    endpoint.has_all(&room, head).await;
    println!("{head} events: read {:?}", units(&worker, READ_UNITS).await);
    println!("{head} events: written {:?}", units(&worker, WRITE_UNITS).await);
}

#[tokio::test]
async fn other_services_stream_events_from_any_node() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    alice.say(&room, "before").await;
    let token = cluster.service_token("search");
    let mut stream = open(&cluster.nodes[1].address(), &token, from_beginning()).await.unwrap();
    let mut consumer = Consumer::default();
    let head = alice.say(&room, "meanwhile").await;
    consumer.read_to(&mut stream, &room, head).await;
    let head = alice.say(&room, "after").await;
    consumer.read_to(&mut stream, &room, head).await;
    assert_eq!(consumer.texts(&room), ["before", "meanwhile", "after"]);
}

/// DynamoDB refuses the third reader of a shard now and then: a stream waits as it does for events, and goes on.
#[tokio::test]
async fn a_stream_of_events_outlasts_throttled_reads() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    let token = cluster.service_token("search");
    let mut stream = open(&cluster.nodes[0].address(), &token, from_beginning()).await.unwrap();
    let mut consumer = Consumer::default();
    let head = alice.say(&room, "before").await;
    consumer.read_to(&mut stream, &room, head).await;
    let plan = cluster.dynamodb.plan();
    plan.often("GetRecords", 1.0, Fault::Throttle);
    let throttled = || cluster.dynamodb.tally().struck_by("throttle");
    eventually("all reads are throttled", async || (throttled() > 16).then_some(())).await;
    plan.clear();
    let head = alice.say(&room, "after").await;
    consumer.read_to(&mut stream, &room, head).await;
    assert_eq!(consumer.texts(&room), ["before", "after"]);
}

/// Stores the event `seq` of a room, which is a chunk of its own, as a later version would: of a kind unknown here.
async fn make_later(cluster: &Cluster, room: &str, seq: u64) {
    let key = json!({ "r": { "S": room }, "q": { "N": seq.to_string() } });
    let get = json!({ "TableName": "parlance_messages", "Key": key, "ConsistentRead": true });
    let item = call(cluster, "GetItem", &get).await;
    let stored = STANDARD.decode(item["Item"]["e"]["B"].as_str().unwrap()).unwrap();
    let mut chunk = ChunkRecord::decode(stored.as_slice()).unwrap();
    let [event] = chunk.events.as_mut_slice() else { panic!("one event each") };
    let kept = Event { body: None, ..Event::decode(event.clone()).unwrap() };
    // Field 900, of some bytes.
    let body = [&[0xa2, 0x38, LATER.len() as u8], LATER].concat();
    *event = [kept.encode_to_vec(), body].concat().into();
    let update = json!({
        "TableName": "parlance_messages",
        "Key": key,
        "UpdateExpression": "SET e = :e",
        "ExpressionAttributeValues": { ":e": { "B": STANDARD.encode(chunk.encode_to_vec()) } },
    });
    call(cluster, "UpdateItem", &update).await;
}

const LATER: &[u8] = b"of a later version";

/// Nodes of a later version have written it, while workers of this one still run.
#[tokio::test]
async fn a_stored_event_of_a_later_version_is_posted() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let cluster = Cluster::start(1).await;
    let worker = Server::launch(worker(&cluster, &webhooks)).await;
    owner_among(&[&worker]).await;
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    let head = alice.say(&room, "before").await;
    endpoint.has_all(&room, head).await;
    said(&worker, &["pause", "hook-0"]).await;
    let later = alice.say(&room, "of this version").await;
    make_later(&cluster, &room, later).await;
    let head = alice.say(&room, "after").await;
    said(&worker, &["resume", "hook-0"]).await;
    endpoint.has_all(&room, head).await;
    let bodies = endpoint.bodies();
    let kind = |seq: u64| {
        let seq = json!(seq.to_string());
        let events = bodies.iter().map(|body| serde_json::from_slice::<Value>(body).unwrap());
        let mut events = events.filter(|event| event["data"]["seq"] == seq);
        events.next().unwrap()["type"].clone()
    };
    assert_eq!((kind(later), kind(head)), (json!("parlance.unknown.v1"), json!("parlance.message.sent.v1")));
    assert!(bodies.iter().all(|body| !body.windows(15).any(|part| part == b"of this version")));
}
