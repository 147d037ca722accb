//! Writes to a store until it is killed, and prints every promise it was given.
//!
//! `crash_writer <dir> <seed> <synced|buffered> <events> <text bytes> <buffer bytes>`:
//! chunks of up to `events` events, texts of up to `text bytes`, flushed to tables after
//! `buffer bytes`. Prints one line per fact, after the store has confirmed it:
//!
//! ```text
//! open                                  the store is open
//! ack <room> <first> <last> <nonce>     a chunk was appended
//! cursor <room> <user> <delivered>      a cursor was moved
//! user <id>                             a user was created
//! seen <room> <head>                    a read returned this head
//! failed <reason>                       `Store::failed` resolved; exit code 3
//! refused <error>                       a write after that was answered so
//! ```
#![allow(clippy::unwrap_used, reason = "a process that is there to be killed may give up")]

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{
    Action, Authority, Command, Creation, Cursors, DataChange, Decision, Draft, Emoji, Mark, Message, Name,
    Need, NewRoom, Nonce, Posted, RequestId, Room, RoomId, RoomKind, SeqRange, Settings, Text, Timestamp,
    Title, Topic, UserId, Visibility,
};
use parlance_store::{AppendError, Durability, Embedded, Options, Store, StoreError, User};

const ROOMS: u64 = 4;
const WRITERS_PER_ROOM: u64 = 2;
const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[tokio::main]
async fn main() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, seed, durability, events, text_bytes, buffer_bytes] = args.as_slice() else {
        panic!("usage: see the top of examples/crash_writer.rs");
    };
    let size = Size { events: events.parse().unwrap(), text_bytes: text_bytes.parse().unwrap() };
    let durability = match durability.as_str() {
        "synced" => Durability::Synced,
        "buffered" => Durability::Buffered,
        other => panic!("no durability {other}"),
    };
    let seed: u64 = seed.parse().unwrap();
    let write_buffer_bytes = buffer_bytes.parse().unwrap();
    let options = Options { durability, write_buffer_bytes, ..Options::default() };
    let store: Arc<dyn Store> = Arc::new(Embedded::open(dir.as_ref(), options).unwrap());
    say("open");

    let owner = UserId::parse("owner").unwrap();
    for room in 0..ROOMS {
        let room = load(&store, &owner, room).await;
        for writer in 0..WRITERS_PER_ROOM {
            let (store, room, owner) = (store.clone(), room.clone(), owner.clone());
            let random = Random(seed ^ (room.head().seq() << 20) ^ writer);
            tokio::spawn(write(store, room, owner, random, size));
        }
        tokio::spawn(advance(store.clone(), owner.clone(), room.info().id.clone()));
        tokio::spawn(read(store.clone(), room.info().id.clone()));
    }
    tokio::spawn(create_users(store.clone(), seed));

    let reason = store.failed().await;
    say(format_args!("failed {reason}"));
    for _ in 0..3 {
        let user = User {
            id: owner.clone(),
            name: name(),
            created_at: NOW,
            updated_at: NOW,
            image: parlance_core::ImageUrl::default(),
            data: parlance_core::Data::default(),
            state: Default::default(),
        };
        match store.create_user(user).await {
            Err(error @ StoreError::Failed(_)) => say(format_args!("refused {error}")),
            other => panic!("answered {other:?} after it failed"),
        }
    }
    std::process::exit(3);
}

/// Maximum size of chunks.
#[derive(Clone, Copy)]
struct Size {
    events: u64,
    text_bytes: u64,
}

/// Prints one line atomically.
fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // The reader is gone, and with it the reason to go on.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn name() -> Name {
    Name::parse("someone").unwrap()
}

async fn load(store: &Arc<dyn Store>, owner: &UserId, number: u64) -> Room {
    let settings = Settings {
        title: Title::parse("room").unwrap(),
        topic: Topic::default(),
        visibility: Visibility::All,
        ..Settings::default()
    };
    let request = RequestId::parse(&number.to_string()).unwrap();
    let nonce = Random(number).nonce();
    let id = RoomId::created_unkeyed(owner, &request);
    let new = NewRoom {
        id,
        creator: owner,
        service: None,
        owner: None,
        request: &request,
        kind: RoomKind::Group,
        settings,
    };
    let creation = Creation::shared(new, &[], nonce, NOW);
    let (stored, _) = store.create_room(creation).await.unwrap().into_parts();
    Room::load(stored.info, &stored.tail)
}

