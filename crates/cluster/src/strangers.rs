//! What is kept from strangers: nobody is shown to who has begun a direct room with them, until they answer there.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use parlance_core::{RoomId, UserId};
use parlance_store::contacts;

use crate::cluster::Cluster;
use crate::limits::ANSWERS_READ;

impl Cluster {
    /// Sets whether presence and receipts are kept from strangers.
    #[must_use]
    pub fn hiding_presence(mut self, hides: bool) -> Self {
        self.hides_presence = hides;
        self
    }

    /// Whether presence and receipts of `user` are kept from the other one in `room`.
    pub async fn hides_in(&self, user: &UserId, room: &RoomId) -> bool {
        self.hides_presence && !self.unanswered(user, [room]).await.is_empty()
    }

    /// Those of `rooms` that are direct, and in which `user` has not answered the other one, who has begun them. Rooms
    /// that cannot be read, or not so many at once, are among them.
    pub async fn unanswered<'r>(
        &self,
        user: &UserId,
        rooms: impl IntoIterator<Item = &'r RoomId>,
    ) -> BTreeSet<RoomId> {
        let is_unknown = |room: &&RoomId| {
            room.is_direct() && !self.answers.0.contains_key(&((*room).clone(), user.clone()))
        };
        let mut unanswered: BTreeSet<RoomId> = rooms.into_iter().filter(is_unknown).cloned().collect();
        let reads: Vec<RoomId> = unanswered.iter().take(ANSWERS_READ).cloned().collect();
        let mut looked_up = stream::iter(reads)
            .map(|room| async move {
                let shows = contacts::takes_part(self.store.as_ref(), user, &room).await;
                (room, shows)
            })
            .buffer_unordered(self.sizes.hint_concurrency);
        while let Some((room, shows)) = looked_up.next().await {
            match shows {
                Ok(true) => {
                    unanswered.remove(&room);
                    self.answers.0.insert((room, user.clone()), ());
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%room, %error, "cannot read whether a user has answered"),
            }
        }
        unanswered
    }
}
