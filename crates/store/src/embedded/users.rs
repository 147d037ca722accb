//! Profiles of users, and whom they block.

use async_trait::async_trait;
use parlance_core::{Blocks, Timestamp, UserId};
use parlance_proto::storage::v1::{BlocksRecord, UserRecord};

use super::tables::Table;
use super::{Embedded, keys};
use crate::record::{carry_unknown, decode_blocks, decode_user, encode_blocks, encode_user};
use crate::{BlockError, BlockStore, Created, StoreError, UpdateError, User, UserChange, UserStore};

#[async_trait]
impl UserStore for Embedded {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        self.committer
            .commit(move |txn| {
                let key = keys::id(user.id.as_str());
                if let Some(bytes) = txn.get(Table::Users, &key)? {
                    return Ok(Created::Existing(decode_user(&user.id, &bytes)?));
                }
                txn.put(Table::Users, key, encode_user(&user));
                txn.changes.profiles.push(user.id.clone());
                Ok(Created::New(user))
            })
            .await?
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.view(move |view| {
            let bytes = view.get(Table::Users, &keys::id(id.as_str()))?;
            bytes.map(|bytes| decode_user(&id, &bytes)).transpose()
        })
        .await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let after = after.cloned();
        self.view(move |view| view.users(after.as_ref(), limit)).await
    }

    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        let id = id.clone();
        self.committer
            .commit(move |txn| {
                let key = keys::id(id.as_str());
                let Some(bytes) = txn.get(Table::Users, &key)? else {
                    return Ok::<_, UpdateError>(None);
                };
                let mut user = decode_user(&id, &bytes)?;
                change.apply(&mut user, at)?;
                txn.put(Table::Users, key, carry_unknown::<UserRecord>(&bytes, encode_user(&user)));
                txn.changes.profiles.push(id);
                Ok(Some(user))
            })
            .await?
    }
}

#[async_trait]
impl BlockStore for Embedded {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
        let user = user.clone();
        self.view(move |view| {
            let bytes = view.get(Table::Members, &keys::blocks(user.as_str()))?;
            Ok(bytes.map(|bytes| decode_blocks(&user, &bytes)).transpose()?.unwrap_or_default())
        })
        .await
    }

    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        let (user, other) = (user.clone(), other.clone());
        self.committer
            .commit(move |txn| {
                let key = keys::blocks(user.as_str());
                let stored = txn.get(Table::Members, &key)?;
                let mut blocks = match &stored {
                    Some(bytes) => decode_blocks(&user, bytes)?,
                    None => Blocks::default(),
                };
                if blocks.set(&other, since)? {
                    let row = encode_blocks(&blocks);
                    let row = match stored {
                        Some(stored) => carry_unknown::<BlocksRecord>(&stored, row),
                        None => row,
                    };
                    txn.put(Table::Members, key, row);
                }
                Ok::<_, BlockError>(blocks)
            })
            .await?
    }
}
