//! How many rooms a user may create, and be a member of by their own doing.

use std::future::ready;
use std::num::NonZeroU32;
use std::pin::pin;

use futures::{StreamExt, TryStreamExt};
use parlance_core::{Caller, RoomId, UserId};
use parlance_runtime::map::Map;
use parlance_store::{Store, StoreError, UserRoom, rooms};
use tokio::time::Instant;

use crate::Error;
use crate::gate::{SharedRate, count};
use crate::limits::{DELETED_COUNTED_FOR, ROOMS_COUNTED_FOR};

/// See the [module](self) documentation.
pub(crate) struct RoomQuota {
    created: SharedRate<UserId>,
    /// Most rooms of one user.
    most: Option<NonZeroU32>,
    counted: Map<UserId, Counted>,
    /// Deleted rooms of users who had too many with them.
    deleted: Map<UserId, Deleted>,
    /// Direct rooms that are there: sending to them creates none.
    direct: Map<RoomId, ()>,
    /// Users and rooms that are remembered.
    remembered: usize,
    /// Rooms that are listed at once to count them.
    page: usize,
    /// Rooms that are read at once.
    concurrency: usize,
}

/// The rooms of a user when they were counted, and those that were added since.
#[derive(Clone, Copy)]
struct Counted {
    rooms: u32,
    at: Instant,
}

/// How many of a user's rooms were deleted, at least: such a room stays in the list of its members.
#[derive(Clone, Copy)]
struct Deleted {
    rooms: u32,
    at: Instant,
}

impl RoomQuota {
    pub(crate) fn new(
        created: SharedRate<UserId>,
        most: Option<NonZeroU32>,
        remembered: usize,
        page: usize,
        concurrency: usize,
    ) -> Self {
        let (counted, deleted, direct) = (Map::default(), Map::default(), Map::default());
        Self { created, most, counted, deleted, direct, remembered, page, concurrency }
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
        self.created.check(&caller.user).await.map_err(Error::RateLimited)
    }

    /// Charges `caller` with a room more.
    ///
    /// # Errors
    /// They have too many.
    pub(crate) async fn join(&self, store: &dyn Store, caller: &Caller) -> Result<(), Error> {
        self.join_besides(store, caller, 0).await
    }

    /// The same for `caller` who may become a member of `asked` other rooms, as soon as somebody there approves.
    pub(crate) async fn join_besides(
        &self,
        store: &dyn Store,
        caller: &Caller,
        asked: usize,
    ) -> Result<(), Error> {
        let Some(most) = self.most.filter(|_| !caller.is_app()) else { return Ok(()) };
        let (user, asked) = (&caller.user, u32::try_from(asked).unwrap_or(u32::MAX));
        let is_too_many = |rooms: u32| rooms.saturating_add(asked) >= most.get();
        let known = self.counted.get(user).map(|counted| *counted);
        let known = known.filter(|known| known.at.elapsed() < ROOMS_COUNTED_FOR);
        let rooms = match known {
            Some(known) if !is_too_many(known.rooms) => known.rooms,
            // They may have left some since.
            _ => self.count(store, user, most.get()).await?,
        };
        if is_too_many(rooms) {
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

    /// Counts the rooms of `user` that were not deleted, up to `most`. Rooms are read only if there are too many with
    /// the deleted ones, and not again and again.
    async fn count(&self, store: &dyn Store, user: &UserId, most: u32) -> Result<u32, StoreError> {
        let known = self.deleted.get(user).map(|deleted| *deleted);
        let deleted = known.map_or(0, |deleted| deleted.rooms);
        let counted = rooms::active(store, user, self.page).take(most.saturating_add(deleted) as usize);
        let rooms = counted.try_fold(0u32, |rooms, _| ready(Ok(rooms + 1))).await?;
        let kept = rooms.saturating_sub(deleted);
        if kept < most || known.is_some_and(|known| known.at.elapsed() < DELETED_COUNTED_FOR) {
            return Ok(kept);
        }
        self.count_kept(store, user, most).await
    }

    /// The same, by reading each room.
    async fn count_kept(&self, store: &dyn Store, user: &UserId, most: u32) -> Result<u32, StoreError> {
        let (mut kept, mut deleted) = (0, 0);
        let read = rooms::active(store, user, self.page).map_ok(|row| is_deleted(store, row));
        let mut read = pin!(read.try_buffer_unordered(self.concurrency));
        while kept < most
            && let Some(is_deleted) = read.try_next().await?
        {
            if is_deleted {
                deleted += 1;
            } else {
                kept += 1;
            }
        }
        self.deleted.insert(user.clone(), Deleted { rooms: deleted, at: Instant::now() });
        Ok(kept)
    }

    /// Forgets what is old, or too much.
    pub(crate) fn trim(&self) {
        self.created.trim();
        self.counted.retain(|_, counted| counted.at.elapsed() < ROOMS_COUNTED_FOR);
        self.counted.evict(self.remembered);
        self.deleted.retain(|_, deleted| deleted.at.elapsed() < ROOMS_COUNTED_FOR);
        self.deleted.evict(self.remembered);
        self.direct.evict(self.remembered);
    }
}

/// Whether the room of `row` was deleted. One that cannot be read counts as kept.
async fn is_deleted(store: &dyn Store, row: UserRoom) -> Result<bool, StoreError> {
    match store.room(&row.room).await {
        Ok(room) => Ok(room.is_some_and(|room| room.info.deleted)),
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
