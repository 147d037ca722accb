//! Who may add whom to a room at once: with [`Additions::Invite`] people who are strangers to each other take the
//! consent of who is added.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::MAX_INVITATION_AGE;
use parlance_core::{Action, Body, Event, RoomId, RoomKind, SeqRange, UserId};
use parlance_proto::v1;
use parlance_store::contacts::{CONTACT_EVENTS, has_written};
use parlance_store::rooms;

use super::invitations::Of;
use super::invited::Counting;
use super::parse;
use super::rooms::Asked;
use crate::api::Additions;
use crate::gate::{Admitted, Permits};
use crate::limits::{CONSENT_FIRST_EVENTS, CONSENT_GROUPS};
use crate::{Api, Error};

/// Users to be added to a room.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Those who are added.
    pub(super) added: Vec<UserId>,
    /// Those who are invited instead.
    pub(super) invited: Vec<UserId>,
}

/// Whether rooms are groups, as far as they were read for a request.
type Groups = Mutex<BTreeMap<RoomId, bool>>;

impl Api {
    /// Whether additions by `caller` may become invitations.
    pub(super) fn takes_consent(&self, caller: &Admitted) -> bool {
        self.parts.additions == Additions::Invite && !caller.is_service
    }

    /// Adds `users` to a room, or invites them if they are strangers to the caller. The room refuses first who may not
    /// add anybody, since it takes many reads to find out who knows whom.
    pub(super) async fn add_by_consent(
        &self,
        caller: &Admitted,
        asked: Asked<'_>,
        users: Vec<UserId>,
    ) -> Result<v1::AddMembersResponse, Error> {
        let room = parse::room_id(asked.room)?;
        let turn = self.turns.take(&caller.user, &room).await;
        let (Named { added, invited }, permits, counting) =
            if self.is_repeat(caller, &asked, Action::Add { users: users.clone() }).await? {
                // The room knows what it was.
                (Named { added: Vec::new(), invited: users }, Permits::none(), Counting::default())
            } else {
                self.existing_users(caller, &users).await?;
                let rows = self.store().members_by_id(&room, &users).await?;
                let is_member = |user: &UserId| rows.iter().any(|row| row.user == *user && row.is_active());
                let (members, others): (Vec<UserId>, Vec<UserId>) = users.into_iter().partition(is_member);
                let (mut named, permits, counting) = self.by_consent(caller, &others, &room).await?;
                named.added.extend(members);
                (named, permits, counting)
            };
        let action = if invited.is_empty() {
            Action::Add { users: added }
        } else {
            Action::Invite { users: invited.clone(), added, lasts: MAX_INVITATION_AGE }
        };
        let of = Of { users: invited.clone(), permits, counting };
        let outcome = self.change_invitations(Some(turn), caller, asked, action, of).await?;
        let invited_user_ids = if outcome.seq == 0 {
            // They were invited a moment ago.
            invited.iter().map(ToString::to_string).collect()
        } else {
            self.invited_by_events(&room, outcome.seq, outcome.last_seq).await?
        };
        Ok(v1::AddMembersResponse { outcome: Some(outcome), invited_user_ids })
    }

    /// Which of `users` the caller adds to `room`, and which they only invite, with the permits for that.
    ///
    /// # Errors
    /// The caller invites too fast, or a stranger has too many invitations.
    pub(super) async fn by_consent(
        &self,
        caller: &Admitted,
        users: &[UserId],
        room: &RoomId,
    ) -> Result<(Named, Permits<UserId>, Counting), Error> {
        let users: BTreeSet<UserId> = users.iter().filter(|user| **user != caller.user).cloned().collect();
        // As if all were strangers: a caller without permits does not have the store searched.
        let mut permits = self.take_invitations(caller, users.len())?;
        let own = self.shared_rooms(&caller.user, None).await?;
        let groups = Groups::default();
        let known: Vec<bool> = stream::iter(users.clone())
            .map(|user| {
                let (own, groups) = (&own, &groups);
                async move {
                    let is_known = self.has_answered(&user, &caller.user).await?
                        || self.share_a_group(&user, own, groups).await?;
                    Ok::<_, Error>(is_known)
                }
            })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await?;
        let mut named = Named::default();
        for (user, is_known) in users.into_iter().zip(known) {
            let of = if is_known { &mut named.added } else { &mut named.invited };
            of.push(user);
        }
        permits.shrink(named.invited.len());
        let counting = self.check_invitations_of(caller, &named.invited, room).await?;
        Ok((named, permits, counting))
    }

