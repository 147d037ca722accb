//! What users are invited to or ask to join: their lists, which the rooms correct, and signals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use parlance_cluster::Cluster;
use parlance_core::{
    Blocks, Caller, Clock, Invitation, Invitations, JoinRequest, Listed, Member, RoomId, Timestamp, UserId,
};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_store::{Invited, Store, StoreError, StoredRoom};
use v1::signal::Signal;

use super::left_out;
use crate::limits::{INVITED_FOR_ONE, INVITED_PAGES};
use crate::turns::Turn;
use crate::{Api, Error};

/// What a room says about an entry of a user's list.
pub(super) struct Entry {
    /// Of an invitation.
    pub(super) invitation: Found,
    /// Of a request to join.
    pub(super) request: Option<AskedFor>,
}

impl Entry {
    const GONE: Self = Self { invitation: Found::Gone, request: None };

    fn is_gone(&self) -> bool {
        matches!(self, Self { invitation: Found::Gone, request: None })
    }
}

/// A user's request to join that the room holds.
pub(super) struct AskedFor {
    pub(super) request: v1::JoinRequest,
    /// Whether it has not expired, nor the time after a rejection.
    pub(super) stands: bool,
}

/// What a room says about an invitation.
pub(super) enum Found {
    /// It waits for an answer.
    Open(Box<v1::Invitation>),
    /// It waits, and is neither shown nor counted: the room has no members, or the user blocks who has invited them.
    Hidden(Box<v1::Invitation>),
    /// It is over.
    Gone,
}

/// All that a user is invited to, or asks to join.
#[derive(Default)]
pub(super) struct AllInvited {
    /// Rooms of the list, also those where the invitation or the request is over.
    pub(super) rooms: Vec<RoomId>,
    pub(super) invitations: Vec<v1::Invitation>,
    /// Also those that have expired.
    pub(super) requests: Vec<v1::JoinRequest>,
    /// Rooms that could not be read.
    pub(super) unreadable: Vec<String>,
}

/// What waits for some users was counted: until this is dropped, nobody else on this node counts it, so that of those who
/// count at once no more get through than may.
#[must_use]
#[derive(Default)]
pub(super) struct Counting {
    _turns: Vec<Turn<UserId>>,
}

impl Api {
    /// Begins to count what waits for `users`, to be kept until it was added to.
    pub(super) async fn count_invited(&self, users: &[UserId]) -> Counting {
        let mut turns = Vec::with_capacity(users.len());
        // In the order of their ids: two that name the same users never wait for one another.
        for user in users.iter().collect::<BTreeSet<_>>() {
            turns.push(self.counting.take_for(user.clone()).await);
        }
        Counting { _turns: turns }
    }

    /// Charges `caller` with looking up `rooms` of a list beyond those that a call is for.
    pub(super) fn charge_look_up(&self, caller: &Caller, rooms: usize) {
        self.gate.charge(caller, rooms / INVITED_FOR_ONE);
    }

    /// Fails if one of `users` has too many invitations already. One to `room` does not count, since it is replaced. Two
    /// nodes that check at the same time may exceed the limit by a few.
    pub(super) async fn check_invitations_of(
        &self,
        caller: &Caller,
        users: &[UserId],
        room: &RoomId,
    ) -> Result<Counting, Error> {
        let counting = self.count_invited(users).await;
        let checked: Result<(), Error> = stream::iter(users.to_vec())
            .map(|user| async move {
                let most = self.sizes().invitations;
                if !self.has_invitations(caller, &user, most).await? || self.is_invited(&user, room).await? {
                    return Ok(());
                }
                Err(Error::TooManyInvitations { user, most })
            })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await;
        checked.map(|()| counting)
    }

