//! Tables that are restored from a backup, and what consumers of events get afterwards.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_tests::{Cluster, Http, Person, Server, Setup, eventually, fresh};
use serde_json::json;

use crate::consumers::said;
use crate::webhooks::{Endpoint, Mode, PRIVATE, file};
use crate::workers::{call, owner_among, registered, worker};

/// Waits until all events of a room, up to `head`, were accepted under a later epoch, first occurrences in order.
async fn has_all_again(endpoint: &Endpoint, room: &str, head: u64) {
    let again = eventually("all is posted under the new epoch", async || {
        let mut again: Vec<(u64, u64)> = Vec::new();
        for key in endpoint.accepted(room).into_iter().filter(|(epoch, _)| *epoch > 1) {
            if again.last().is_none_or(|last| key > *last) {
                again.push(key);
            }
        }
        again.last().is_some_and(|(_, seq)| *seq >= head).then_some(again)
    })
    .await;
    let (epoch, seqs): (Vec<u64>, Vec<u64>) = again.into_iter().unzip();
    assert!(epoch.iter().all(|each| *each == epoch[0]), "{epoch:?}");
    assert_eq!(seqs, (1..=head).collect::<Vec<u64>>());
}

async fn talker(cluster: &Cluster) -> (Person, String) {
    let alice = cluster.person(0, &fresh("alice"));
    registered(&alice).await;
    let room = alice.group(&[]).await;
    (alice, room)
}

/// It has no other use for the identity of the store, and would send new events under ids of earlier ones.
#[tokio::test]
async fn a_worker_posts_restored_rooms_under_their_new_epoch() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let mut cluster = Cluster::start(1).await;
    let mut worker = Server::launch(worker(&cluster, &webhooks)).await;
    owner_among(&[&worker]).await;
    let (alice, room) = talker(&cluster).await;
    let mut head = 0;
    for number in 0..3 {
        head = alice.say(&room, &format!("message {number}")).await;
    }
    endpoint.has_all(&room, head).await;
    worker.stop().await;
    cluster.nodes[0].stop().await;
    cluster.run(&["restored", "--store", "dynamodb"]).await;
    cluster.start_again(0).await;
    worker.start_again().await;
    has_all_again(&endpoint, &room, head).await;
    let head = cluster.person(0, &alice.id).say(&room, "and on").await;
    has_all_again(&endpoint, &room, head).await;
}

/// Copies all items of tables of the first prefix into those of another.
async fn copy(cluster: &Cluster, tables: &[&str], to: &str) {
    cluster.run(&["tables", "create", "--table-prefix", to]).await;
    for table in tables {
        let found = call(cluster, "Scan", &json!({ "TableName": format!("parlance_{table}") })).await;
        for item in found["Items"].as_array().unwrap() {
            let put = json!({ "TableName": format!("{to}{table}"), "Item": item });
            call(cluster, "PutItem", &put).await;
        }
    }
}

/// A consumer that was paused, with an event that it had not got.
async fn paused(endpoint: &Endpoint, webhooks: String) -> (Cluster, String, u64) {
    let setup = Setup { options: vec!["--webhooks".to_owned(), webhooks], ..Setup::default() };
    let mut cluster = Cluster::start_with(1, setup).await;
    owner_among(&[&cluster.nodes[0]]).await;
    let (alice, room) = talker(&cluster).await;
    let head = alice.say(&room, "before").await;
    endpoint.has_all(&room, head).await;
    said(&cluster.nodes[0], &["pause", "hook-0"]).await;
    let head = alice.say(&room, "not sent yet").await;
    eventually("it is pending", async || {
        let listed = Http::new(cluster.nodes[0].admin()).get("/consumers").answer().await.json();
        (listed[0]["lag_seconds"].as_f64()? > 0.0).then_some(())
    })
    .await;
    cluster.nodes[0].stop().await;
    (cluster, room, head)
}

async fn start_on(cluster: &Cluster, prefix: &str) -> Server {
    let mut launch = cluster.launch();
    launch.options.extend(["--table-prefix", prefix].map(ToOwned::to_owned));
    let node = Server::launch(launch).await;
    owner_among(&[&node]).await;
    node
}

#[tokio::test]
async fn consumers_that_are_restored_with_the_tables_get_everything_of_the_new_epoch() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let (cluster, room, head) = paused(&endpoint, webhooks).await;
    let posts = endpoint.posts();
    copy(&cluster, &["users", "rooms", "messages", "user_rooms", "consumers"], "restored_").await;
    let node = start_on(&cluster, "restored_").await;
    let listed = said(&node, &["list"]).await;
    assert!(listed.contains("paused"), "{listed}");
    assert_eq!(endpoint.posts(), posts);
    said(&node, &["resume", "hook-0"]).await;
    has_all_again(&endpoint, &room, head).await;
    assert!(!node.output().contains("in a restored store"), "{}", node.output());
}

/// Without that table it cannot be told from one that is configured for the first time.
#[tokio::test]
async fn a_consumer_that_is_new_in_restored_tables_is_reported() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let (cluster, room, head) = paused(&endpoint, webhooks).await;
    copy(&cluster, &["users", "rooms", "messages", "user_rooms"], "restored_").await;
    let node = start_on(&cluster, "restored_").await;
    eventually("the log says so", async || {
        let output = node.output();
        let mut lines = output.lines().filter(|line| line.contains("in a restored store"));
        lines.any(|line| line.contains("WARN") && line.contains("hook-0")).then_some(())
    })
    .await;
    // As it advises.
    said(&node, &["replay", "hook-0"]).await;
    has_all_again(&endpoint, &room, head).await;
}

/// Items were restored into the tables while processes were still running: what they remember is of another history.
#[tokio::test]
async fn a_process_that_runs_during_a_restore_ends() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (_dir, webhooks) = file(&[&endpoint], PRIVATE);
    let mut cluster = Cluster::start(1).await;
    let mut worker = Server::launch(worker(&cluster, &webhooks)).await;
    owner_among(&[&worker]).await;
    let (alice, room) = talker(&cluster).await;
    for number in 0..3 {
        alice.say(&room, &format!("message {number}")).await;
    }
    cluster.run(&["restored", "--store", "dynamodb"]).await;
    for process in [&mut worker, &mut cluster.nodes[0]] {
        assert!(!process.exited().await.success());
        let says_why = async || process.output().contains("the tables were restored").then_some(());
        eventually("it says why", says_why).await;
    }
    // The supervisor of each starts it again: whatever was sent before, all is sent under the new epoch.
    cluster.start_again(0).await;
    worker.start_again().await;
    let head = cluster.person(0, &alice.id).say(&room, "and on").await;
    has_all_again(&endpoint, &room, head).await;
}
