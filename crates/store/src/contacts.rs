//! What two users have in common: rooms that both are or were in, and the direct room of the two. The work is bounded,
//! whatever rooms they have.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicUsize, Ordering};

use parlance_core::{Body, Event, Member, RoomId, SeqRange, UserId};

pub use crate::limits::CONTACT_EVENTS;
use crate::limits::{CONTACT_LOOKUPS, CONTACT_READS};
use crate::{Store, StoreError, StoredRoom};

/// What makes a room one that two users share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Both are members.
    Membership,
    /// The first may read a part of the history in which the other was a member.
    History,
}

impl Sharing {
    /// Whether rows like these may be of a room that is shared.
    fn may_be(self, own: &Member, other: &Member) -> bool {
        self == Self::History || (own.is_active() && other.is_active())
    }

    fn is_of(self, room: &StoredRoom, own: &Member, other: &Member) -> bool {
        if room.info.deleted {
            return false;
        }
        match self {
            Self::Membership => true,
            Self::History => {
                let head = room.head().seq();
                let visible = room.visible_to(own);
                other.intervals.iter().any(|interval| {
                    let member = SeqRange { from: interval.joined, to: interval.left.unwrap_or(head) };
                    visible.iter().any(|visible| visible.intersect(member).is_some())
                })
            }
        }
    }
}

/// How many rooms of each of two users are read, and how many at once.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// All of them: what a few pages list.
    pub rooms: usize,
    /// At once.
    pub page: usize,
}

impl Reach {
    fn pages(self) -> usize {
        self.rooms.div_ceil(self.page)
    }
}

/// The rooms of a user, as far as they are read.
pub struct RoomsOf<'a> {
    store: &'a dyn Store,
    user: &'a UserId,
    reach: Reach,
    rows: BTreeMap<RoomId, Member>,
    /// The last of them, if there are more.
    more_after: Option<RoomId>,
    /// Rows of rooms that were read, of this user and others, and rooms.
    rows_read: AtomicUsize,
}

impl<'a> RoomsOf<'a> {
    /// Reads the rooms of `user`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(store: &'a dyn Store, user: &'a UserId, reach: Reach) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        let mut more_after = None;
        for _ in 0..reach.pages() {
            let page = store.rooms_of(user, more_after.as_ref(), reach.page).await?;
            rows.extend(page.rows.into_iter().map(|row| (row.room, row.member)));
            more_after = page.next;
            if more_after.is_none() {
                break;
            }
        }
        let rows_read = AtomicUsize::new(rows.len());
        Ok(Self { store, user, reach, rows, more_after, rows_read })
    }

    /// How many rows of rooms were read until now, of the user and of those who were asked about, and rooms.
    pub fn rows_read(&self) -> usize {
        self.rows_read.load(Ordering::Relaxed)
    }

    fn count_read(&self, rows: usize) {
        self.rows_read.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whether the user shares a room with `other`, apart from the direct room of the two. Exact, unless both have more
    /// rooms than are read, or one of them has, and the other more than 100 that lie beyond; or none of the first 20 that
    /// both have rows of counts.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_shared(&self, other: &UserId, sharing: Sharing) -> Result<bool, StoreError> {
        if self.rows.is_empty() {
            return Ok(false);
        }
        let mut reads = CONTACT_READS;
        let mut beyond = Vec::new();
        let mut more_after = None;
        for _ in 0..self.reach.pages() {
            let page = self.store.rooms_of(other, more_after.as_ref(), self.reach.page).await?;
            self.count_read(page.rows.len());
            for row in page.rows {
                if let Some(own) = self.rows.get(&row.room) {
                    if self.is_shared(&row.room, own, &row.member, sharing, &mut reads).await? {
                        return Ok(true);
                    }
                } else if self.more_after.as_ref().is_some_and(|last| row.room > *last) {
                    beyond.push(row);
                }
            }
            more_after = page.next;
            if more_after.is_none() {
                break;
            }
        }
        match (&self.more_after, &more_after) {
            // The user has more rooms than were read: looked up in those of the other.
            (Some(_), None) => {
                for row in beyond.iter().filter(|row| !row.room.is_direct()).take(CONTACT_LOOKUPS) {
                    self.count_read(1);
                    let Some(own) = self.store.member(&row.room, self.user).await? else { continue };
                    if self.is_shared(&row.room, &own, &row.member, sharing, &mut reads).await? {
                        return Ok(true);
                    }
                }
            }
            // And the other way round.
            (None, Some(last)) => {
                let rest = self.rows.range((Excluded(last.clone()), Unbounded));
                for (room, own) in rest.filter(|(room, _)| !room.is_direct()).take(CONTACT_LOOKUPS) {
                    self.count_read(1);
                    let Some(member) = self.store.member(room, other).await? else { continue };
                    if self.is_shared(room, own, &member, sharing, &mut reads).await? {
                        return Ok(true);
                    }
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// The direct room with `other`, unless it is known that there is none.
    pub fn direct_with(&self, other: &UserId) -> Option<RoomId> {
        let room = RoomId::direct(self.user, other);
        let may_be =
            self.rows.contains_key(&room) || self.more_after.as_ref().is_some_and(|last| room > *last);
        may_be.then_some(room)
    }

    async fn is_shared(
        &self,
        room: &RoomId,
        own: &Member,
        other: &Member,
        sharing: Sharing,
        reads: &mut usize,
    ) -> Result<bool, StoreError> {
        if room.is_direct() || !sharing.may_be(own, other) || *reads == 0 {
            return Ok(false);
        }
        *reads -= 1;
        self.count_read(1);
        let room = self.store.room(room).await?;
        Ok(room.is_some_and(|room| sharing.is_of(&room, own, other)))
    }
}

/// Whether `user` has begun the direct room `room`, or written there, as far back as its last `CONTACT_EVENTS`. Anyone
/// begins one with anyone, which says nothing of the other.
///
/// # Errors
/// Those of the store.
pub async fn takes_part(store: &dyn Store, user: &UserId, room: &RoomId) -> Result<bool, StoreError> {
    let Some(room) = store.room(room).await?.filter(|room| !room.info.deleted) else { return Ok(false) };
    Ok(room.info.created_by == *user || has_written(store, &room, user).await?)
}

/// Whether `user` has written in `room`, as far back as its last [`CONTACT_EVENTS`].
///
/// # Errors
/// Those of the store.
pub async fn has_written(store: &dyn Store, room: &StoredRoom, user: &UserId) -> Result<bool, StoreError> {
    let range = SeqRange { from: room.info.floor.max(1), to: room.head().seq() };
    let last = store.read(&room.info.id, range, CONTACT_EVENTS, true).await?;
    let says = |event: &Event| event.actor == *user && matches!(event.body, Body::Message(_));
    Ok(last.iter().any(|entry| says(&entry.event)))
}