    /// Whether `user` has as many invitations as `most`.
    async fn has_invitations(&self, caller: &Caller, user: &UserId, most: usize) -> Result<bool, StoreError> {
        let (mut open, mut after) = (0, None);
        for _ in 0..INVITED_PAGES {
            let listed = self.store().invited_to(user, after.as_ref(), most).await?;
            if open + listed.len() < most {
                return Ok(false);
            }
            after = listed.last().map(|last| last.room.clone());
            self.charge_look_up(caller, listed.len());
            for (_, found) in self.look_up_all(user, listed).await? {
                match found.map(|found| found.invitation) {
                    Ok(Found::Open(_)) => open += 1,
                    Ok(Found::Hidden(_) | Found::Gone) | Err(StoreError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if open >= most {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Whether `user` is invited to `room`.
    async fn is_invited(&self, user: &UserId, room: &RoomId) -> Result<bool, StoreError> {
        let (all, now) = (self.store().issued(room).await?, self.clock().now());
        Ok(all.get(user).is_some_and(|invitation| invitation.is_open_at(now)))
    }

    /// What the entries of a page of the list of `user` stand for, by room in the order of the page.
    pub(super) async fn look_up_all(
        &self,
        user: &UserId,
        listed: Vec<Invited>,
    ) -> Result<Vec<(RoomId, Result<Entry, StoreError>)>, StoreError> {
        let blocks = self.cluster().blocks_of(user).await?;
        let found = stream::iter(listed)
            .map(|entry| {
                let blocks = &blocks;
                async move {
                    let found = self.look_up(user, &entry, blocks).await;
                    (entry.room, found)
                }
            })
            .buffered(self.sizes().inbox_concurrency);
        Ok(found.collect().await)
    }

    /// What an entry in the list of `user`, who blocks `blocks`, stands for. If for nothing, it is removed.
    pub(super) async fn look_up(
        &self,
        user: &UserId,
        entry: &Invited,
        blocks: &Blocks,
    ) -> Result<Entry, StoreError> {
        let read = Read::of(self.store(), &entry.room, std::slice::from_ref(user)).await?;
        let listed = Some(&entry.listed);
        let found = read.map_or(Entry::GONE, |read| read.entry(self.clock().now(), user, listed, blocks));
        if found.is_gone() {
            forget(self.store(), user, entry).await;
        }
        Ok(found)
    }

    /// All that `user` is invited to, also what they are not shown.
    pub(super) async fn all_invited(&self, user: &UserId) -> Result<AllInvited, Error> {
        let (mut all, mut after) = (AllInvited::default(), None);
        let blocks = self.cluster().blocks_of(user).await?;
        loop {
            let size = self.sizes().rooms_page;
            let listed = self.store().invited_to(user, after.as_ref(), size).await?;
            for entry in &listed {
                match self.look_up(user, entry, &blocks).await {
                    Ok(found) => {
                        all.requests.extend(found.request.map(|asked| asked.request));
                        if let Found::Open(invitation) | Found::Hidden(invitation) = found.invitation {
                            all.invitations.push(*invitation);
                        }
                    }
                    Err(error) => all.unreadable.push(left_out(&entry.room, error.into())?),
                }
            }
            all.rooms.extend(listed.iter().map(|entry| entry.room.clone()));
            match listed.last() {
                Some(last) if listed.len() == size => after = Some(last.room.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// What signals invitations, to be moved into the task that changes them.
    pub(super) fn invitation_signals(&self) -> InvitationSignals {
        InvitationSignals {
            store: self.parts.store.clone(),
            cluster: self.cluster.clone(),
            clock: self.parts.clock.clone(),
        }
    }
}

/// What is signalled.
#[derive(Clone, Copy)]
pub(super) enum About {
    Invitations,
    Requests,
}

/// Signals to users what has become of their invitations and requests.
pub(super) struct InvitationSignals {
    store: Arc<dyn Store>,
    cluster: Arc<Cluster>,
    clock: Arc<dyn Clock>,
}

impl InvitationSignals {
    /// Signals to `users` what their invitations to `room`, or their requests, are now. Best effort: their lists say the
    /// same.
    pub(super) async fn send(&self, room: &RoomId, users: &[UserId], about: About) {
        if let Err(error) = self.try_send(room, users, about).await {
            tracing::debug!(%room, %error, "cannot signal invitations");
        }
    }

    async fn try_send(&self, room: &RoomId, users: &[UserId], about: About) -> Result<(), StoreError> {
        // Before the room: what is found to be over is not one that was made since.
        let lists = self.store.listed_with(room, users).await?;
        let read = Read::of(self.store.as_ref(), room, users).await?;
        let now = self.clock.now();
        for user in users {
            let blocks = self.cluster.blocks_of(user).await?;
            let listed = lists.get(user);
            let found = read.as_ref().map_or(Entry::GONE, |read| read.entry(now, user, listed, &blocks));
            if let Some(listed) = listed.filter(|_| found.is_gone()) {
                // A note goes with the request that was approved.
                let old = Invited { room: room.clone(), listed: listed.clone() };
                forget(self.store.as_ref(), user, &old).await;
            }
            let room_id = room.to_string();
            let signal = match about {
                About::Invitations => {
                    let invitation = match found.invitation {
                        Found::Open(invitation) => Some(*invitation),
                        Found::Hidden(_) | Found::Gone => None,
                    };
                    Signal::InvitationChanged(v1::InvitationChanged { room_id, invitation })
                }
                About::Requests => {
                    let request = found.request.filter(|asked| asked.stands).map(|asked| asked.request);
                    Signal::JoinRequestChanged(v1::JoinRequestChanged { room_id, request })
                }
            };
            self.cluster.signal_user(user, &SharedFrame::signal(signal)).await;
        }
        Ok(())
    }
}

/// A room that was not deleted, the invitations to it, and the rows of some users.
struct Read {
    room: StoredRoom,
    invitations: Invitations,
    members: BTreeMap<UserId, Member>,
}

impl Read {
    async fn of(store: &dyn Store, id: &RoomId, users: &[UserId]) -> Result<Option<Self>, StoreError> {
        let Some(room) = store.room(id).await?.filter(|room| !room.info.deleted) else { return Ok(None) };
        let invitations = store.invitations(id).await?;
        let rows = store.members_by_id(id, users).await?;
        let members = rows.into_iter().map(|row| (row.user.clone(), row)).collect();
        Ok(Some(Self { room, invitations, members }))
    }

    /// What the room says to `user`, whose list has it as `listed`.
    fn entry(&self, now: Timestamp, user: &UserId, listed: Option<&Listed>, blocks: &Blocks) -> Entry {
        Entry { invitation: self.found(now, user, blocks), request: self.asked(now, user, listed) }
    }

    /// The request of `user`. One that has expired is kept until it is withdrawn or the room drops it: its note is to be
    /// found when the user is deleted.
    fn asked(&self, now: Timestamp, user: &UserId, listed: Option<&Listed>) -> Option<AskedFor> {
        let request = self.invitations.request_of(user)?;
        let stands = request.stands_for(self.members.get(user), now);
        if !stands && request.ended.is_some() {
            return None;
        }
        let request = v1::JoinRequest {
            kind: convert::room_kind(self.room.info.kind).into(),
            title: self.room.info.settings.title.as_str().to_owned(),
            ..request_to_proto(&self.room.info.id, user, request, listed)
        };
        Some(AskedFor { request, stands })
    }

    fn found(&self, now: Timestamp, user: &UserId, blocks: &Blocks) -> Found {
        let row = self.members.get(user);
        let invitation = self.invitations.get(user).filter(|invitation| invitation.is_open_for(row, now));
        let Some(invitation) = invitation else { return Found::Gone };
        let (room, members) = (&self.room, self.room.head().member_count());
        let shown = Box::new(v1::Invitation {
            kind: convert::room_kind(room.info.kind).into(),
            title: room.info.settings.title.as_str().to_owned(),
            member_count: members,
            ..to_proto(&room.info.id, user, invitation)
        });
        if members == 0 || blocks.contains(&invitation.by) {
            Found::Hidden(shown)
        } else {
            Found::Open(shown)
        }
    }
}

/// Takes what is over off the list of `user`. Best effort: the next reader tries again.
async fn forget(store: &dyn Store, user: &UserId, old: &Invited) {
    if let Err(error) = store.forget_invited(user, old).await {
        tracing::debug!(room = %old.room, %error, "cannot remove an invitation that is over from a list");
    }
}

pub(super) fn to_proto(room: &RoomId, user: &UserId, invitation: &Invitation) -> v1::Invitation {
    v1::Invitation {
        room_id: room.to_string(),
        user_id: user.to_string(),
        invited_by: invitation.by.to_string(),
        at: Some(convert::timestamp(invitation.at)),
        until: Some(convert::timestamp(invitation.until)),
        ..Default::default()
    }
}

/// The request of `user`, with the note of their list, which has the room as `listed`.
pub(super) fn request_to_proto(
    room: &RoomId,
    user: &UserId,
    request: &JoinRequest,
    listed: Option<&Listed>,
) -> v1::JoinRequest {
    let note = listed.filter(|listed| listed.seq == request.seq && request.ended.is_none());
    v1::JoinRequest {
        room_id: room.to_string(),
        user_id: user.to_string(),
        at: Some(convert::timestamp(request.at)),
        until: Some(convert::timestamp(request.until)),
        rejected: request.is_rejected(),
        note: note.map(|listed| listed.note.as_str().to_owned()).unwrap_or_default(),
        ..Default::default()
    }
}
