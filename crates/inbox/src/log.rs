use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::{self, BoxStream};
use parlance_core::{Body, Entry, Event, Member, RoomId, Timestamp, UserId};
use parlance_store::past::as_of;
use parlance_store::{Store, StoreError, StoredRoom, UserRoom};

use crate::activity::Activity;
use crate::latest::{Candidate, First};
use crate::limits::{LAST_MESSAGE_SCAN, Sizes};
use crate::unread;
use crate::view::{
    InboxFilter, InboxOrder, InboxPage, InboxPlace, InboxQuery, InboxRow, InboxView, Lookup, UnreadTotal,
};

/// A room and its user's row in their current state. `None` for a non-member.
type Current = Result<Option<(StoredRoom, UserRoom)>, StoreError>;

/// The inbox, derived from the logs.
pub struct LogInbox {
    store: Arc<dyn Store>,
    concurrency: usize,
    sizes: Sizes,
}

/// What came of putting the rooms of a user in the order of their latest activity.
#[derive(Default)]
struct Ordered {
    /// Rooms whose membership is unreadable.
    damaged: Vec<RoomId>,
    /// Rooms that are unreadable themselves.
    failed: Vec<(RoomId, StoreError)>,
    is_partial: bool,
    read: usize,
}

impl InboxFilter {
    /// Whether it leaves out a room by what its user has set.
    fn leaves_out(&self, row: &UserRoom) -> bool {
        self.pinned_only && !row.preferences.is_pinned(&row.member)
    }
}

impl LogInbox {
    /// Reads `concurrency` rooms of a page at a time.
    pub fn new(store: Arc<dyn Store>, concurrency: usize, sizes: Sizes) -> Self {
        Self { store, concurrency, sizes }
    }

    /// Parts of a list that are read at once.
    fn batches<T>(&self, list: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
        let mut list = list.into_iter();
        let next = || Some(list.by_ref().take(self.concurrency).collect::<Vec<T>>());
        std::iter::from_fn(next).take_while(|batch| !batch.is_empty()).collect()
    }

    /// The rooms of `user` in their current state, in this order.
    async fn current(&self, user: &UserId, rooms: Vec<(UserRoom, Option<StoredRoom>)>) -> Vec<Current> {
        let unread: Vec<RoomId> =
            rooms.iter().filter(|(_, room)| room.is_none()).map(|(row, _)| row.room.clone()).collect();
        let mut read = self.store.rooms(&unread).await.into_iter();
        let read: Vec<_> = rooms
            .into_iter()
            .map(|(row, room)| {
                (row, room.map_or_else(|| read.next().unwrap_or(Ok(None)), |room| Ok(Some(room))))
            })
            .collect();
        // The list may lack the user's own latest messages. It is also older than the room: the user may have been
        // removed before the room's current events.
        let is_behind = |row: &UserRoom, room: &Result<Option<StoredRoom>, _>| matches!(room, Ok(Some(room)) if row.cursors.read.seq < room.head().seq());
        let behind: Vec<RoomId> =
            read.iter().filter(|(row, room)| is_behind(row, room)).map(|(row, _)| row.room.clone()).collect();
        let mut fresh = self.store.user_rooms(user, &behind).await.into_iter();
        read.into_iter()
            .map(|(row, room)| {
                let row = if is_behind(&row, &room) {
                    fresh.next().unwrap_or(Ok(None))?.unwrap_or(row)
                } else {
                    row
                };
                let Some(room) = room? else { return Ok(None) };
                let member = row.member.as_of(room.head().seq());
                Ok(member.filter(Member::is_active).map(|member| (room, UserRoom { member, ..row })))
            })
            .collect()
    }

