use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::feed::{ChangeFeed, FeedPage, Position, Record};

use super::seen::Seen;
use crate::Plant;

/// A feed with a bug.
pub(super) struct PlantedFeed {
    pub(super) inner: Arc<dyn ChangeFeed>,
    pub(super) seen: Arc<Seen>,
    pub(super) bug: Plant,
}

impl PlantedFeed {
    /// Records the records' positions, and drops some.
    fn meet(&self, records: &mut [Record]) {
        let mut sights = self.seen.sights();
        for record in records {
            for head in &record.changes.heads {
                sights.named.insert(head.room.clone(), head.first);
            }
            if self.bug == Plant::WaitForHoles {
                record.changes.heads.retain(|head| {
                    let taken = sights.taken.get(&head.room);
                    taken.is_none_or(|taken| head.first <= taken + 1)
                });
            }
        }
    }
}

#[async_trait]
impl ChangeFeed for PlantedFeed {
    async fn tip(&self) -> Result<Position, StoreError> {
        self.inner.tip().await
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        let (mut records, next, unread) = match self.inner.records_after(after, limit).await? {
            FeedPage::Records { records, next, unread } => (records, next, unread),
            FeedPage::Trimmed if self.bug == Plant::SkipTheTrimmed => {
                (Vec::new(), self.inner.tip().await?, None)
            }
            FeedPage::Trimmed => return Ok(FeedPage::Trimmed),
        };
        self.meet(&mut records);
        self.seen.sights().position = Some(next.clone());
        Ok(FeedPage::Records { records, next, unread })
    }

    async fn wait(&self, position: &Position) {
        self.inner.wait(position).await;
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        self.inner.walk_rooms(after, limit).await
    }

    fn disorder(&self) -> Duration {
        match self.bug {
            Plant::StartAtTheRecord => Duration::ZERO,
            _ => self.inner.disorder(),
        }
    }
}
