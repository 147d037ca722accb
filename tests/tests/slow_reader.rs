//! Clients that do not read, in a busy room: they cost others nothing, the server a
//! bounded amount, and themselves only time.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use tokio::time::Instant;

use parlance_proto::v1::GapReason;
use parlance_tests::{DOORS, Door, Person, Server, text_of, within};

/// Far more than the sockets hold: 20 MB.
const MESSAGES: usize = 20_000;
const BYTES: usize = 1_000;

/// Allowed memory growth of the server, including its caches and the room's recent
/// events, but not three times 20 MB queued for slow readers.
const MAX_GROWTH: u64 = 64 * 1024 * 1024;

/// How long a message may take to clients that do read. It takes milliseconds; the
/// machine may be busy.
const PROMPT: Duration = Duration::from_secs(5);

fn text(number: usize) -> String {
    format!("{number:0BYTES$}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_affect_nobody_and_miss_nothing() {
    let server = Server::start().await;
    let (alice, bob, slow) =
        (server.person("alice").await, server.person("bob").await, server.person("slow").await);
    let room = alice.group(&[&bob, &slow]).await;
    let start = [Person::cursor(&room, 4)];
    // They send hello and then read nothing: their windows close.
    let mut stuck = Vec::new();
    for door in DOORS {
        stuck.push(slow.resume(door, &start).await);
    }
    let mut quick = bob.resume(Door::WebSocketBinary, &start).await;
    // The sender reads its own events in between, like an app.
    let mut sender = alice.resume(Door::Grpc, &start).await;
    sender.flood(&room, 100, text).await;
    let before = server.resident_bytes();

    let mut peak = 0;
    let mut head = 104;
    while head < 104 + MESSAGES as u64 {
        let first = head as usize;
        let (last, events) = tokio::join!(
            sender.flood(&room, MESSAGES / 20, |number| text(first + number)),
            quick.events_up_to(&room, head + MESSAGES as u64 / 20),
        );
        head = last;
        assert_eq!(events.last().unwrap().seq, head, "who reads gets everything at once");
        peak = peak.max(server.resident_bytes());
    }
    let sent = Instant::now();
    head = alice.say(&room, "promptly").await;
    assert_eq!(text_of(&quick.event().await), "promptly");
    assert!(sent.elapsed() < PROMPT, "{:?}", sent.elapsed());
    println!("{} MB, then at most {} MB", before >> 20, peak >> 20);
    assert!(peak < before + MAX_GROWTH, "{} MB, then {} MB", before >> 20, peak >> 20);

    for conversation in &mut stuck {
        // Each conversation checks that nothing is missing in between.
        let events = within("all of it comes", conversation.events_up_to(&room, head)).await;
        assert_eq!(events.len() as u64, head - 4);
        assert_eq!(events.iter().filter(|event| text_of(event).len() == BYTES).count(), MESSAGES + 100);
    }
    // After that they get new messages like everyone else.
    alice.say(&room, "back among us").await;
    for conversation in &mut stuck {
        assert_eq!(text_of(&conversation.event().await), "back among us");
    }
}

/// A reader that stops in the middle of catching up leaves nothing locked. The windows
/// decide where exactly it stops, so there are many of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_stops_catching_up_blocks_no_other() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let head = at_alice.flood(&room, 3_000, |number| "x".repeat(300 + number * 7 % 1_400)).await;
    let mut stopped = Vec::new();
    for number in 0..80 {
        // Over gRPC, whose windows are small: the system's socket buffers hold
        // megabytes.
        let mut conversation = bob.resume(Door::Grpc, &[Person::cursor(&room, number * 7)]).await;
        conversation.event().await;
        stopped.push(conversation);
    }
    for door in DOORS {
        let mut conversation = bob.resume(door, &[Person::cursor(&room, 0)]).await;
        assert_eq!(conversation.events_up_to(&room, head).await.len() as u64, head, "through {door}");
    }
    for mut conversation in stopped {
        conversation.events_up_to(&room, head).await;
    }
}

/// However far behind a user is: events after their removal are not visible to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_slow_reader_sees_events_before_removal() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let mut behind = Vec::new();
    for door in DOORS {
        behind.push(bob.resume(door, &[Person::cursor(&room, 3)]).await);
    }
    let mut at_alice = alice.connect(Door::Grpc).await;
    at_alice.flood(&room, 10_000, text).await;
    let removed = alice.remove(&room, &bob).await;
    at_alice.flood(&room, 500, |_| "behind his back".to_owned()).await;
    let back = alice.add(&room, &bob).await;
    let last = alice.say(&room, "welcome back").await;
    for conversation in &mut behind {
        let mut seen = conversation.events_up_to(&room, removed).await;
        assert_eq!(seen.pop().unwrap().seq, removed);
        assert_eq!(seen.len(), 10_000);
        let gap = conversation.gap().await;
        assert_eq!((gap.from_seq, gap.to_seq, gap.reason()), (removed + 1, back - 1, GapReason::NotMember));
        let after = conversation.events_up_to(&room, last).await;
        assert_eq!((after.len(), text_of(&after[1])), (2, "welcome back"));
    }
}
