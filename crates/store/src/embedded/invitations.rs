//! Invitations to rooms, and the lists of rooms that users were invited to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parlance_core::{Invitations, Listed, RoomId, UserId};

use super::tables::Table;
use super::{Embedded, keys};
use crate::invitation_record::{decode_invitations, decode_invited, decode_requests};
use crate::{InvitationStore, Invited, StoreError};

#[async_trait]
impl InvitationStore for Embedded {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        let room = room.clone();
        self.view(move |view| {
            let issued = view.get(Table::Members, &keys::invitations(room.as_str()))?;
            let issued =
                issued.map(|bytes| decode_invitations(&room, &bytes)).transpose()?.unwrap_or_default();
            match view.get(Table::Members, &keys::requests(room.as_str()))? {
                Some(requests) => decode_requests(&room, &requests, issued),
                None => Ok(issued),
            }
        })
        .await
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        let room = room.clone();
        self.view(move |view| {
            let bytes = view.get(Table::Members, &keys::invitations(room.as_str()))?;
            Ok(bytes.map(|bytes| decode_invitations(&room, &bytes)).transpose()?.unwrap_or_default())
        })
        .await
    }

    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        let (user, after) = (user.clone(), after.cloned());
        self.view(move |view| {
            let after = after.map(|room| keys::invited(user.as_str(), room.as_str()));
            view.readable_page(Table::Members, &keys::invited_to(user.as_str()), after, limit, |key, row| {
                let room = keys::last_id(key).and_then(|id| RoomId::parse(id).ok());
                let room = room.ok_or_else(|| StoreError::Damaged("a key of invitations".into()))?;
                Ok(Invited { room, listed: decode_invited(&user, row)? })
            })
        })
        .await
    }

    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        let (room, users) = (room.clone(), users.to_vec());
        self.view(move |view| {
            let mut listed = BTreeMap::new();
            for user in users {
                if let Some(row) = view.get(Table::Members, &keys::invited(user.as_str(), room.as_str()))? {
                    let found = decode_invited(&user, &row)?;
                    listed.insert(user, found);
                }
            }
            Ok(listed)
        })
        .await
    }

    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        let (user, old) = (user.clone(), old.clone());
        self.committer
            .commit(move |txn| {
                let key = keys::invited(user.as_str(), old.room.as_str());
                if let Some(row) = txn.get(Table::Members, &key)?
                    && decode_invited(&user, &row)?.seq == old.listed.seq
                {
                    txn.remove(Table::Members, key);
                }
                Ok(())
            })
            .await?
    }
}
