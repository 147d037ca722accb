use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use parlance_core::{Body, Chunk, Overlay, RequestId, RoomId, UserId};
use parlance_store::feed::{ChangeFeed as _, FeedPage, Position};
use parlance_store::{Embedded, LogStore, MemberStore, Options, Store, UserStore};

/// Number of rooms written.
const ROOMS: u64 = 4;

/// What the store promised to processes that have died since.
#[derive(Clone, Default)]
pub(crate) struct Promises {
    /// Chunks appended, by room and first seq: last seq and nonce.
    acks: BTreeMap<(String, u64), (u64, String)>,
    /// Furthest head that was read, by room.
    seen: BTreeMap<String, u64>,
    /// Furthest cursor that was stored, by room and user.
    cursors: BTreeMap<(String, String), u64>,
    users: BTreeSet<String>,
    /// Checked part of each room.
    checked: BTreeMap<String, Checked>,
}

/// The state of a room's log, folded from its events.
#[derive(Clone, Default)]
struct Checked {
    head: u64,
    message_count: u64,
    last_message: u64,
    overlays: BTreeMap<u64, Overlay>,
    /// First and last seq of each chunk, by nonce.
    nonces: BTreeMap<String, (u64, u64)>,
}

/// A broken promise.
type Broken = String;

impl Promises {
    /// Adds the output of a process; returns how many chunks were acknowledged to it.
    pub(crate) fn hear(&mut self, said: &[String]) -> usize {
        let mut acks = 0;
        for line in said {
            match *line.split(' ').collect::<Vec<_>>() {
                ["ack", room, first, last, nonce] => {
                    let chunk = (last.parse().unwrap(), nonce.into());
                    let before = self.acks.insert((room.into(), first.parse().unwrap()), chunk);
                    assert_eq!(before, None, "acknowledged twice: {line}");
                    acks += 1;
                }
                ["seen", room, head] => {
                    let seen = self.seen.entry(room.into()).or_default();
                    *seen = head.parse::<u64>().unwrap().max(*seen);
                }
                ["cursor", room, user, delivered] => {
                    let cursor = self.cursors.entry((room.into(), user.into())).or_default();
                    *cursor = delivered.parse::<u64>().unwrap().max(*cursor);
                }
                ["user", id] => {
                    self.users.insert(id.into());
                }
                ["open"] | ["failed" | "refused", ..] => {}
                _ => panic!("said {line:?}"),
            }
        }
        acks
    }

