//! Whose profile and presence a caller sees.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::MAX_PAGE_SIZE;
use parlance_core::{Caller, UserId};
use parlance_store::contacts::{self, RoomsOf, Sharing};
use tokio::sync::OnceCell;

use crate::rules::ShownTo;
use crate::{Api, Error};

/// A caller's own side of the question, read once for all whom they ask about.
struct Viewer<'a> {
    rooms: RoomsOf<'a>,
    /// Who has invited them, and waits for an answer. Only read for strangers.
    inviters: OnceCell<BTreeSet<UserId>>,
}

impl Api {
    /// Which of `users`, in their order, show the caller their profile. The answer is the same for users who do not
    /// exist as for strangers, after the same reads.
    pub(super) async fn shown_profiles(&self, caller: &Caller, users: &[UserId]) -> Result<Vec<bool>, Error> {
        if self.parts.profiles.are_open() {
            return Ok(vec![true; users.len()]);
        }
        self.shown(caller, users, Sharing::History).await
    }

    /// Which of `users`, in their order, show the caller whether they are online.
    pub(super) async fn shown_presence(&self, caller: &Caller, users: &[UserId]) -> Result<Vec<bool>, Error> {
        if self.parts.profiles.presence == ShownTo::Everyone {
            return Ok(vec![true; users.len()]);
        }
        self.shown(caller, users, Sharing::Membership).await
    }

    async fn shown(&self, caller: &Caller, users: &[UserId], sharing: Sharing) -> Result<Vec<bool>, Error> {
        if caller.is_service || users.iter().all(|user| *user == caller.user) {
            return Ok(vec![true; users.len()]);
        }
        let _turn = self.costly_turn(caller).await?;
        let rooms = RoomsOf::read(self.store(), &caller.user, self.sizes().reach()).await?;
        let viewer = Viewer { rooms, inviters: OnceCell::new() };
        let distinct: BTreeSet<UserId> = users.iter().cloned().collect();
        let shown: Result<BTreeMap<UserId, bool>, Error> = stream::iter(distinct)
            .map(|user| {
                let viewer = &viewer;
                async move {
                    let is_shown = self.is_shown(caller, viewer, &user, sharing).await?;
                    Ok((user, is_shown))
                }
            })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await;
        // As many as for the largest pages that list the rooms, one of which was charged already.
        self.gate.charge(caller, viewer.rooms.rows_read() / MAX_PAGE_SIZE);
        let shown = shown?;
        Ok(users.iter().map(|user| shown.get(user).copied().unwrap_or(false)).collect())
    }

    async fn is_shown(
        &self,
        caller: &Caller,
        viewer: &Viewer<'_>,
        user: &UserId,
        sharing: Sharing,
    ) -> Result<bool, Error> {
        if *user == caller.user || viewer.rooms.has_shared(user, sharing).await? {
            return Ok(true);
        }
        if let Some(room) = viewer.rooms.direct_with(user)
            && contacts::takes_part(self.store(), user, &room).await?
        {
            return Ok(true);
        }
        if sharing != Sharing::History {
            return Ok(false);
        }
        let inviters = viewer.inviters.get_or_try_init(|| self.inviters_of(caller)).await?;
        Ok(inviters.contains(user))
    }

    async fn inviters_of(&self, caller: &Caller) -> Result<BTreeSet<UserId>, Error> {
        let all = self.all_invited(&caller.user).await?;
        self.charge_look_up(caller, all.rooms.len());
        let invitations = all.invitations;
        Ok(invitations.iter().filter_map(|invitation| UserId::parse(&invitation.invited_by).ok()).collect())
    }
}
