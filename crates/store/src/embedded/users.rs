//! Users, the rows by which they are found by name, and whom they block.

use std::collections::BTreeSet;
use std::ops::Bound;

use async_trait::async_trait;
use parlance_core::{Blocks, FoldedName, Timestamp, UserId};
use parlance_proto::storage::v1::{BlocksRecord, UserRecord};

use super::tables::Table;
use super::transaction::Transaction;
use super::view::{View, readable, user_of};
use super::{Embedded, keys};
use crate::record::{carry_unknown, decode_blocks, decode_user, encode_blocks, encode_user, listed_user};
use crate::{
    BlockError, BlockStore, Created, FoundUsers, NamePlace, StoreError, UpdateError, User, UserChange,
    UserStore,
};

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
                move_place(txn, None, user.place());
                txn.changes.profiles.push(user.id.clone());
                Ok(Created::New(user))
            })
            .await?
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let id = id.clone();
        self.view(move |view| view.user(&id)).await
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let ids: BTreeSet<UserId> = ids.iter().cloned().collect();
        self.view(move |view| {
            let found = ids.iter().filter_map(|id| view.user(id).transpose());
            found.filter_map(listed_user).collect()
        })
        .await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let after = after.cloned();
        self.view(move |view| view.users(after.as_ref(), limit)).await
    }

    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        let (prefix, after) = (prefix.clone(), after.cloned());
        self.view(move |view| find(view, &prefix, after.as_ref(), limit)).await
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
                let before = decode_user(&id, &bytes)?;
                if !change.may_change(&before) {
                    return Ok(None);
                }
                let is_placed_again = change.sets_place();
                let mut user = before.clone();
                change.apply(&mut user, at)?;
                txn.put(Table::Users, key, carry_unknown::<UserRecord>(&bytes, encode_user(&user)));
                if is_placed_again {
                    move_place(txn, before.place(), user.place());
                }
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

/// Moves a user to where they are found from now on.
fn move_place(txn: &mut Transaction, before: Option<NamePlace>, after: Option<NamePlace>) {
    if let Some(before) = before.filter(|before| Some(before) != after.as_ref()) {
        txn.remove(Table::Members, keys::name(&before));
    }
    if let Some(after) = after {
        txn.put(Table::Members, keys::name(&after), Vec::new());
    }
}

fn find(
    view: &View,
    prefix: &FoldedName,
    after: Option<&NamePlace>,
    limit: usize,
) -> Result<FoundUsers, StoreError> {
    let first = keys::names(prefix.as_str());
    // No text contains this byte.
    let end = [&first[..], &[0xff]].concat();
    let from = after.map_or(Bound::Included(first), |after| Bound::Excluded(keys::name(after)));
    let places = readable(view.range(Table::Members, from, Bound::Excluded(end)), limit, |key, _| {
        let name = keys::folded(key).ok_or_else(|| StoreError::Damaged("a key of names".into()))?;
        Ok(NamePlace { name, user: user_of(key)? })
    })?;
    let next = places.last().filter(|_| places.len() == limit).cloned();
    let mut found = FoundUsers { next, ..FoundUsers::default() };
    for place in places {
        match view.user(&place.user) {
            Ok(user) => found.users.extend(user.filter(|user| user.place().as_ref() == Some(&place))),
            Err(error) => tracing::error!(%error, "a user is left out of a search"),
        }
    }
    Ok(found)
}
