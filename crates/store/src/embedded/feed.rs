//! The change feed of the embedded engine: a record per commit, under the commit's number and in its batch.
//!
//! Numbers have no gaps. A gap means that records are missing: trimmed, damaged, or written by a version without a
//! feed.

use async_trait::async_trait;
use parlance_core::RoomId;

use super::limits::FEED_PAGE_BYTES;
use super::tables::{Table, damaged};
use super::view::View;
use super::{Embedded, keys};
use crate::StoreError;
use crate::feed::{ChangeFeed, FeedPage, Position, Record};
use crate::feed_record::decode_changes;

#[async_trait]
impl ChangeFeed for Embedded {
    async fn tip(&self) -> Result<Position, StoreError> {
        Ok(Position::numbered(&self.identity.id, self.tables.visible().commit))
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        let identity = self.identity.id.clone();
        let Some(after) = after.number_in(&identity) else { return Ok(FeedPage::Trimmed) };
        self.view(move |view| Ok(page(view, &identity, after, limit))).await
    }

    async fn wait(&self, position: &Position) {
        let Some(after) = position.number_in(&self.identity.id) else { return };
        // The tables outlive this call, and with them the sender.
        let _ = self.tables.published().wait_for(|commit| *commit != after).await;
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        let after = after.map(|room| keys::id(room.as_str()));
        self.view(move |view| view.page(Table::Rooms, &[], after, limit, |key, _| room_of(key))).await
    }
}

fn page(view: &View, identity: &str, after: u64, limit: usize) -> FeedPage {
    let (mut records, mut last, mut bytes) = (Vec::new(), after, 0);
    for guard in view.feed(after.saturating_add(1)).take(limit) {
        let read = guard.into_inner().map_err(damaged);
        let found = match &read {
            Ok((key, value)) => key.first_chunk().map(|number| u64::from_be_bytes(*number)).zip(Some(value)),
            Err(error) => {
                tracing::error!(%error, commit = last + 1, "cannot read the change feed");
                None
            }
        };
        let Some((number, value)) = found.filter(|(number, _)| *number == last + 1) else { break };
        let Some((at, changes)) = decode_changes(value) else {
            tracing::error!(commit = number, "a record of the change feed is damaged");
            break;
        };
        last = number;
        bytes += value.len();
        records.push(Record { position: Position::numbered(identity, number), at, changes });
        if bytes >= FEED_PAGE_BYTES {
            break;
        }
    }
    if records.is_empty() && (after != view.commit() && limit > 0) {
        return FeedPage::Trimmed;
    }
    FeedPage::Records { records, next: Position::numbered(identity, last), unread: None }
}

fn room_of(key: &[u8]) -> Result<RoomId, StoreError> {
    let room = keys::last_id(key).and_then(|id| RoomId::parse(id).ok());
    room.ok_or_else(|| StoreError::Damaged("a key of rooms".into()))
}
