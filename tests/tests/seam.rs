//! The transition from catching up to live: rooms with constant traffic, and readers
//! who constantly reconnect.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_client::Request;
use parlance_client::transport::Dialer;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::{ClientFrame, Event, Hello};
use parlance_tests::{Contiguity, DOORS, Door, Item, Person, Server};
use tokio::task::JoinSet;

const ROOMS: usize = 3;
const CONNECTIONS: usize = 200;

/// Sends to all rooms until stopped; returns the number of messages.
async fn write(writer: Person, door: Door, rooms: Vec<String>, stop: Arc<AtomicBool>) -> usize {
    let mut conversation = writer.connect(door).await;
    let mut said = 0;
    while !stop.load(Ordering::Relaxed) {
        // Some concurrently, so that appends contain several events.
        let mut waiting = Vec::new();
        for room in &rooms {
            for _ in 0..said % 4 {
                let text = format!("{} {said}", writer.id);
                waiting.push(conversation.send(Person::message(room, &text).into_operation()).await);
                said += 1;
            }
            said += 1;
            let text = format!("{} {said}", writer.id);
            waiting.push(conversation.send(Person::message(room, &text).into_operation()).await);
        }
        for id in waiting {
            conversation.reply(&id).await.unwrap();
        }
    }
    said
}

/// A reader's position, and everything received.
#[derive(Default)]
struct Read {
    events: HashMap<String, Vec<Event>>,
    contiguity: Contiguity,
}

impl Read {
    fn take(&mut self, item: Item) {
        self.contiguity.follow(&item);
        match item {
            Item::Event(event) => self.events.entry(event.room_id.clone()).or_default().push(event),
            Item::Gap(gap) => panic!("nobody here has a gap: {gap:?}"),
        }
    }
}

/// Reconnects repeatedly, each time reading for a while from its position.
async fn read(reader: Person, door: Door, server: String, mut random: u64) -> Read {
    let mut read = Read::default();
    for _ in 0..CONNECTIONS {
        // A linear congruential generator: the same sequence on each run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cursors = read.contiguity.cursors();
        if random >> 61 == 0 {
            // Disconnects before the welcome.
            let connection = Dialer::new(door, &*server).connect(&reader.token).await.unwrap();
            let operation = Some(Operation::Hello(Hello { device_id: String::new(), cursors }));
            connection
                .send(ClientFrame { request_id: String::new(), operation, as_user: String::new() })
                .await
                .unwrap();
            continue;
        }
        let mut conversation = reader.resume(door, &cursors).await;
        for _ in 0..(random >> 33) % 80 {
            read.take(conversation.item().await);
        }
    }
    read
}

fn said_in(event: &Event) -> Option<&str> {
    match &event.body {
        Some(Body::Message(message)) => Some(&message.text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_reordered_at_the_seam() {
    let server = Server::start().await;
    let owner = server.person("owner").await;
    let mut readers = Vec::new();
    let mut writers = Vec::new();
    for (number, door) in DOORS.into_iter().enumerate() {
        writers.push((server.person(&format!("writer-{number}")).await, door));
        readers.push((server.person(&format!("reader-{number}")).await, door));
        readers.push((server.person(&format!("reader-{number}-again")).await, door));
    }
    let everyone: Vec<&Person> = readers.iter().chain(&writers).map(|(person, _)| person).collect();
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(owner.group(&everyone).await);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    for (writer, door) in writers.clone() {
        writing.spawn(write(writer, door, rooms.clone(), stop.clone()));
    }
    let mut reading = JoinSet::new();
    for (seed, (reader, door)) in readers.iter().cloned().enumerate() {
        let address = server.address();
        reading.spawn(async move {
            let done = read(reader.clone(), door, address, seed as u64).await;
            (reader, door, done)
        });
    }
    let read = reading.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let said: usize = writing.join_all().await.into_iter().sum();
    assert!(said > 0);

    for (reader, door, mut read) in read {
        let mut last = reader.resume(door, &read.contiguity.cursors()).await;
        for head in last.welcome().heads.clone() {
            while read.contiguity.reached(&head.room_id) < head.seq {
                read.take(last.item().await);
            }
        }
        for room in &rooms {
            let log = reader.log(room).await;
            assert!(read.events[room] == log, "{} has not read what was written", reader.id);
            let mut texts = log.iter().filter_map(said_in).collect::<Vec<_>>();
            texts.sort_unstable();
            assert!(texts.is_sorted_by(|one, next| one < next), "something was said twice");
        }
    }
}
