//! Who may add whom to a room at once: with [`Additions::Invite`] people who are strangers to each other take the
//! consent of who is added.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::{Body, Event, RoomId, RoomKind, SeqRange, UserId};
use parlance_store::rooms;

use crate::api::Additions;
use crate::gate::Admitted;
use crate::limits::{CONSENT_EVENTS, CONSENT_GROUPS, CONSENT_ROOMS};
use crate::{Api, Error};

/// Users to be added to a room.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Those who are added.
    pub(super) added: Vec<UserId>,
    /// Those who are invited instead.
    pub(super) invited: Vec<UserId>,
}

impl Api {
    /// Whether additions by `caller` may become invitations.
    pub(super) fn takes_consent(&self, caller: &Admitted) -> bool {
        self.parts.additions == Additions::Invite && !caller.is_service
    }

    /// Which of `users` the caller adds to a room, and which they only invite.
    pub(super) async fn by_consent(&self, caller: &Admitted, users: &[UserId]) -> Result<Named, Error> {
        if !self.takes_consent(caller) {
            return Ok(Named { added: users.to_vec(), invited: Vec::new() });
        }
        let own = self.rooms_in_common_with(&caller.user, None).await?;
        let known: Vec<bool> = stream::iter(users.to_vec())
            .map(|user| {
                let own = &own;
                async move {
                    let is_known = user == caller.user
                        || self.has_answered(&user, &caller.user).await?
                        || self.share_a_group(&user, own).await?;
                    Ok::<_, Error>(is_known)
                }
            })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await?;
        let mut named = Named::default();
        for (user, is_known) in users.iter().zip(known) {
            let of = if is_known { &mut named.added } else { &mut named.invited };
            if !of.contains(user) {
                of.push(user.clone());
            }
        }
        Ok(named)
    }

    /// Rooms that `user` is a member of, but direct ones: the first of them, and of `others` if given.
    async fn rooms_in_common_with(
        &self,
        user: &UserId,
        others: Option<&BTreeSet<RoomId>>,
    ) -> Result<BTreeSet<RoomId>, Error> {
        let rows = rooms::active(self.store(), user, self.sizes().rooms_page).take(CONSENT_ROOMS);
        let mut rows = pin!(rows);
        let mut found = BTreeSet::new();
        while let Some(row) = rows.try_next().await? {
            if !row.room.is_direct() && others.is_none_or(|others| others.contains(&row.room)) {
                found.insert(row.room);
            }
        }
        Ok(found)
    }

    /// Whether `user` is in a group among `rooms`. Anyone joins a channel, so sharing one says nothing.
    async fn share_a_group(&self, user: &UserId, rooms: &BTreeSet<RoomId>) -> Result<bool, Error> {
        if rooms.is_empty() {
            return Ok(false);
        }
        for id in self.rooms_in_common_with(user, Some(rooms)).await?.iter().take(CONSENT_GROUPS) {
            let room = self.store().room(id).await?;
            if room.is_some_and(|room| room.info.kind == RoomKind::Group && !room.info.deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `user` has written in the direct room with `other`, as far back as its last events.
    async fn has_answered(&self, user: &UserId, other: &UserId) -> Result<bool, Error> {
        let id = RoomId::direct(user, other);
        let Some(room) = self.store().room(&id).await?.filter(|room| !room.info.deleted) else {
            return Ok(false);
        };
        if room.info.created_by == *user {
            return Ok(true);
        }
        let range = SeqRange { from: room.info.floor.max(1), to: room.head().seq() };
        let last = self.store().read(&id, range, CONSENT_EVENTS, true).await?;
        let says = |event: &Event| event.actor == *user && matches!(event.body, Body::Message(_));
        Ok(last.iter().any(|entry| says(&entry.event)))
    }

    /// Whom the events from `first` to `last` of `room` invited.
    pub(super) async fn invited_by_events(
        &self,
        room: &RoomId,
        first: u64,
        last: u64,
    ) -> Result<Vec<String>, Error> {
        if first == 0 {
            return Ok(Vec::new());
        }
        let range = SeqRange { from: first, to: last };
        let size = (last + 1).saturating_sub(first) as usize;
        let entries = self.store().read(room, range, size, false).await?;
        Ok(entries.iter().filter_map(|entry| invited(&entry.event)).map(ToString::to_string).collect())
    }
}

/// Whom an event invites.
pub(super) fn invited(event: &Event) -> Option<&UserId> {
    match &event.body {
        Body::MemberInvited { user, .. } => Some(user),
        _ => None,
    }
}
