//! Delivery to Kafka: a real broker, and an independent consumer that proves completeness.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use parlance_faults::kafka::{Broker, tools};
use parlance_tests::{Person, Server, deploy, eventually, fresh};
use tempfile::TempDir;
use tokio::process::Command;

/// A configuration file with the broker's topic, which is created.
fn file(broker: &Broker, more: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("kafka.toml");
    let address = broker.address();
    let text = format!(
        "brokers = '{address}'\ntopic = 'events'\npartitions = 6\ncreate-with-replicas = 1\n{more}\n"
    );
    std::fs::write(&path, text).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

/// Rooms with their last events.
struct Rooms(BTreeMap<String, u64>);

impl Rooms {
    async fn new(alice: &Person, count: usize) -> Self {
        let mut rooms = BTreeMap::new();
        for _ in 0..count {
            let room = alice.group(&[]).await;
            rooms.insert(room, 0);
        }
        Self(rooms)
    }

    async fn say(&mut self, alice: &Person, rounds: usize) {
        for number in 0..rounds {
            for (room, head) in &mut self.0 {
                *head = alice.say(room, &format!("message {number}")).await;
            }
        }
    }

    /// Reads the topic with the Python example, which fails on a gap. It exits once it has as many events as
    /// there are.
    async fn are_in(&self, broker: &Broker, dir: &Path) {
        let all: u64 = self.0.values().sum();
        let mut example = Command::new(tools().join("venv/bin/python"));
        example.arg(deploy().join("../clients/python/events/from_kafka.py"));
        example.args(["--brokers", &broker.address(), "--topic", "events", "--until", &all.to_string()]);
        example.arg("--database").arg(dir.join("seen.db"));
        example.stdin(Stdio::null()).kill_on_drop(true);
        let mut child = example.spawn().unwrap();
        let status = eventually("the example has all events", async || child.try_wait().unwrap()).await;
        assert!(status.success(), "the example found a hole");
    }

    /// The same with the example in JavaScript, whose client shares no code with ours.
    async fn are_read_in_node(&self, broker: &Broker, dir: &Path) {
        let all: u64 = self.0.values().sum();
        let mut example = Command::new("node");
        example.arg(deploy().join("../clients/node/events/from-kafka.cjs"));
        example.args([&broker.address(), "events"]).arg(dir.join("seen.jsonl")).arg(all.to_string());
        example.env("NODE_PATH", deploy().join("../tools/node_modules"));
        example.stdin(Stdio::null()).kill_on_drop(true);
        let mut child = example.spawn().unwrap();
        let status = eventually("the example has all events", async || child.try_wait().unwrap()).await;
        assert!(status.success(), "the example found a hole");
    }
}

#[tokio::test]
async fn a_foreign_consumer_gets_every_event_in_order_though_the_server_is_killed() {
    let broker = Broker::start().await.unwrap();
    let (dir, file) = file(&broker, "start = 'beginning'");
    let mut server = Server::start_with(&["--user-rate", "0", "--kafka", &file]).await;
    let alice = server.person(&fresh("alice")).await;
    let mut rooms = Rooms::new(&alice, 5).await;
    for _ in 0..3 {
        rooms.say(&alice, 8).await;
        server.kill().await;
        server.start_again().await;
    }
    rooms.say(&alice, 4).await;
    tokio::join!(rooms.are_in(&broker, dir.path()), rooms.are_read_in_node(&broker, dir.path()));
}

#[tokio::test]
async fn a_broker_that_is_away_or_does_not_answer_holds_nobody_up_and_loses_nothing() {
    let mut broker = Broker::absent().unwrap();
    let (dir, file) = file(&broker, "format = 'json'");
    let mut server = Server::start_with(&["--user-rate", "0", "--kafka", &file]).await;
    let alice = server.person(&fresh("alice")).await;
    let mut rooms = Rooms::new(&alice, 3).await;
    rooms.say(&alice, 5).await;
    // With no broker at all there is nothing to wait for.
    eventually("the log says so", async || server.output().contains("sink is unavailable").then_some(()))
        .await;
    server.stop().await;
    assert!(!server.output().contains("is_away=false"), "{}", server.output());
    server.start_again().await;
    broker.come().await.unwrap();
    rooms.say(&alice, 5).await;
    broker.stall(true).await.unwrap();
    rooms.say(&alice, 10).await;
    // Nor does it delay the server's shutdown.
    server.stop().await;
    server.start_again().await;
    rooms.say(&alice, 2).await;
    broker.stall(false).await.unwrap();
    rooms.are_in(&broker, dir.path()).await;
}

#[tokio::test]
async fn a_topic_with_another_number_of_partitions_gets_nothing() {
    let broker = Broker::start().await.unwrap();
    let (dir, path) = file(&broker, "");
    let mut server = Server::start_with(&["--user-rate", "0", "--kafka", &path]).await;
    let alice = server.person(&fresh("alice")).await;
    let mut rooms = Rooms::new(&alice, 2).await;
    rooms.say(&alice, 2).await;
    rooms.are_in(&broker, dir.path()).await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("partitions = 6", "partitions = 7")).unwrap();
    server.stop().await;
    server.start_again().await;
    rooms.say(&alice, 2).await;
    eventually("the log says so", async || {
        server.output().contains("has 6 partitions, and not 7").then_some(())
    })
    .await;
    std::fs::write(&path, text).unwrap();
    server.stop().await;
    server.start_again().await;
    rooms.are_in(&broker, dir.path()).await;
}

#[tokio::test]
async fn a_topic_of_ids_gets_no_text() {
    for (content, has_text) in [("full", true), ("ids", false)] {
        let broker = Broker::start().await.unwrap();
        let (dir, path) = file(&broker, &format!("content = '{content}'"));
        let server = Server::start_with(&["--user-rate", "0", "--kafka", &path]).await;
        let alice = server.person(&fresh("alice")).await;
        let mut rooms = Rooms::new(&alice, 1).await;
        rooms.say(&alice, 2).await;
        rooms.are_in(&broker, dir.path()).await;
        // The values, as they are in the topic.
        let seen = std::fs::read(dir.path().join("seen.db")).unwrap();
        let text = b"message 1";
        assert_eq!(seen.windows(text.len()).any(|part| part == text), has_text, "{content}");
    }
}
