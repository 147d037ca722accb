//! Whom users block, and what that keeps from those who are blocked.

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::MAX_BLOCKS;
use parlance_core::{Caller, Refusal, RoomId, Timestamp, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_store::BlockError;
use tokio::time::sleep;
use v1::signal::Signal;

use super::parse;
use crate::gate::Admitted;
use crate::limits::BLOCKS_AGAIN;
use crate::{Api, Error};

fn block(user: &UserId, since: Timestamp) -> v1::Block {
    v1::Block { user_id: user.as_str().to_owned(), since: Some(convert::timestamp(since)) }
}

impl Api {
    pub(crate) async fn block_user(
        &self,
        caller: &Admitted,
        request: v1::BlockUserRequest,
    ) -> Result<v1::BlockUserResponse, Error> {
        let other = parse::user_id("user_id", &request.user_id)?;
        if other == caller.user {
            return Err(parse::field("user_id", "nobody blocks themselves"));
        }
        self.ensure_user(caller).await?;
        if let Err(unknown) = self.existing_users(caller, std::slice::from_ref(&other)).await {
            // A repeat, after which the other one was deleted.
            let since = self.cluster().blocks_of(&caller.user).await?.since(&other).ok_or(unknown)?;
            return Ok(v1::BlockUserResponse { block: Some(block(&other, since)) });
        }
        let since = self.set_block(&caller.user, &other, Some(self.clock().now())).await?;
        Ok(v1::BlockUserResponse { block: since.map(|since| block(&other, since)) })
    }

    pub(crate) async fn unblock_user(
        &self,
        caller: &Admitted,
        request: v1::UnblockUserRequest,
    ) -> Result<v1::UnblockUserResponse, Error> {
        let other = parse::user_id("user_id", &request.user_id)?;
        self.set_block(&caller.user, &other, None).await?;
        Ok(v1::UnblockUserResponse {})
    }

    pub(crate) async fn list_blocked(
        &self,
        caller: &Admitted,
        request: v1::ListBlockedRequest,
    ) -> Result<v1::ListBlockedResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        let blocks = self.cluster().blocks_of(&caller.user).await?;
        let rest = blocks.iter().filter(|(user, _)| after.as_ref().is_none_or(|after| *user > after));
        let page: Vec<v1::Block> = rest.take(size).map(|(user, since)| block(user, since)).collect();
        let next_page_token = parse::next_page_token(&page, size, |last| &last.user_id);
        Ok(v1::ListBlockedResponse { blocks: page, next_page_token })
    }

    /// Stores a block or its end, and announces it even if the caller is dropped. Returns since when it is in force.
    pub(super) async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Error> {
        let (store, cluster) = (self.parts.store.clone(), self.cluster.clone());
        let before = cluster.blocks_of(user).await?;
        if before.contains(other) == since.is_some() && store.blocks(user).await? == *before {
            return Ok(before.since(other));
        }
        self.announce_again(user);
        let (user, other) = (user.clone(), other.clone());
        let changing = async move {
            let stored = store.set_block(&user, &other, since).await;
            // It may have been stored even if it failed.
            cluster.blocks_changed(&user).await;
            let blocks = stored.map_err(|error| match error {
                BlockError::TooMany(_) => Error::TooManyBlocks(MAX_BLOCKS),
                BlockError::Store(error) => Error::Store(error),
            })?;
            let since = blocks.since(&other);
            let changed = v1::BlockChanged { user_id: other.as_str().to_owned(), blocked: since.is_some() };
            cluster.signal_user(&user, &SharedFrame::signal(Signal::BlockChanged(changed))).await;
            // Nobody corrects later what they know of the other one's presence.
            cluster.show_presence(&user, &other).await;
            Ok(since)
        };
        run_to_end(self.tasks(), changing).await
    }

    /// Announces a change of blocks once more, to nodes that have started so lately that this one does not know them.
    fn announce_again(&self, user: &UserId) {
        if !self.registry().is_shared() {
            return;
        }
        let (cluster, end, user) = (self.cluster.clone(), self.end.clone(), user.clone());
        self.tasks().spawn(async move {
            if end.run_until_cancelled(sleep(BLOCKS_AGAIN)).await.is_some() {
                cluster.blocks_changed(&user).await;
            }
        });
    }

    /// Which of `users`, in their order, have blocked `caller`. Nobody blocks the app's own backend.
    pub(super) async fn blockers(&self, caller: &Caller, users: &[UserId]) -> Result<Vec<bool>, Error> {
        if caller.is_service {
            return Ok(vec![false; users.len()]);
        }
        stream::iter(users.to_vec())
            .map(|user| async move { Ok(self.cluster().blocks_of(&user).await?.contains(&caller.user)) })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await
    }

    /// Refuses to create `room` with `users` if one of them has blocked the caller. Of a room that is there already
    /// the room decides: the request may be a repeat.
    pub(super) async fn accept_creation(
        &self,
        caller: &Caller,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<(), Error> {
        let blockers = self.blockers(caller, users).await?;
        let Some((user, _)) = users.iter().zip(blockers).find(|(_, blocks)| *blocks) else { return Ok(()) };
        if self.store().room(room).await?.is_some() {
            return Ok(());
        }
        Err(Error::Refused { room: room.clone(), refusal: Refusal::NotAccepted(user.clone()) })
    }
}
