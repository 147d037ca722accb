use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::feed::{ChangeFeed, Changes, FeedPage, Position, Record};
use tokio::time::sleep;

use super::restores::Restores;
use crate::dice::lock;
use crate::store::MemoryStore;
use crate::weather::Weather;

/// Between looks that find nothing.
const POLL: Duration = Duration::from_millis(200);

/// By how much records may be late.
const DISORDER: Duration = Duration::from_secs(120);

/// Records pulled at once.
const PULLED: usize = 1_000;

/// The feed of the store as the streams of tables would show it: a record names the first event of a chunk, and some
/// are late.
pub(super) struct DisorderlyFeed {
    memory: MemoryStore,
    weather: Arc<Weather>,
    restores: Restores,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How far the store's own feed was read.
    pulled: Option<Position>,
    published: Vec<(Timestamp, Changes)>,
    held: Vec<(Timestamp, Changes)>,
    trimmed: usize,
    calm: bool,
}

impl DisorderlyFeed {
    pub(super) fn new(memory: MemoryStore, weather: Arc<Weather>, restores: Restores) -> Self {
        Self { memory, weather, restores, state: Mutex::default() }
    }

    /// Its positions are of no other feed, and of none from before a restore.
    fn identity(&self) -> String {
        format!("simulated-{}", self.restores.count())
    }

    /// Nothing is late any more.
    pub(super) fn calm(&self) {
        lock(&self.state).calm = true;
    }

    async fn pull(&self) -> Result<(), StoreError> {
        let from = lock(&self.state).pulled.clone();
        let from = match from {
            Some(from) => from,
            None => Position::numbered(&self.memory.tables().identity, 0),
        };
        let FeedPage::Records { records, next, .. } = self.memory.records_after(&from, PULLED).await? else {
            return Err(StoreError::Overloaded);
        };
        let (dice, mut state) = (self.weather.dice(), lock(&self.state));
        state.pulled = Some(next);
        for record in records {
            for mut head in record.changes.heads {
                head.last = head.first;
                let one = (record.at, Changes { heads: vec![head], ..Changes::default() });
                if !state.calm && dice.chance(300) {
                    state.held.push(one);
                } else {
                    state.published.push(one);
                }
            }
        }
        while !state.held.is_empty() && (state.calm || dice.chance(300)) {
            let index = dice.below(state.held.len() as u64) as usize;
            let late = state.held.swap_remove(index);
            state.published.push(late);
        }
        if !state.calm && dice.chance(5) {
            let held = std::mem::take(&mut state.held);
            state.published.extend(held);
            state.trimmed = state.published.len();
        }
        Ok(())
    }
}

#[async_trait]
impl ChangeFeed for DisorderlyFeed {
    async fn tip(&self) -> Result<Position, StoreError> {
        self.pull().await?;
        let identity = self.identity();
        Ok(Position::numbered(&identity, lock(&self.state).published.len() as u64))
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        if self.weather.store_fails() {
            return Err(StoreError::Overloaded);
        }
        self.pull().await?;
        let identity = self.identity();
        let state = lock(&self.state);
        let after = after.number_in(&identity).and_then(|number| usize::try_from(number).ok());
        let Some(after) = after.filter(|after| (state.trimmed..=state.published.len()).contains(after))
        else {
            return Ok(FeedPage::Trimmed);
        };
        let to = state.published.len().min(after.saturating_add(limit));
        let record = |index: usize| {
            let (at, changes) = state.published[index].clone();
            Record { position: Position::numbered(&identity, index as u64 + 1), at, changes }
        };
        let records = (after..to).map(record).collect();
        Ok(FeedPage::Records { records, next: Position::numbered(&identity, to as u64), unread: None })
    }

    async fn wait(&self, _position: &Position) {
        sleep(POLL).await;
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        self.memory.walk_rooms(after, limit).await
    }

    fn disorder(&self) -> Duration {
        DISORDER
    }
}