    /// Rooms that `user` is a member of, but direct ones: the first of them, and of `others` if given.
    async fn shared_rooms(
        &self,
        user: &UserId,
        others: Option<&BTreeSet<RoomId>>,
    ) -> Result<BTreeSet<RoomId>, Error> {
        let mut found = BTreeSet::new();
        let behind_direct = RoomId::last_direct();
        // Direct rooms come first by id: a user with very many would have no other room read.
        for after in [None, Some(behind_direct.clone())] {
            let rows = rooms::active_after(self.store(), user, after, self.sizes().rooms_page);
            let mut rows = pin!(rows.take(self.sizes().consent_rooms));
            let (mut count, mut has_passed) = (0, false);
            while let Some(row) = rows.try_next().await? {
                count += 1;
                has_passed = row.room > behind_direct;
                if !row.room.is_direct() && others.is_none_or(|others| others.contains(&row.room)) {
                    found.insert(row.room);
                }
            }
            if has_passed || count < self.sizes().consent_rooms {
                break;
            }
        }
        Ok(found)
    }

    /// Whether `user` is in a group among `rooms`. Anyone joins a channel, so sharing one says nothing.
    async fn share_a_group(
        &self,
        user: &UserId,
        rooms: &BTreeSet<RoomId>,
        groups: &Groups,
    ) -> Result<bool, Error> {
        if rooms.is_empty() {
            return Ok(false);
        }
        let shared = self.shared_rooms(user, Some(rooms)).await?;
        let mut is_group = stream::iter(shared.into_iter().take(CONSENT_GROUPS))
            .map(|id| async move { self.is_group(id, groups).await })
            .buffer_unordered(self.sizes().inbox_concurrency);
        while let Some(is_group) = is_group.try_next().await? {
            if is_group {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a room is a group that was not deleted. Each is read once for a request.
    async fn is_group(&self, id: RoomId, groups: &Groups) -> Result<bool, Error> {
        let known = groups.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        if let Some(is_group) = known {
            return Ok(is_group);
        }
        let room = self.store().room(&id).await?;
        let is_group = room.is_some_and(|room| room.info.kind == RoomKind::Group && !room.info.deleted);
        groups.lock().unwrap_or_else(PoisonError::into_inner).insert(id, is_group);
        Ok(is_group)
    }

    /// Whether `user` has written in the direct room with `other`: in its last events, or the message it was opened with.
    async fn has_answered(&self, user: &UserId, other: &UserId) -> Result<bool, Error> {
        let id = RoomId::direct(user, other);
        let Some(room) = self.store().room(&id).await?.filter(|room| !room.info.deleted) else {
            return Ok(false);
        };
        if has_written(self.store(), &room, user).await? {
            return Ok(true);
        }
        let range = SeqRange { from: room.info.floor.max(1), to: room.head().seq() };
        let was_read = range.to < range.from + CONTACT_EVENTS as u64 - 1;
        if room.info.created_by != *user || was_read {
            return Ok(false);
        }
        // Opening a room says nothing.
        let says = |event: &Event| event.actor == *user && matches!(event.body, Body::Message(_));
        let first = self.store().read(&id, range, CONSENT_FIRST_EVENTS, false).await?;
        Ok(first.iter().any(|entry| says(&entry.event)))
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
