//! Peers that request a lot and read nothing: what they hold is bounded, and they
//! delay nobody.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::Request;
use parlance_proto::v1;
use parlance_tests::{DOORS, Door, Person, Server, text_of};

/// Maximum text size; a page of maximum size would be 3.2 MB.
const TEXT: usize = 16 * 1024;
const PAGE: u32 = 200;

/// Connections per transport, each with the maximum number of requests in flight.
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;

/// Maximum size of a page; see `limits.rs` of the api.
const PAGE_BYTES: u64 = 128 * 1024;

/// What a connection may hold, and what it takes to make that, in bytes.
const HELD: u64 = 3 << 20;

/// What those take who read, in bytes.
const OTHERS: u64 = 24 << 20;

fn page(room: &str) -> v1::ListMessagesRequest {
    v1::ListMessagesRequest { room_id: room.to_owned(), page_size: PAGE, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_peers_that_never_read_are_bounded() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let head = alice.connect(DOORS[0]).await.flood(&room, PAGE as usize, |_| "x".repeat(TEXT)).await;
    // Once to warm the caches.
    let events = bob.resume(Door::Grpc, &[Person::cursor(&room, 0)]).await.events_up_to(&room, head).await;
    assert_eq!(events.len() as u64, head);
    let before = server.resident_bytes();
    let mut stuck = Vec::new();
    for door in DOORS {
        for _ in 0..CONNECTIONS {
            let mut conversation = bob.resume(door, &[Person::cursor(&room, head)]).await;
            for _ in 0..IN_FLIGHT {
                conversation.send(page(&room).into_operation()).await;
            }
            stuck.push(conversation);
        }
    }
    // Others continue unaffected: reading, writing, connecting.
    let mut peak = 0;
    for door in DOORS.into_iter().cycle().take(60) {
        let mut conversation = alice.resume(door, &[Person::cursor(&room, head)]).await;
        let sent = conversation.call(Person::message(&room, "still here")).await.unwrap();
        let page = conversation.call(page(&room)).await.unwrap();
        assert_eq!(page.messages.last().map(text_of), Some("still here"));
        assert_eq!(conversation.events_up_to(&room, sent.seq).await.last().map(text_of), Some("still here"));
        peak = peak.max(server.resident_bytes());
    }
    let connections = (DOORS.len() * CONNECTIONS) as u64;
    let pages = connections * IN_FLIGHT as u64 * PAGE_BYTES;
    println!("{} MB, then at most {} MB; all pages are {} MB", before >> 20, peak >> 20, pages >> 20);
    assert!(peak < before + connections * HELD + OTHERS, "{} MB, then {} MB", before >> 20, peak >> 20);

    // And once they read, everything arrives.
    let sent = alice.say(&room, "the last").await;
    for conversation in &mut stuck {
        let events = conversation.events_up_to(&room, sent).await;
        assert_eq!(events.last().map(text_of), Some("the last"));
    }
}
