use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use parlance_core::{Body, Entry, Member};
use parlance_store::past::as_of;
use parlance_store::{Store, StoreError, StoredRoom, UserRoom};

use crate::limits::LAST_MESSAGE_SCAN;
use crate::unread;
use crate::view::{InboxPage, InboxQuery, InboxRow, InboxView};

/// The inbox, derived from the logs.
pub struct LogInbox {
    store: Arc<dyn Store>,
    concurrency: usize,
}

impl LogInbox {
    /// Reads `concurrency` rooms of a page at a time.
    pub fn new(store: Arc<dyn Store>, concurrency: usize) -> Self {
        Self { store, concurrency }
    }

    async fn row(&self, row: UserRoom, include_hidden: bool) -> Result<Option<InboxRow>, StoreError> {
        let id = &row.room.clone();
        let Some(room) = self.store.room(id).await? else { return Ok(None) };
        let mut row = row;
        if row.cursors.read.seq < room.head().seq() {
            // The list may lack the user's own latest messages. It is also older than the room: the user may have
            // been removed before the room's current events.
            row = self.store.user_room(&row.member.user, id).await?.unwrap_or(row);
        }
        let hidden = row.is_hidden(room.head());
        if hidden && !include_hidden {
            return Ok(None);
        }
        let member = row.member.as_of(room.head().seq());
        let Some(member) = member.filter(Member::is_active) else { return Ok(None) };
        let cursors = row.cursors;
        let unread = unread(&*self.store, id, room.head(), cursors.read).await?;
        let last_message = self.last_message(&room, &member).await?;
        Ok(Some(InboxRow { room, member, cursors, unread, hidden, last_message }))
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
        let rooms = futures::stream::iter(active)
            .map(move |row| async move {
                let room = row.room.clone();
                (room, self.row(row, query.include_hidden).await)
            })
            .buffered(self.concurrency)
            .boxed();
        Ok(InboxPage { rooms, damaged: page.damaged, next: page.next })
    }
}