    /// Opens the store in `dir` and checks everything new since the last check.
    pub(crate) fn check(&mut self, dir: &Path) -> Result<(), Broken> {
        let store = Embedded::open(dir, Options::default()).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for room in 0..ROOMS {
                self.check_room(&store, room).await?;
            }
            self.check_users(&store).await?;
            self.check_feed(&store).await?;
            store.close().await;
            Ok(())
        })
    }

    /// Checks everything from the beginning.
    pub(crate) fn check_all(&mut self, dir: &Path) -> Result<(), Broken> {
        self.checked.clear();
        self.check(dir)
    }

    async fn check_room(&mut self, store: &Embedded, number: u64) -> Result<(), Broken> {
        let owner = UserId::parse("owner").unwrap();
        let id = RoomId::created_unkeyed(&owner, &RequestId::parse(&number.to_string()).unwrap());
        let room = id.as_str().to_owned();
        let seen = self.seen.get(&room).copied().unwrap_or(0);
        let Some(stored) = store.room(&id).await.unwrap() else {
            let promised = seen > 0 || self.acks.range((room.clone(), 0)..=(room, u64::MAX)).next().is_some();
            return if promised { Err(format!("room {number} is gone")) } else { Ok(()) };
        };
        let checked = self.checked.entry(room.clone()).or_default();
        let chunks = store.chunks_after(&id, checked.head, usize::MAX).await.unwrap();
        let changed: BTreeSet<u64> = chunks
            .iter()
            .flat_map(|chunk| chunk.events().iter().filter_map(|event| event.body.target()))
            .collect();
        for chunk in &chunks {
            checked.follow(chunk).map_err(|broken| format!("room {number}: {broken}"))?;
        }
        if (stored.head().seq(), stored.head().message_count()) != (checked.head, checked.message_count) {
            return Err(format!(
                "room {number}: the tail is at {:?}, the log at {}",
                stored.head(),
                checked.head
            ));
        }
        if checked.head < seen {
            return Err(format!("room {number}: {seen} was read, the log ends at {}", checked.head));
        }
        for ((_, first), (last, nonce)) in self.acks.range((room.clone(), 0)..=(room.clone(), u64::MAX)) {
            if checked.nonces.get(nonce) != Some(&(*first, *last)) {
                return Err(format!("room {number}: {first} to {last} was acknowledged and is gone"));
            }
        }
        for seq in changed {
            let overlay = store.overlay(&id, seq).await.unwrap();
            if overlay.as_ref() != checked.overlays.get(&seq) {
                return Err(format!("room {number}: message {seq} is not as its events leave it"));
            }
        }
        let cursors = store.user_room(&owner, &id).await.unwrap().unwrap().cursors;
        let acknowledged = self.cursors.get(&(room, "owner".into())).copied().unwrap_or(0);
        if cursors.delivered < acknowledged {
            return Err(format!("room {number}: the cursor {} is behind", cursors.delivered));
        }
        Ok(())
    }

    /// The feed contains every event after its trimmed beginning, in order, and every acknowledged
    /// one.
    async fn check_feed(&self, store: &Embedded) -> Result<(), Broken> {
        let mut at = Position::numbered(&store.identity().await.unwrap(), 0);
        let mut heads: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let page = store.records_after(&at, 1_000).await.unwrap();
            let FeedPage::Records { records, next, .. } = page else {
                return Err(format!("the feed has a hole after {at}"));
            };
            if records.is_empty() {
                break;
            }
            for head in records.iter().flat_map(|record| &record.changes.heads) {
                let at = heads.entry(head.room.to_string()).or_default();
                if head.first != *at + 1 || head.last < head.first {
                    let (first, last) = (head.first, head.last);
                    return Err(format!("the feed names {first} to {last} after {at} of {}", head.room));
                }
                *at = head.last;
            }
            at = next;
        }
        for (room, checked) in &self.checked {
            let named = heads.get(room).copied().unwrap_or(0);
            if named != checked.head {
                return Err(format!("the feed ends at {named} of {room}, the log at {}", checked.head));
            }
        }
        Ok(())
    }

    async fn check_users(&self, store: &Embedded) -> Result<(), Broken> {
        let users = store.users(None, usize::MAX).await.unwrap();
        let stored: BTreeSet<String> = users.iter().map(|user| user.id.to_string()).collect();
        match self.users.difference(&stored).next() {
            Some(lost) => Err(format!("user {lost} is gone")),
            None => Ok(()),
        }
    }
}

impl Checked {
    /// Checks the next chunk.
    fn follow(&mut self, chunk: &Chunk) -> Result<(), Broken> {
        let (first, last) = (chunk.first_seq(), chunk.head().seq());
        if first != self.head + 1 {
            return Err(format!("the chunk after {} begins at {first}", self.head));
        }
        let nonce = format!("{:032x}", u128::from_be_bytes(*chunk.nonce()));
        if self.nonces.insert(nonce, (first, last)).is_some() {
            return Err(format!("the chunk at {first} is there twice"));
        }
        for event in chunk.events() {
            if matches!(event.body, Body::Message(_)) {
                self.message_count += 1;
                self.last_message = event.seq;
            }
            if event.message_count != self.message_count {
                return Err(format!("{} counts {} messages", event.seq, event.message_count));
            }
            if let Some(target) = event.body.target() {
                self.overlays.entry(target).or_default().apply(event);
            }
        }
        self.head = last;
        Ok(())
    }
}
