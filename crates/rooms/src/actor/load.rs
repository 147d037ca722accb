//! Loads the room, what a decision needs, and what others have appended.
use parlance_core::limits::{MAX_PAGE_SIZE, MAX_RECENT_REQUESTS};
use parlance_core::plant::{self, Plant};
use parlance_core::{Body, Chunk, Event, Member, Need, Overlay, Room, SeqRange, UserId};
use parlance_hub::Terms;
use parlance_store::StoreError;

use super::Actor;

/// What loading something for a draft came to.
pub(super) enum Loaded {
    Into(()),
    /// The store knows of later changes than the room: catch up, and decide anew.
    Ahead,
}

impl Actor {
    pub(super) async fn satisfy(&self, room: &mut Room, need: Need) -> Result<Loaded, StoreError> {
        let store = &self.shared.store;
        let usable = match need {
            Need::Member(user) => {
                let row = store.member(&self.id, &user).await?;
                room.load_member(user, row)
            }
            Need::Members => {
                let (mut rows, mut after) = (Vec::new(), None);
                loop {
                    let page = store.members(&self.id, after.as_ref(), MAX_PAGE_SIZE).await?;
                    let is_last = page.len() < MAX_PAGE_SIZE;
                    after = page.last().map(|last| last.user.clone());
                    // Nobody asks for those who left.
                    rows.extend(page.into_iter().filter(Member::is_active));
                    if is_last {
                        break;
                    }
                }
                self.settle_rows(&mut rows).await?;
                // A change that is half visible, in rows of others than those.
                let is_whole = rows.len() as u64 == room.head().member_count();
                is_whole && room.load_all_members(rows)
            }
            Need::Message(seq) => {
                let message = self.message(seq).await?;
                room.load_message(seq, message)
            }
            Need::Older { before } => {
                let older = self.older(before).await?;
                room.load_older(&older);
                // Nothing there although the floor is lower: the floor has moved.
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

    /// Reads rows again that a list may hold as they were before a change whose chunk can be seen already.
    async fn settle_rows(&self, rows: &mut Vec<Member>) -> Result<(), StoreError> {
        if self.perhaps_untold.is_empty() {
            return Ok(());
        }
        let users: Vec<UserId> = self.perhaps_untold.iter().cloned().collect();
        let settled = self.shared.store.members_by_id(&self.id, &users).await?;
        rows.retain(|row| !self.perhaps_untold.contains(&row.user));
        rows.extend(settled.into_iter().filter(Member::is_active));
        Ok(())
    }

    async fn older(&self, before: u64) -> Result<Vec<Event>, StoreError> {
        let limit = self.shared.sizes.older_page.min(MAX_RECENT_REQUESTS);
        self.shared.store.events_before(&self.id, before, limit).await
    }

    async fn message(&self, seq: u64) -> Result<Option<(UserId, Overlay)>, StoreError> {
        let store = &self.shared.store;
        let range = SeqRange { from: seq, to: seq };
        let entry = store.read(&self.id, range, 1, false).await?.pop();
        let message = entry.filter(|entry| matches!(entry.event.body, Body::Message(_)));
        Ok(message.map(|entry| (entry.event.actor, entry.overlay.unwrap_or_default())))
    }

    /// The room, from the store if it is not loaded. `None` where there is none.
    pub(super) async fn load(&mut self) -> Result<Option<&mut Room>, StoreError> {
        if self.room.is_none() {
            let stored = self.shared.store.room(&self.id).await?;
            if let Some(stored) = &stored {
                // What nobody has told this node, if its writer died: a repeat of it is
                // answered without another append.
                self.shared.hub.deliver(&self.id, Terms::from(&stored.info), &stored.tail);
                self.perhaps_untold.extend(stored.tail.concerned().cloned());
            }
            self.room =
                stored.map(|stored| Room::load(stored.info, &stored.tail).keeping(&self.shared.sizes.room));
        }
        Ok(self.room.as_mut())
    }

    /// Applies what others have appended. Not until there is nothing more: they may write
    /// faster than can be read here.
    pub(super) async fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let before = room.head();
        let page = self.shared.sizes.log_page;
        loop {
            let head = room.head();
            let chunks = self.shared.store.chunks_after(&self.id, head.seq(), page).await?;
            if chunks.is_empty() {
                if head == before {
                    // Behind, but not by events: what stands beside the log has changed.
                    self.room = None;
                }
                return Ok(());
            }
            if plant::is(Plant::MiddleOfChunk)
                && let Some(half) = chunks.iter().find_map(half)
            {
                let _ = room.apply(&half);
                return Ok(());
            }
            for chunk in &chunks {
                if room.apply(chunk).is_err() {
                    // The log itself has no hole: this was not its continuation.
                    self.room = None;
                    return Ok(());
                }
                self.shared.hub.deliver(&self.id, Terms::from(room.info()), chunk);
                self.shared.cluster.committed(&self.id, chunk);
                self.perhaps_untold.extend(chunk.concerned().cloned());
            }
            room.settle();
            let read: usize = chunks.iter().map(|chunk| chunk.events().len()).sum();
            if read < page / 2 {
                return Ok(());
            }
        }
    }
}

/// For a planted bug: the first half of a chunk, as if it were one.
fn half(chunk: &Chunk) -> Option<Chunk> {
    let events = chunk.events().get(..chunk.events().len() / 2)?.to_vec();
    let last = events.last()?.message_count;
    let half = Chunk::new(*chunk.nonce(), events, last, chunk.head().member_count())?;
    Some(half.with_previous(chunk.previous().copied()))
}
