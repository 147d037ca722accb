//! The confirmed state of a client, as a value.
//!
//! Events, gaps, signals and answers arrive in any order: each is valid at a version, and
//! older news never overwrites newer. No I/O, no clock.

mod apply;
mod changes;
mod last;
mod marks;
mod message;
mod news;
mod people;
mod room;
mod versioned;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

pub use marks::ReadMark;
pub(crate) use message::is_same_emoji;
pub use message::{Message, Reaction};
pub use news::{Change, News, Parts};
pub use people::Receipt;
pub use room::Room;

/// Users whose presence is remembered; beyond that, the least recently updated are dropped.
const MAX_PRESENCES: usize = 10_000;

/// Default number of messages kept for an open room.
pub(crate) const DEFAULT_WINDOW: usize = 1_000;

/// A client's knowledge of its rooms and of presence. Immutable except for [`State::apply`]; a
/// clone shares everything and is cheap, so a snapshot can be taken after every change.
#[derive(Debug, Clone)]
pub struct State {
    user_id: Arc<str>,
    rooms: OrdMap<String, Arc<Room>>,
    presences: OrdMap<String, Presence>,
    /// Their users, least recently updated first.
    by_order: OrdMap<(u64, String), ()>,
    window: usize,
    /// When the next typing signal expires.
    typing_until: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Presence {
    is_online: bool,
    order: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new(DEFAULT_WINDOW)
    }
}

impl State {
    /// Creates an empty state. For each open room the last `window` messages are kept, at
    /// least one.
    pub fn new(window: usize) -> Self {
        Self {
            user_id: Arc::from(""),
            rooms: OrdMap::new(),
            presences: OrdMap::new(),
            by_order: OrdMap::new(),
            window,
            typing_until: None,
        }
    }

    /// The client's user; empty before the first connection.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// A room, if anything is known about it.
    pub fn room(&self, room_id: &str) -> Option<Arc<Room>> {
        self.rooms.get(room_id).cloned()
    }

    /// All known rooms, by id. A list shows those that are [`Room::is_member`] and not
    /// [`Room::is_hidden`].
    pub fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.rooms.values()
    }

    /// Whether a user is online; `None` if unknown.
    pub fn is_online(&self, user_id: &str) -> Option<bool> {
        self.presences.get(user_id).map(|presence| presence.is_online)
    }

    /// When [`News::Time`] has its next effect.
    pub fn timeout(&self) -> Option<Duration> {
        self.typing_until
    }

    /// Applies news; returns what changed. Already known facts change nothing.
    pub fn apply(&mut self, news: &News<'_>) -> Vec<Change> {
        match news {
            News::Welcome(welcome) => self.welcome(welcome),
            News::Presence { user_id, is_online, order } => {
                self.presence(user_id, Presence { is_online: *is_online, order: *order })
            }
            News::Time(now) => self.time(*now),
            news => apply::room_of(news).and_then(|room_id| self.change(room_id, news)).into_iter().collect(),
        }
    }

    fn change(&mut self, room_id: &str, news: &News<'_>) -> Option<Change> {
        let before = self.rooms.get(room_id).cloned();
        let mut room = before.as_deref().map_or_else(|| Room::new(room_id), Room::clone);
        room.apply(news, &self.user_id, self.window);
        let parts = match &before {
            Some(before) => room.differs_from(before),
            None => room.differs_from(&Room::new(room_id)),
        };
        if parts.is_empty() {
            return None;
        }
        if parts.typing {
            self.typing_until = room.typing.values().copied().chain(self.typing_until).min();
        }
        self.rooms.insert(room_id.to_owned(), Arc::new(room));
        Some(Change::Room { room_id: room_id.to_owned(), parts })
    }

    fn welcome(&mut self, welcome: &parlance_proto::v1::Welcome) -> Vec<Change> {
        if *self.user_id != *welcome.user_id {
            self.user_id = Arc::from(welcome.user_id.as_str());
        }
        let heads = welcome.heads.iter().map(|head| (head.room_id.as_str(), head.epoch));
        let mut epochs: BTreeMap<&str, u64> = heads.collect();
        let mut changed = Vec::new();
        for (room_id, room) in &self.rooms {
            let mut next = Room::clone(room);
            next.reconnected(epochs.remove(room_id.as_str()).unwrap_or_default());
            let parts = next.differs_from(room);
            if !parts.is_empty() {
                changed.push((room_id.clone(), next, parts));
            }
        }
        for (room_id, epoch) in epochs {
            let mut room = Room::new(room_id);
            room.reconnected(epoch);
            let parts = room.differs_from(&Room::new(room_id));
            changed.push((room_id.to_owned(), room, parts));
        }
        self.typing_until = None;
        self.replace(changed)
    }

    fn time(&mut self, now: Duration) -> Vec<Change> {
        if self.typing_until.is_none_or(|until| until > now) {
            return Vec::new();
        }
        let mut changed = Vec::new();
        let mut next_until = None;
        for (room_id, room) in &self.rooms {
            if room.typing.is_empty() {
                continue;
            }
            let mut next = Room::clone(room);
            next.typing.retain(|_, until| *until > now);
            next_until = next.typing.values().copied().chain(next_until).min();
            if next.typing.len() < room.typing.len() {
                changed.push((room_id.clone(), next, Parts { typing: true, ..Parts::default() }));
            }
        }
        self.typing_until = next_until;
        self.replace(changed)
    }

    fn replace(&mut self, changed: Vec<(String, Room, Parts)>) -> Vec<Change> {
        let changes = changed.into_iter().map(|(room_id, room, parts)| {
            self.rooms.insert(room_id.clone(), Arc::new(room));
            Change::Room { room_id, parts }
        });
        changes.collect()
    }

    fn presence(&mut self, user_id: &str, presence: Presence) -> Vec<Change> {
        let before = self.presences.get(user_id).copied();
        if let Some(before) = before {
            if before.order > presence.order {
                return Vec::new();
            }
            self.by_order.remove(&(before.order, user_id.to_owned()));
        }
        self.presences.insert(user_id.to_owned(), presence);
        self.by_order.insert((presence.order, user_id.to_owned()), ());
        if self.presences.len() > MAX_PRESENCES
            && let Some((oldest, ())) = self.by_order.get_min().cloned()
        {
            self.presences.remove(&oldest.1);
            self.by_order.remove(&oldest);
        }
        let is_same = before.is_some_and(|before| before.is_online == presence.is_online);
        if is_same { Vec::new() } else { vec![Change::Presence { user_id: user_id.to_owned() }] }
    }
}