    /// The entries of `found`, which are read as they are taken.
    fn lookups<'a>(&'a self, found: Vec<Candidate>, query: &Arc<InboxQuery>) -> BoxStream<'a, Lookup> {
        let query = Arc::clone(query);
        let batches = stream::iter(self.batches(found)).then(move |batch| {
            let query = Arc::clone(&query);
            async move { stream::iter(self.look_up(batch, &query).await) }
        });
        batches.flatten().boxed()
    }

    async fn look_up(&self, batch: Vec<Candidate>, query: &InboxQuery) -> Vec<Lookup> {
        let (places, rooms): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|Candidate { place, row, room }| (place, (row, room))).unzip();
        let current = self.current(&query.user, rooms).await;
        join_all(places.into_iter().zip(current).map(async |(place, current)| {
            let row = match current {
                Ok(Some((room, row))) => self.row(room, row, query).await,
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            (place, row)
        }))
        .await
    }

    async fn row(
        &self,
        room: StoredRoom,
        row: UserRoom,
        query: &InboxQuery,
    ) -> Result<Option<InboxRow>, StoreError> {
        let hidden = row.is_hidden(room.head());
        if !may_be_listed(&room, &row, query) {
            return Ok(None);
        }
        let unread = unread(&*self.store, &row.room, room.head(), row.cursors.read).await?;
        if query.filter.unread_only && unread == 0 && !row.preferences.is_marked_unread(&row.cursors) {
            return Ok(None);
        }
        let last_message = self.last_message(&room, &row.member).await?;
        let UserRoom { member, cursors, preferences, .. } = row;
        Ok(Some(InboxRow { room, member, cursors, unread, hidden, preferences, last_message }))
    }

    /// Offers `first` all rooms of the user, as many as are put in order.
    async fn put_in_order(&self, query: &InboxQuery, first: &mut First) -> Result<Ordered, StoreError> {
        let mut ordered = Ordered::default();
        let (mut after, mut left) = (None, self.sizes.total_rooms);
        for _ in 0..self.sizes.total_pages {
            let page = self.store.rooms_of(&query.user, after.as_ref(), self.sizes.total_page).await?;
            ordered.damaged.extend(page.damaged);
            let mut rows: Vec<UserRoom> =
                page.rows.into_iter().filter(|row| row.member.is_active()).collect();
            // One more than are read.
            ordered.is_partial = rows.len() > left;
            rows.truncate(left);
            left -= rows.len();
            ordered.read += rows.len();
            for batch in self.batches(rows.into_iter().filter(|row| !query.filter.leaves_out(row))) {
                ordered.failed.extend(self.offer(batch, query, first).await);
            }
            after = page.next;
            if after.is_none() || ordered.is_partial {
                return Ok(ordered);
            }
        }
        ordered.is_partial = true;
        Ok(ordered)
    }

    /// Returns the rooms that cannot be read.
    async fn offer(
        &self,
        batch: Vec<UserRoom>,
        query: &InboxQuery,
        first: &mut First,
    ) -> Vec<(RoomId, StoreError)> {
        let ids: Vec<RoomId> = batch.iter().map(|row| row.room.clone()).collect();
        let rooms = self.store.rooms(&ids).await;
        let active = join_all(batch.into_iter().zip(rooms).map(async |(row, room)| {
            let room = match room? {
                Some(room) if may_be_listed(&room, &row, query) => room,
                _ => return Ok(None),
            };
            let active_at = Some(self.active_at(&room, &row.member).await?);
            let place = InboxPlace { active_at, room: row.room.clone() };
            Ok(Some(Candidate { place, row, room: Some(room) }))
        }))
        .await;
        let mut failed = Vec::new();
        for (room, active) in ids.into_iter().zip(active) {
            match active {
                Ok(candidate) => candidate.into_iter().for_each(|candidate| first.offer(candidate)),
                Err(error) => failed.push((room, error)),
            }
        }
        failed
    }

    /// When something last happened in the room for `member`, see [`Activity`].
    async fn active_at(&self, room: &StoredRoom, member: &Member) -> Result<Timestamp, StoreError> {
        let mut activity = Activity::new(member, room.head().seq(), room.info.floor, LAST_MESSAGE_SCAN);
        activity.look_at(room.tail.events());
        let mut first = room.tail.first_seq();
        while !activity.is_done() && first > activity.until() {
            let wanted = usize::try_from(first - activity.until()).unwrap_or(LAST_MESSAGE_SCAN);
            let older = self.store.events_before(&room.info.id, first, wanted).await?;
            let Some(oldest) = older.first() else { break };
            first = oldest.seq;
            activity.look_at(&older);
        }
        Ok(activity.at())
    }

    /// The unread messages of one room, and whether it is marked as unread: none in an archived, hidden or muted one.
    /// `None` for a room that is not there.
    async fn unread_of(
        &self,
        current: Current,
        unmuted_at: Option<Timestamp>,
    ) -> Result<Option<(u64, bool)>, StoreError> {
        let Some((room, row)) = current? else { return Ok(None) };
        let is_muted = unmuted_at.is_some_and(|now| row.preferences.muted(&row.member, now).is_some());
        if room.info.deleted {
            return Ok(None);
        }
        if room.info.settings.archived || row.is_hidden(room.head()) || is_muted {
            return Ok(Some((0, false)));
        }
        let unread = unread(&*self.store, &row.room, room.head(), row.cursors.read).await?;
        Ok(Some((unread, row.preferences.is_marked_unread(&row.cursors))))
    }

    /// The last visible message, if it is among the last [`LAST_MESSAGE_SCAN`] visible events.
    async fn last_message(&self, room: &StoredRoom, member: &Member) -> Result<Option<Entry>, StoreError> {
        let (id, ranges) = (&room.info.id, room.visible_to(member));
        // Most rooms end in a message.
        let is_shown =
            |event: &&Event| is_message(event) && ranges.iter().any(|range| range.contains(event.seq));
        if let Some(event) = room.tail.events().iter().rev().find(is_shown) {
            let overlay = self.store.overlay(id, event.seq).await?;
            let last = vec![Entry::merge(event.clone(), overlay)];
            return Ok(as_of(&*self.store, id, room.until(member), last).await?.pop());
        }
        let mut left = LAST_MESSAGE_SCAN;
        for range in ranges.into_iter().rev() {
            let tail = self.store.read(id, range, left, true).await?;
            left = left.saturating_sub(tail.len());
            let last = tail.into_iter().rev().find(|entry| is_message(&entry.event));
            if last.is_some() || left == 0 {
                // Of this one only: each earlier form is folded from the log.
                let last = last.into_iter().collect();
                return Ok(as_of(&*self.store, id, room.until(member), last).await?.pop());
            }
        }
        Ok(None)
    }
}

