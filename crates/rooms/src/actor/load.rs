//! Loads the room, data that a decision needs, and events appended by others.
use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::{MAX_PAGE_SIZE, MAX_RECENT_REQUESTS};
use parlance_core::{Event, Need, Posted, Room, SeqRange, UserId};
use parlance_hub::Terms;
use parlance_store::{StoreError, members};

use super::Actor;
use super::roster::Roster;
use crate::limits::BLOCK_READS;

/// The result of loading data for a draft.
pub(super) enum Loaded {
    Into(()),
    /// The store has later changes than the room: catch up, and decide again.
    Ahead,
    /// All members have to be [read](Actor::read_roster) first.
    NeedsRoster,
}

impl Actor {
    pub(super) async fn satisfy(&self, room: &mut Room, need: Need) -> Result<Loaded, StoreError> {
        let store = &self.shared.store;
        let usable = match need {
            Need::Member(user) => {
                let row = store.member(&self.id, &user).await?;
                room.load_member(user, row)
            }
            Need::Members => match &self.roster {
                Some(roster) => self.load_roster(room, roster).await?,
                None => return Ok(Loaded::NeedsRoster),
            },
            Need::Invitations => {
                let invitations = store.invitations(&self.id).await?;
                room.load_invitations(invitations)
            }
            Need::Message(seq) => {
                let message = self.message(seq).await?;
                room.load_message(seq, message)
            }
            Need::Blocks { by, of } => {
                let read: Vec<(UserId, bool)> = stream::iter(by)
                    .map(|user| async {
                        let blocks = self.shared.cluster.blocks_of(&user).await?.contains(&of);
                        Ok::<_, StoreError>((user, blocks))
                    })
                    .buffer_unordered(BLOCK_READS)
                    .try_collect()
                    .await?;
                room.load_blocks(&of, read);
                true
            }
            Need::Older { before } => {
                let older = self.older(before).await?;
                room.load_older(&older);
                // Nothing found although the floor was lower: the floor has moved.
                !older.is_empty()
            }
            Need::Past { user, left, before } => {
                let older = self.older(before).await?;
                room.load_past(&user, left, before, &older);
                !older.is_empty()
            }
        };
        Ok(if usable { Loaded::Into(()) } else { Loaded::Ahead })
    }

    pub(super) async fn read_roster(&mut self) -> Result<(), StoreError> {
        let rows = members::active(self.shared.store.as_ref(), &self.id, MAX_PAGE_SIZE).await?;
        self.roster = Some(Roster { rows, changed: self.perhaps_unannounced.clone() });
        Ok(())
    }

    /// Gives `room` the rows of all members. Returns whether they are as of its head.
    async fn load_roster(&self, room: &mut Room, roster: &Roster) -> Result<bool, StoreError> {
        let mut rows = roster.rows.clone();
        members::settle(self.shared.store.as_ref(), &self.id, &mut rows, &roster.changed).await?;
        let is_whole = rows.len() as u64 == room.head().member_count();
        Ok(is_whole && room.load_all_members(rows.into_values().collect()))
    }

    async fn older(&self, before: u64) -> Result<Vec<Event>, StoreError> {
        let limit = self.shared.sizes.older_page.min(MAX_RECENT_REQUESTS);
        self.shared.store.events_before(&self.id, before, limit).await
    }

    async fn message(&self, seq: u64) -> Result<Option<Posted>, StoreError> {
        let store = &self.shared.store;
        let range = SeqRange { from: seq, to: seq };
        let entry = store.read(&self.id, range, 1, false).await?.pop();
        Ok(entry.and_then(Posted::of))
    }

    /// The room, loaded from the store if necessary. `None` if it does not exist.
    pub(super) async fn load(&mut self) -> Result<Option<&mut Room>, StoreError> {
        if self.room.is_none() {
            // Changes since it was read are unknown.
            self.roster = None;
            let stored = self.shared.store.room(&self.id).await?;
            if let Some(stored) = &stored {
                // Its writer may have died before publishing: a repeat is answered without another append.
                self.shared.hub.deliver(&self.id, Terms::from(&stored.info), &stored.tail);
                self.perhaps_unannounced.extend(stored.tail.concerned().cloned());
            }
            self.room = stored.map(|stored| {
                let room = Room::load(stored.info, &stored.tail).keeping(&self.shared.sizes.room);
                room.permitting(&self.shared.permissions)
            });
        }
        Ok(self.room.as_mut())
    }

    /// Applies events appended by others. Bounded: others may write faster than this can read.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let before = room.head();
        let page = self.shared.sizes.log_page;
        loop {
            let head = room.head();
            let chunks = self.shared.store.chunks_after(&self.id, head.seq(), page).await?;
            if chunks.is_empty() {
                if head == before {
                    // Ahead, but not by events: data next to the log has changed.
                    self.room = None;
                }
                return Ok(());
            }
            for chunk in &chunks {
                if room.apply(chunk).is_err() {
                    // The log has no holes, so this chunk was not its continuation.
                    self.room = None;
                    return Ok(());
                }
                self.shared.hub.deliver(&self.id, Terms::from(room.info()), chunk);
                self.shared.cluster.committed(&self.id, chunk);
                self.perhaps_unannounced.extend(chunk.concerned().cloned());
                self.roster.iter_mut().for_each(|roster| roster.note(chunk));
            }
            room.settle();
            let read: usize = chunks.iter().map(|chunk| chunk.events().len()).sum();
            if read < page / 2 {
                return Ok(());
            }
        }
    }
}
