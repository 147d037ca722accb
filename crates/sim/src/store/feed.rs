//! The change feed and its consumers, as plain values; `memory_feed` serves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parlance_core::{Append, RoomId, Timestamp, UserId};
use parlance_store::consumers::{ConsumerName, ConsumerState, RoomProgress};
use parlance_store::feed::{Changes, FeedPage, Position, Record};
use tokio::sync::Notify;

/// One entry per commit.
#[derive(Default)]
pub(super) struct FeedLog {
    entries: Vec<(Timestamp, Changes)>,
    /// Number of trimmed entries.
    pub(super) trimmed: usize,
    pub(super) moved: Arc<Notify>,
}

impl FeedLog {
    pub(super) fn append(&mut self, room: &RoomId, append: &Append) {
        let mut changes = Changes::default();
        changes.append(room, append.chunk.first_seq(), append.chunk.head().seq());
        changes.members = append.members.iter().map(|member| (room.clone(), member.user.clone())).collect();
        let at = append.chunk.events().last().map(|event| event.at);
        self.push(at.unwrap_or(Timestamp(0)), changes);
    }

    pub(super) fn mark(&mut self, room: &RoomId, user: &UserId) {
        let marks = vec![(room.clone(), user.clone())];
        self.push(self.last_at(), Changes { marks, ..Changes::default() });
    }

    pub(super) fn profile(&mut self, user: &UserId) {
        self.push(self.last_at(), Changes { profiles: vec![user.clone()], ..Changes::default() });
    }

    /// The time of the last append: other writes have none.
    fn last_at(&self) -> Timestamp {
        self.entries.last().map_or(Timestamp(0), |(at, _)| *at)
    }

    fn push(&mut self, at: Timestamp, changes: Changes) {
        self.entries.push((at, changes));
        self.moved.notify_waiters();
    }

    pub(super) fn tip(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn page(&self, identity: &str, after: &Position, limit: usize) -> FeedPage {
        let after = after.number_in(identity).and_then(|number| usize::try_from(number).ok());
        let Some(after) = after.filter(|after| (self.trimmed..=self.tip()).contains(after)) else {
            return FeedPage::Trimmed;
        };
        let to = self.tip().min(after.saturating_add(limit));
        let records = (after..to).map(|index| {
            let (at, changes) = self.entries[index].clone();
            Record { position: Position::numbered(identity, index as u64 + 1), at, changes }
        });
        FeedPage::Records {
            records: records.collect(),
            next: Position::numbered(identity, to as u64),
            unread: None,
        }
    }
}

/// Consumers, and their progress in rooms.
#[derive(Default)]
pub(super) struct Consumers {
    pub(super) states: BTreeMap<ConsumerName, ConsumerState>,
    pub(super) rooms: BTreeMap<(ConsumerName, RoomId), RoomProgress>,
}
