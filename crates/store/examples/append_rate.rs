//! Measures how many messages per second the embedded engine appends, by number of rooms written
//! concurrently, each by one writer that waits for every answer.
//!
//! `append_rate <dir> <seconds> <rooms>...`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on has failed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use parlance_core::{
    Action, Authority, Command, Creation, Decision, Message, NewRoom, RequestId, Room, RoomId, RoomKind,
    Settings, Text, Timestamp, Title, Topic, UserId, Visibility,
};
use parlance_store::{Embedded, Options, Store};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = PathBuf::from(&args[0]);
    let seconds: u64 = args[1].parse().unwrap();
    for rooms in args[2..].iter().map(|rooms| rooms.parse::<usize>().unwrap()) {
        let dir = dir.join(format!("rooms-{rooms}"));
        let store: Arc<dyn Store> = Arc::new(Embedded::open(&dir, Options::default()).unwrap());
        let (sent, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for number in 0..rooms {
            let room = create(&store, number).await;
            writers.push(tokio::spawn(write(store.clone(), room, sent.clone(), ends.clone())));
        }
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        ends.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        println!("{rooms} {:.0}", sent.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64());
        drop(store);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

async fn create(store: &Arc<dyn Store>, number: usize) -> Room {
    let owner = UserId::parse(&format!("owner-{number}")).unwrap();
    let request = RequestId::parse("create").unwrap();
    let settings = Settings {
        title: Title::parse("room").unwrap(),
        topic: Topic::default(),
        visibility: Visibility::All,
        ..Settings::default()
    };
    let id = RoomId::created_unkeyed(&owner, &request);
    let new = NewRoom {
        id,
        creator: &owner,
        service: None,
        owner: None,
        request: &request,
        kind: RoomKind::Group,
        settings,
    };
    let creation = Creation::shared(new, &[], [1; 16], NOW);
    store.create_room(creation.clone()).await.unwrap();
    creation.into_room()
}

async fn write(store: Arc<dyn Store>, mut room: Room, sent: Arc<AtomicU64>, ends: Arc<AtomicBool>) {
    let id = room.info().id.clone();
    let owner = room.info().created_by.clone();
    let text = Text::parse(&"x".repeat(100)).unwrap();
    while !ends.load(Ordering::Relaxed) {
        let mut draft = room.draft();
        let seq = room.head().seq();
        let request = RequestId::parse(&format!("request-{seq}")).unwrap();
        let action = Action::Send(Message::plain(text.clone()));
        let command =
            Command { actor: owner.clone(), authority: Authority::Member, request, after: Some(seq), action };
        let decision = draft.decide(&command, NOW).unwrap();
        assert!(matches!(decision, Decision::Done(_)));
        let (append, after) = draft.finish(u128::from(seq).to_be_bytes());
        store.append(&id, append.unwrap()).await.unwrap();
        room = after;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}
