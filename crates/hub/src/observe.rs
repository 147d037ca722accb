use std::sync::Arc;

use parlance_core::{Chunk, RoomId, UserId};

use crate::hub::Hub;
use crate::ring::Verified;

/// Commits of other nodes.
impl Hub {
    /// Handles a chunk of `room` that another node says it has committed. Delivers it if it continues the log known
    /// here.
    ///
    /// Otherwise none of it is trusted: returns the users here whose membership it may have changed; their rows and
    /// the room's head have to be read from the store.
    ///
    /// # Errors
    /// Those users.
    pub fn observe(self: &Arc<Self>, room: &RoomId, chunk: &Chunk) -> Result<(), Vec<UserId>> {
        let verified = match self.feed(room) {
            Some(feed) => feed.verify(chunk),
            None => {
                // Attached sessions read their rows; when the users joined is not known here.
                self.fold_members(room, chunk, |_| 0);
                return Ok(());
            }
        };
        match verified {
            Verified::Next(terms) => self.deliver(room, terms, chunk),
            Verified::Delivered => {}
            Verified::Passed => {
                let changed = self.members_changed_here(chunk);
                return if changed.is_empty() { Ok(()) } else { Err(changed) };
            }
            Verified::No => return Err(self.members_changed_here(chunk)),
        }
        Ok(())
    }

    /// Users here who were added or removed by the events of a chunk.
    fn members_changed_here(&self, chunk: &Chunk) -> Vec<UserId> {
        chunk.concerned().filter(|user| self.is_here(user)).cloned().collect()
    }
}
