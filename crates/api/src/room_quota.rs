//! How many rooms a user may create, and be a member of by their own doing.

use std::num::NonZeroU32;

use parlance_core::{Caller, RoomId, UserId};
use parlance_runtime::map::Map;
use parlance_store::{Store, StoreError};
use tokio::time::Instant;

use crate::Error;
use crate::gate::{RateLimit, count};
use crate::limits::{NEW_ROOMS_BURST, ROOMS_COUNTED_FOR};

/// See the [module](self) documentation.
pub(crate) struct RoomQuota {
    created: RateLimit<UserId>,
    /// Most rooms of one user.
    most: Option<NonZeroU32>,
    counted: Map<UserId, Counted>,
    /// Direct rooms that are there: sending to them creates none.
    direct: Map<RoomId, ()>,
    /// Users and rooms that are remembered.
    remembered: usize,
    /// Rooms that are read at once to count them.
    page: usize,
}

/// The rooms of a user when they were counted, and those that were added since.
#[derive(Clone, Copy)]
struct Counted {
    rooms: u32,
    at: Instant,
}

impl RoomQuota {
    pub(crate) fn new(
        per_second: Option<NonZeroU32>,
        most: Option<NonZeroU32>,
        remembered: usize,
        page: usize,
    ) -> Self {
        let created = RateLimit::new("new_rooms", per_second, NEW_ROOMS_BURST);
        Self { created, most, counted: Map::default(), direct: Map::default(), remembered, page }
    }

    /// Whether there is any limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.created.is_limited() || self.most.is_some()
    }

    /// Charges `caller` with creating a room. The app's own backend is not limited.
    ///
    /// # Errors
    /// The caller creates them too fast, or has too many.
    pub(crate) async fn create(&self, store: &dyn Store, caller: &Caller) -> Result<(), Error> {
        if caller.is_app() {
            return Ok(());
        }
        self.join(store, caller).await?;
        self.created.check(&caller.user).map_err(Error::RateLimited)
    }

    /// Charges `caller` with a room more.
    ///
    /// # Errors
    /// They have too many.
    pub(crate) async fn join(&self, store: &dyn Store, caller: &Caller) -> Result<(), Error> {
        let Some(most) = self.most.filter(|_| !caller.is_app()) else { return Ok(()) };
        let user = &caller.user;
        let known = self.counted.get(user).map(|counted| *counted);
        let known = known.filter(|known| known.at.elapsed() < ROOMS_COUNTED_FOR);
        let rooms = match known {
            Some(known) if known.rooms < most.get() => known.rooms,
            // They may have left some since.
            _ => self.count(store, user, most.get()).await?,
        };
        if rooms >= most.get() {
            count("rooms");
            return Err(Error::TooManyRooms(most.get()));
        }
        let at = known.map_or_else(Instant::now, |known| known.at);
        self.counted.insert(user.clone(), Counted { rooms: rooms + 1, at });
        Ok(())
    }

    /// Whether the direct room `room` is known to be there.
    pub(crate) fn knows(&self, room: &RoomId) -> bool {
        self.direct.contains_key(room)
    }

    /// Remembers that the direct room `room` is there.
    pub(crate) fn remember(&self, room: &RoomId) {
        self.direct.insert(room.clone(), ());
    }

    /// Counts the rooms of `user`, up to `most`.
    async fn count(&self, store: &dyn Store, user: &UserId, most: u32) -> Result<u32, StoreError> {
        let (mut rooms, mut after) = (0, None);
        loop {
            let page = store.rooms_of(user, after.as_ref(), self.page).await?;
            rooms += page.rows.iter().filter(|row| row.member.is_active()).count() as u32;
            after = page.next;
            if after.is_none() || rooms >= most {
                return Ok(rooms);
            }
        }
    }

    /// Forgets what is old, or too much.
    pub(crate) fn trim(&self) {
        self.created.trim();
        self.counted.retain(|_, counted| counted.at.elapsed() < ROOMS_COUNTED_FOR);
        self.counted.evict(self.remembered);
        self.direct.evict(self.remembered);
    }
}
