use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use parlance_core::{Body, Entry, Member, Timestamp, UserId};
use parlance_store::past::as_of;
use parlance_store::{Store, StoreError, StoredRoom, UserRoom};

use crate::limits::{LAST_MESSAGE_SCAN, Sizes};
use crate::unread;
use crate::view::{InboxPage, InboxQuery, InboxRow, InboxView, UnreadTotal};

/// The inbox, derived from the logs.
pub struct LogInbox {
    store: Arc<dyn Store>,
    concurrency: usize,
    sizes: Sizes,
}

impl LogInbox {
    /// Reads `concurrency` rooms of a page at a time.
    pub fn new(store: Arc<dyn Store>, concurrency: usize, sizes: Sizes) -> Self {
        Self { store, concurrency, sizes }
    }

    /// The room and the user's row in their current state. `None` for a non-member.
    async fn current(&self, row: UserRoom) -> Result<Option<(StoredRoom, UserRoom)>, StoreError> {
        let id = &row.room.clone();
        let Some(room) = self.store.room(id).await? else { return Ok(None) };
        let mut row = row;
        if row.cursors.read.seq < room.head().seq() {
            // The list may lack the user's own latest messages. It is also older than the room: the user may have
            // been removed before the room's current events.
            row = self.store.user_room(&row.member.user, id).await?.unwrap_or(row);
        }
        let member = row.member.as_of(room.head().seq());
        Ok(member.filter(Member::is_active).map(|member| (room, UserRoom { member, ..row })))
    }

    async fn row(&self, row: UserRoom, query: &InboxQuery) -> Result<Option<InboxRow>, StoreError> {
        let filter = &query.filter;
        if filter.pinned_only && !row.preferences.is_pinned(&row.member) {
            return Ok(None);
        }
        let Some((room, row)) = self.current(row).await? else { return Ok(None) };
        let hidden = row.is_hidden(room.head());
        if (hidden && !query.include_hidden)
            || !(filter.kinds.is_empty() || filter.kinds.contains(&room.info.kind))
        {
            return Ok(None);
        }
        let unread = unread(&*self.store, &row.room, room.head(), row.cursors.read).await?;
        if filter.unread_only && unread == 0 && !row.preferences.is_marked_unread(&row.cursors) {
            return Ok(None);
        }
        let last_message = self.last_message(&room, &row.member).await?;
        let UserRoom { member, cursors, preferences, .. } = row;
        Ok(Some(InboxRow { room, member, cursors, unread, hidden, preferences, last_message }))
    }

    /// The unread messages of one room, and whether it is marked as unread: none in a hidden or muted one. `None` for a
    /// room that is not there.
    async fn unread_of(
        &self,
        row: UserRoom,
        unmuted_at: Option<Timestamp>,
    ) -> Result<Option<(u64, bool)>, StoreError> {
        let Some((room, row)) = self.current(row).await? else { return Ok(None) };
        let is_muted = unmuted_at.is_some_and(|now| row.preferences.muted(&row.member, now).is_some());
        if room.info.deleted {
            return Ok(None);
        }
        if row.is_hidden(room.head()) || is_muted {
            return Ok(Some((0, false)));
        }
        let unread = unread(&*self.store, &row.room, room.head(), row.cursors.read).await?;
        Ok(Some((unread, row.preferences.is_marked_unread(&row.cursors))))
    }

    /// The last visible message, if it is among the last [`LAST_MESSAGE_SCAN`] visible events.
    async fn last_message(&self, room: &StoredRoom, member: &Member) -> Result<Option<Entry>, StoreError> {
        let mut left = LAST_MESSAGE_SCAN;
        for range in room.visible_to(member).into_iter().rev() {
            let tail = self.store.read(&room.info.id, range, left, true).await?;
            left = left.saturating_sub(tail.len());
            let tail = as_of(&*self.store, &room.info.id, room.until(member), tail).await?;
            let last = tail.into_iter().rev().find(|entry| matches!(entry.event.body, Body::Message(_)));
            if last.is_some() || left == 0 {
                return Ok(last);
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl InboxView for LogInbox {
    async fn page(&self, query: InboxQuery) -> Result<InboxPage<'_>, StoreError> {
        let page = self.store.rooms_of(&query.user, query.after.as_ref(), query.size).await?;
        let active = page.rows.into_iter().filter(|room| room.member.is_active());
        let query = Arc::new(query);
        let rooms = futures::stream::iter(active)
            .map(move |row| {
                let query = Arc::clone(&query);
                async move {
                    let room = row.room.clone();
                    (room, self.row(row, &query).await)
                }
            })
            .buffered(self.concurrency)
            .boxed();
        Ok(InboxPage { rooms, damaged: page.damaged, next: page.next })
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
            let rooms = active.map(|row| self.unread_of(row, unmuted_at));
            let mut rooms = futures::stream::iter(rooms).buffer_unordered(self.concurrency);
            while let Some(room) = rooms.next().await {
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
            after = page.next;
            if after.is_none() {
                return Ok(total);
            }
        }
        Ok(UnreadTotal { is_partial: true, ..total })
    }
}