fn is_message(event: &Event) -> bool {
    matches!(event.body, Body::Message(_))
}

/// Whether the room may be an entry of the list. Whether there are unread messages shows only when they are counted.
fn may_be_listed(room: &StoredRoom, row: &UserRoom, query: &InboxQuery) -> bool {
    let (filter, head) = (&query.filter, room.head());
    let may_be_unread = head.message_count() > row.cursors.read.message_count
        || row.preferences.is_marked_unread(&row.cursors);
    !room.info.deleted
        && (query.include_archived || !room.info.settings.archived)
        && (query.include_hidden || !row.is_hidden(head))
        && (filter.kinds.is_empty() || filter.kinds.contains(&room.info.kind))
        && (!filter.unread_only || may_be_unread)
}

#[async_trait]
impl InboxView for LogInbox {
    async fn page(&self, query: InboxQuery) -> Result<InboxPage<'_>, StoreError> {
        let query = Arc::new(query);
        if query.order == InboxOrder::Latest {
            let mut first = First::new(query.after.clone(), query.size);
            let Ordered { damaged, failed, is_partial, read } = self.put_in_order(&query, &mut first).await?;
            let (found, next) = first.into_page();
            let failed = failed.into_iter().map(|(room, error)| (InboxPlace::by_id(room), Err(error)));
            let rooms = stream::iter(failed.collect::<Vec<_>>()).chain(self.lookups(found, &query)).boxed();
            return Ok(InboxPage { rooms, damaged, next, is_partial, read });
        }
        let after = query.after.as_ref().map(|after| &after.room);
        let page = self.store.rooms_of(&query.user, after, query.size).await?;
        let found =
            page.rows.into_iter().filter(|row| row.member.is_active() && !query.filter.leaves_out(row));
        let found =
            found.map(|row| Candidate { place: InboxPlace::by_id(row.room.clone()), row, room: None });
        let rooms = self.lookups(found.collect(), &query);
        let next = page.next.map(InboxPlace::by_id);
        Ok(InboxPage { rooms, damaged: page.damaged, next, is_partial: false, read: 0 })
    }

    async fn unread_total(
        &self,
        user: &UserId,
        unmuted_at: Option<Timestamp>,
    ) -> Result<UnreadTotal, StoreError> {
        let (mut total, mut after) = (UnreadTotal::default(), None);
        let mut left = self.sizes.total_rooms;
        for _ in 0..self.sizes.total_pages {
            let page = self.store.rooms_of(user, after.as_ref(), self.sizes.total_page).await?;
            total.is_partial |= !page.damaged.is_empty();
            total.read += page.rows.len();
            let active = page.rows.into_iter().filter(|room| room.member.is_active());
            for batch in self.batches(active.map(|row| (row, None))) {
                let rooms = self.current(user, batch).await;
                let rooms = join_all(rooms.into_iter().map(|room| self.unread_of(room, unmuted_at))).await;
                for room in rooms {
                    match room {
                        // One more than are counted.
                        Ok(Some(_)) if left == 0 => return Ok(UnreadTotal { is_partial: true, ..total }),
                        Ok(Some((messages, is_marked))) => {
                            left -= 1;
                            total.messages += messages;
                            total.rooms += u32::from(messages > 0 || is_marked);
                        }
                        Ok(None) => {}
                        Err(StoreError::Damaged(_)) => total.is_partial = true,
                        Err(error) => return Err(error),
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(total);
            }
        }
        Ok(UnreadTotal { is_partial: true, ..total })
    }
}