/// Appends to a room that another task appends to as well.
async fn write(store: Arc<dyn Store>, mut room: Room, owner: UserId, mut random: Random, size: Size) {
    let id = room.info().id.clone();
    loop {
        let mut draft = room.draft();
        for _ in 0..1 + random.below(size.events) {
            if !draft.can_take_more() {
                break;
            }
            let action = action(&mut random, room.head().seq(), size.text_bytes);
            let command = Command {
                actor: owner.clone(),
                authority: Authority::Member,
                request: RequestId::parse(&format!("{:x}", random.next())).unwrap(),
                after: Some(room.head().seq()),
                action,
            };
            decide(&store, &id, &mut draft, &command).await;
        }
        let (Some(append), after) = draft.finish(random.nonce()) else { continue };
        let (first, last) = (append.chunk.first_seq(), append.chunk.head().seq());
        let nonce = u128::from_be_bytes(*append.chunk.nonce());
        match store.append(&id, append).await {
            Ok(()) => {
                say(format_args!("ack {id} {first} {last} {nonce:032x}"));
                room = after;
            }
            Err(AppendError::HeadMoved) => {
                for chunk in store.chunks_after(&id, room.head().seq(), 1_000).await.unwrap() {
                    room.apply(&chunk).unwrap();
                }
            }
            Err(AppendError::Store(error @ StoreError::Failed(_))) => {
                return say(format_args!("refused {error}"));
            }
            Err(error) => panic!("appending to {id}: {error}"),
        }
    }
}

fn action(random: &mut Random, head: u64, text_bytes: u64) -> Action {
    let text = Text::parse(&"x".repeat(1 + random.below(text_bytes) as usize)).unwrap();
    // Not one of the creation's events.
    let target = (3 + head.saturating_sub(random.below(50))).min(head);
    match random.below(10) {
        0 if target > 2 => Action::Edit { target, text, data: DataChange::default() },
        1 if target > 2 => Action::React { target, emoji: Emoji::parse("👍").unwrap() },
        2 if target > 2 => Action::Delete { target },
        _ => Action::Send(Message::plain(text)),
    }
}

/// Decides `command`, loading what it needs. Refused commands, such as an edit of
/// something that is not a message, are skipped.
async fn decide(store: &Arc<dyn Store>, id: &RoomId, draft: &mut Draft, command: &Command) {
    while let Ok(Decision::Need(need)) = draft.decide(command, NOW) {
        let loaded = match need {
            Need::Member(user) => {
                let row = store.member(id, &user).await.unwrap();
                draft.room_mut().load_member(user, row)
            }
            Need::Message(seq) => {
                let range = SeqRange { from: seq, to: seq };
                let entry = store.read(id, range, 1, false).await.unwrap().pop();
                draft.room_mut().load_message(seq, entry.and_then(Posted::of))
            }
            Need::Members => panic!("no owner leaves here"),
            Need::Invitations => draft.room_mut().load_invitations(store.invitations(id).await.unwrap()),
            Need::Blocks { .. } => panic!("nobody is added and no room is direct"),
            Need::Older { before } | Need::Past { before, .. } => panic!("asked for what is before {before}"),
        };
        if !loaded {
            // It changed after this room's head, so the append would be refused anyway.
            return;
        }
    }
}

async fn advance(store: Arc<dyn Store>, user: UserId, room: RoomId) {
    loop {
        let head = store.room(&room).await.unwrap().unwrap().head();
        let read = Mark::from(head);
        match store.advance(&user, &room, Cursors { delivered: head.seq(), read }).await {
            Ok(moved) => say(format_args!("cursor {room} {user} {}", moved.unwrap().delivered)),
            Err(error) => return say(format_args!("refused {error}")),
        }
    }
}

async fn read(store: Arc<dyn Store>, room: RoomId) {
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    loop {
        pace.tick().await;
        let stored = store.room(&room).await.unwrap().unwrap();
        say(format_args!("seen {room} {}", stored.head().seq()));
    }
}

async fn create_users(store: Arc<dyn Store>, seed: u64) {
    for number in 0.. {
        let id = UserId::parse(&format!("user-{seed}-{number}")).unwrap();
        let user = User {
            id: id.clone(),
            name: name(),
            created_at: NOW,
            updated_at: NOW,
            image: parlance_core::ImageUrl::default(),
            data: parlance_core::Data::default(),
            state: Default::default(),
        };
        match store.create_user(user).await {
            Ok(_) => say(format_args!("user {id}")),
            Err(error) => return say(format_args!("refused {error}")),
        }
    }
}

/// A deterministic sequence of numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn nonce(&mut self) -> Nonce {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }
}
