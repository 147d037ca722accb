//! Invitations, and the lists of users who are invited or ask to join.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parlance_core::{Invitations, Listed, RoomId, UserId};
use parlance_store::{InvitationStore, Invited, StoreError};

use super::handle::NodeStore;
use super::tables::Tables;

impl Tables {
    pub(super) fn invitations(&self, room: &RoomId) -> Invitations {
        self.rooms.get(room).map(|row| row.invitations.clone()).unwrap_or_default()
    }

    pub(super) fn issued(&self, room: &RoomId) -> Invitations {
        self.invitations(room).with_requests(0, BTreeMap::new())
    }

    pub(super) fn invited_to(&self, user: &UserId, after: Option<&RoomId>, limit: usize) -> Vec<Invited> {
        let of_user = self.invited.iter().filter(|((owner, _), _)| owner == user);
        let rooms = of_user.filter(|((_, room), _)| after.is_none_or(|after| room > after));
        rooms
            .take(limit)
            .map(|((_, room), listed)| Invited { room: room.clone(), listed: listed.clone() })
            .collect()
    }

    pub(super) fn listed_with(&self, room: &RoomId, users: &[UserId]) -> BTreeMap<UserId, Listed> {
        let listed =
            |user: &UserId| Some((user.clone(), self.invited.get(&(user.clone(), room.clone()))?.clone()));
        users.iter().filter_map(listed).collect()
    }

    pub(super) fn forget_invited(&mut self, user: &UserId, old: &Invited) {
        let key = (user.clone(), old.room.clone());
        if self.invited.get(&key).is_some_and(|listed| listed.seq == old.listed.seq) {
            self.invited.remove(&key);
        }
    }
}

#[async_trait]
impl InvitationStore for NodeStore {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.read(|tables| tables.invitations(room)).await
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.read(|tables| tables.issued(room)).await
    }

    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        self.read(|tables| tables.invited_to(user, after, limit)).await
    }

    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        self.read(|tables| tables.listed_with(room, users)).await
    }

    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        self.write(|tables| tables.forget_invited(user, old)).await
    }
}
