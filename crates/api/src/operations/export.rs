//! Everything that is stored about a user.

use futures::future::BoxFuture;
use parlance_core::{SeqRange, UserId};
use parlance_proto::{convert, v1};
use parlance_store::UserRoom;
use prost::Message;
use tokio::time::Instant;
use v1::exported_item::Item;

use super::only_the_app;
use super::parse;
use super::preferences::preferences_to_proto;
use super::views::user_to_proto;
use super::walk::{Place, Visit};
use crate::gate::Admitted;
use crate::limits::{MAX_PAGE_BYTES, WALK_TIME};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn export_user(
        &self,
        caller: &Admitted,
        request: v1::ExportUserRequest,
    ) -> Result<v1::ExportUserResponse, Error> {
        only_the_app(caller)?;
        let id = parse::user_id("user_id", &request.user_id)?;
        let place = Place::parse(&request.page_token)?;
        let user = self.store().user(&id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        let until = Instant::now() + WALK_TIME;
        let mut page = Page { api: self, user: &id, items: Vec::new(), bytes: 0, scanned: 0, until };
        if place.is_none() {
            page.push(Item::User(user_to_proto(&user)));
            let blocks = self.store().blocks(&id).await?;
            for (other, since) in blocks.iter() {
                let since = Some(convert::timestamp(since));
                page.push(Item::Block(v1::Block { user_id: other.to_string(), since }));
            }
        }
        let walked = self.walk(&id, place, &mut page).await?;
        Ok(v1::ExportUserResponse {
            items: page.items,
            next_page_token: Place::token(walked.next.as_ref()),
            unreadable_room_ids: walked.unreadable,
        })
    }
}

/// The page that is being filled.
struct Page<'a> {
    api: &'a Api,
    user: &'a UserId,
    items: Vec<v1::ExportedItem>,
    bytes: usize,
    /// Events read for it, most of which are of others.
    scanned: usize,
    /// When the rest is left to the next page.
    until: Instant,
}

impl Visit for Page<'_> {
    fn visit<'a>(&'a mut self, row: &'a UserRoom, seq: u64) -> BoxFuture<'a, Result<Option<u64>, Error>> {
        Box::pin(self.export(row, seq))
    }
}

impl Page<'_> {
    fn push(&mut self, item: Item) {
        let item = v1::ExportedItem { item: Some(item) };
        self.bytes += item.encoded_len();
        self.items.push(item);
    }

    fn is_full(&self) -> bool {
        let is_full = self.bytes > MAX_PAGE_BYTES || self.scanned >= self.api.sizes().max_scan;
        is_full || Instant::now() >= self.until
    }

    /// Adds a room, from `seq` on; the membership only at its beginning.
    async fn export(&mut self, row: &UserRoom, seq: u64) -> Result<Option<u64>, Error> {
        if self.is_full() {
            return Ok(Some(seq));
        }
        if seq == 0 {
            self.push(Item::Room(self.room(row)));
        }
        let Some(room) = self.api.store().room(&row.room).await?.filter(|room| !room.info.deleted) else {
            return Ok(None);
        };
        let (mut from, head) = (seq.max(1), room.head().seq());
        while from <= head {
            let range = SeqRange { from, to: head };
            let entries = self.api.store().read(&row.room, range, self.api.sizes().page_read, false).await?;
            from = entries.last().map_or(head, |last| last.event.seq) + 1;
            self.scanned += entries.len();
            for entry in entries.iter().filter(|entry| entry.event.actor == *self.user) {
                self.push(Item::Event(convert::entry(row.room.as_str(), entry)));
            }
            if from <= head && self.is_full() {
                return Ok(Some(from));
            }
        }
        // An empty room costs a read, too.
        self.scanned += 1;
        Ok(None)
    }

    fn room(&self, row: &UserRoom) -> v1::ExportedRoom {
        let now = self.api.clock().now();
        v1::ExportedRoom {
            room_id: row.room.to_string(),
            membership: Some(convert::member(&row.member)),
            read: Some(convert::read_mark(row.cursors.read)),
            delivered_seq: row.cursors.delivered,
            preferences: Some(preferences_to_proto(&row.preferences, &row.member, &row.cursors, now)),
        }
    }
}
