//! Commands of the Rust client, while its server and its own process are killed.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parlance_client::transport::Dialer;
use parlance_client::{Config, FileCommandStore, Message, Session, v1};
use parlance_proto::v1::event::Body;
use parlance_tests::{Door, Server, text_of, within};

const LIVES: usize = 6;
const EACH: usize = 12;

/// A process that queues messages until it is killed at any moment: its tasks are dropped where they are.
fn live(address: String, token: String, store: PathBuf, room: String, life: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = Config::new(Dialer::new(Door::Grpc, address), token);
        config.command_store = Some(Arc::new(FileCommandStore::new(store)));
        let (session, updates) = Session::start(config);
        drop(updates);
        for number in 0..EACH {
            let message: v1::SendMessageRequest = Message::to_room(&room, format!("{life}/{number}")).into();
            let queued = session.submit(message).await.unwrap();
            // At another position in each life: the remaining commands are queued, and perhaps in flight.
            if number + 2 == EACH - life {
                let _ = queued.done().await;
            }
        }
    });
    // A write in progress ends as in a killed process: complete or not, and the file is unlocked.
    runtime.shutdown_timeout(Duration::from_secs(10));
}

#[tokio::test]
async fn each_message_is_stored_once_and_in_order_when_processes_are_killed() {
    let mut server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("queue");
    for life in 0..LIVES {
        let (address, token) = (server.address(), alice.token.clone());
        let (store, room) = (store.clone(), room.clone());
        let living = tokio::task::spawn_blocking(move || live(address, token, store, room, life));
        if life % 2 == 1 {
            server.kill().await;
            server.start_again().await;
        }
        within("a life ends", living).await.unwrap();
    }
    let mut config = Config::new(Dialer::new(Door::Grpc, server.address()), alice.token.clone());
    config.command_store = Some(Arc::new(FileCommandStore::new(&store)));
    let (session, updates) = Session::start(config);
    drop(updates);
    let last =
        within("it is queued", session.submit(v1::SendMessageRequest::from(Message::to_room(&room, "last"))))
            .await;
    // Queued after all others of its room.
    within("all is sent", last.unwrap().done()).await.unwrap();
    let alice = server.person_with("alice", &alice.token);
    let log = alice.log(&room).await;
    let sent: Vec<&str> =
        log.iter().filter(|event| matches!(event.body, Some(Body::Message(_)))).map(text_of).collect();
    let mut wanted: Vec<String> =
        (0..LIVES).flat_map(|life| (0..EACH).map(move |number| format!("{life}/{number}"))).collect();
    wanted.push("last".to_owned());
    let mut copies = BTreeMap::new();
    for text in &sent {
        *copies.entry(*text).or_insert(0) += 1;
    }
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    assert_eq!(sent, wanted);
}
