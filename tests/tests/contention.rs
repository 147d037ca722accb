//! Several nodes that write one room concurrently.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parlance_client::transport::Door;
use parlance_client::{Message, Request};
use parlance_faults::dynamodb::{self, ANY, Fault, Proxy};
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::{EditMessageRequest, JoinRoomRequest, SendMessageRequest};
use parlance_tests::{Cluster, Http, Launch, Person, Server, fresh, within};
use tokio::task::JoinSet;

use crate::fleet::{is_message, person, session};

/// A node that loses a race for a room has to read before it retries, so with a slow store it
/// would lose all of them; even the room's home that others forward to.
#[tokio::test]
async fn slow_store_does_not_starve_writer_under_contention() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.dynamodb.direct_endpoint();
    let store = store.trim_start_matches("http://").parse().unwrap();
    let way = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    way.plan().often(ANY, 1.0, Fault::Delay(Duration::from_millis(60)));
    let environment = dynamodb::environment(&way.endpoint());
    let far = Server::launch(Launch { environment, ..cluster.launch() }).await;
    cluster.nodes.push(far);
    cluster.ready(1).await;
    let (near, far) = (person(&cluster, 0, "near").await, person(&cluster, 1, "far").await);
    let (writing, _) = session(&cluster, "near", &[0]);
    let (trying, _) = session(&cluster, "far", &[1]);
    let mut writers = JoinSet::new();
    let mut rooms = Vec::new();
    // Enough for each node to be the home of one.
    for _ in 0..6 {
        let room = near.group(&[&far]).await;
        for _ in 0..2 {
            let (room, writing) = (room.clone(), writing.clone());
            writers.spawn(async move {
                while writing.send_message(Message::to_room(&room, "a lot")).await.is_ok() {}
            });
        }
        rooms.push(room);
    }
    let mut tries = JoinSet::new();
    for room in rooms {
        let trying = trying.clone();
        tries.spawn(async move {
            for number in 0..10 {
                let message = Message::to_room(&room, format!("try {number}"));
                within("it gets through", trying.send_message(message)).await.unwrap();
            }
        });
    }
    within("all get through", async {
        while let Some(tried) = tries.join_next().await {
            tried.unwrap();
        }
    })
    .await;
}

/// Operations of every kind that change a room, pipelined.
fn mixed(room: &str, number: u64) -> Operation {
    let (room_id, request_id) = (room.to_owned(), fresh("mixed"));
    let message = Person::message(room, &format!("number {number}"));
    match number % 5 {
        0 => EditMessageRequest {
            room_id,
            seq: 5,
            text: format!("edit {number}"),
            request_id,
            after_seq: None,
            ..Default::default()
        }
        .into_operation(),
        2 => SendMessageRequest { reply_to_seq: 5, ..message }.into_operation(),
        _ => message.into_operation(),
    }
}

/// Sends are forwarded to the room's home, while other commands of the same user cannot be.
#[tokio::test]
async fn pipelined_commands_keep_their_order_under_contention() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.dynamodb.direct_endpoint();
    let store = store.trim_start_matches("http://").parse().unwrap();
    let way = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    way.plan().often(ANY, 1.0, Fault::Delay(Duration::from_millis(10)));
    let environment = dynamodb::environment(&way.endpoint());
    cluster.nodes.push(Server::launch(Launch { environment, ..cluster.launch() }).await);
    cluster.ready(1).await;
    let people = [person(&cluster, 0, "near").await, person(&cluster, 1, "far").await];
    // Enough for each node to be the home of one.
    let mut rooms = Vec::new();
    for _ in 0..4 {
        let room = people[0].group(&[&people[1]]).await;
        // Created, two members; then a message of each, and an edit of it.
        for person in &people {
            person.say(&room, "the first").await;
        }
        rooms.push(room);
    }
    let mut conversations = JoinSet::new();
    let any_forwarded = Arc::new(AtomicBool::new(false));
    for (at, person) in people.iter().enumerate() {
        for room in rooms.clone() {
            let mut conversation = person.connect(Door::Grpc).await;
            let any_forwarded = any_forwarded.clone();
            conversations.spawn(async move {
                let (mut seqs, mut failed, mut round) = (Vec::new(), 0, 0);
                // On a fast machine the two hardly compete in the first rounds.
                while round < 6 || !any_forwarded.load(Ordering::SeqCst) {
                    let mut ids = Vec::new();
                    for number in 0..40 {
                        let mut operation = mixed(&room, 40 * round + number);
                        if let Operation::EditMessage(edit) = &mut operation {
                            edit.seq = 4 + at as u64;
                        }
                        ids.push(conversation.send(operation).await);
                    }
                    for id in ids {
                        match conversation.reply(&id).await {
                            Ok(Answer::SendMessage(sent)) => seqs.push(sent.seq),
                            Ok(Answer::EditMessage(edited)) => seqs.push(edited.outcome.unwrap().seq),
                            Ok(other) => panic!("{other:?}"),
                            Err(failure) if failure.reason == "contention" => failed += 1,
                            Err(failure) => panic!("{failure:?}"),
                        }
                    }
                    round += 1;
                }
                assert!(failed < 10 * round, "{failed} of {} failed", 40 * round);
                assert!(seqs.is_sorted_by(|one, next| one < next), "of node {at}: {seqs:?}");
            });
        }
    }
    // Meanwhile a node becomes the home of some rooms, and is killed.
    let third = cluster.add().await;
    cluster.kill(third).await;
    cluster.nodes.truncate(third);
    within("a command is forwarded", async {
        while !forwards(&cluster).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    any_forwarded.store(true, Ordering::SeqCst);
    within("all are answered", async {
        while let Some(conversation) = conversations.join_next().await {
            conversation.unwrap();
        }
    })
    .await;
}

/// Whether a node has forwarded a command.
async fn forwards(cluster: &Cluster) -> bool {
    for node in &cluster.nodes {
        let page = Http::new(node.admin()).get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        if page.lines().any(|line| line.starts_with("parlance_sends_forwarded_total{")) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn many_nodes_write_one_room_and_everyone_gets_their_turn() {
    let cluster = Cluster::start(4).await;
    let owner = person(&cluster, 0, "owner").await;
    let room = owner.channel().await;
    let mut writers = JoinSet::new();
    for node in 0..4 {
        let writer = person(&cluster, node, &format!("w{node}")).await;
        writer
            .rooms()
            .join_room(JoinRoomRequest {
                room_id: room.clone(),
                request_id: fresh("join"),
                ..Default::default()
            })
            .await
            .unwrap();
        let (session, mut updates) = session(&cluster, &writer.id, &[node]);
        tokio::spawn(async move { while updates.recv().await.is_some() {} });
        let room = room.clone();
        writers.spawn(async move {
            let sends = (0..100)
                .map(|number| session.send_message(Message::to_room(&room, format!("{node} {number}"))));
            let mut seqs = Vec::new();
            for sent in futures::future::join_all(sends).await {
                seqs.push(sent.unwrap().seq);
            }
            seqs
        });
    }
    let mut seqs: Vec<u64> = within("everyone is done", writers.join_all()).await.concat();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 400, "each has a place of its own");
    let log = owner.log(&room).await;
    assert!(log.iter().map(|event| event.seq).eq(1..=log.len() as u64));
    assert_eq!(log.iter().filter(|event| is_message(event)).count(), 400);
}
