//! Invitations from person to person.

use futures::{StreamExt, TryStreamExt, stream};
use parlance_cluster::Cluster;
use parlance_core::{Action, Clock, Invitation, Invitations, Permission, RoomId, Timestamp, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;
use parlance_store::{Invited, Store, StoreError, StoredRoom};
use v1::signal::Signal;

use super::rooms::Asked;
use super::{Access, left_out, parse};
use crate::gate::Admitted;
use crate::{Api, Error};

/// What a room says about an entry of a user's list.
enum Found {
    Open(Box<v1::Invitation>),
    /// It cannot be accepted while the room has no members.
    Waiting,
    Gone,
}

impl Api {
    pub(crate) async fn invite_member(
        &self,
        caller: &Admitted,
        request: v1::InviteMemberRequest,
    ) -> Result<v1::InviteMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let lasts = parse::invitation_age("duration", request.duration.as_ref())?;
        let room = parse::room_id(&request.room_id)?;
        let users = vec![user];
        let turn = self.turns.take(&caller.user, &room).await;
        self.existing_users(&users).await?;
        self.charge_invitations(caller, &room, &users).await?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let action = Action::Invite { users: users.clone(), added: Vec::new(), lasts };
        let outcome = self.change_in_turn(Some(turn), caller, asked, action).await?;
        if outcome.seq > 0 {
            self.tell_invited(&room, users).await;
        }
        Ok(v1::InviteMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn accept_invitation(
        &self,
        caller: &Admitted,
        request: v1::AcceptInvitationRequest,
    ) -> Result<v1::AcceptInvitationResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let turn = self.turn_as_user(caller, &room).await?;
        let turn = self.charge_joining(turn, caller, &room).await?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let outcome = self.change_in_turn(turn, caller, asked, Action::Accept).await?;
        if outcome.seq > 0 {
            self.tell_invited(&room, vec![caller.user.clone()]).await;
        }
        Ok(v1::AcceptInvitationResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn decline_invitation(
        &self,
        caller: &Admitted,
        request: v1::DeclineInvitationRequest,
    ) -> Result<v1::DeclineInvitationResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let outcome = self.change(caller, asked, Action::Decline).await?;
        if outcome.seq > 0 {
            self.tell_invited(&room, vec![caller.user.clone()]).await;
        }
        Ok(v1::DeclineInvitationResponse {})
    }

    pub(crate) async fn revoke_invitation(
        &self,
        caller: &Admitted,
        request: v1::RevokeInvitationRequest,
    ) -> Result<v1::RevokeInvitationResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let user = parse::user_id("user_id", &request.user_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Revoke { user: user.clone() }).await?;
        if outcome.seq > 0 {
            self.tell_invited(&room, vec![user]).await;
        }
        Ok(v1::RevokeInvitationResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn list_invitations(
        &self,
        caller: &Admitted,
        request: v1::ListInvitationsRequest,
    ) -> Result<v1::ListInvitationsResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, RoomId::parse)?;
        let listed = self.store().invited_to(&caller.user, after.as_ref(), size).await?;
        let next_page_token = parse::next_page_token(&listed, size, |last| last.room.as_str());
        let (mut invitations, mut unreadable_room_ids) = (Vec::new(), Vec::new());
        let mut looked_up = stream::iter(listed)
            .map(|entry| async move {
                let found = self.look_up(&caller.user, &entry).await;
                (entry.room, found)
            })
            .buffered(self.sizes().inbox_concurrency);
        while let Some((room, found)) = looked_up.next().await {
            match found {
                Ok(Found::Open(invitation)) => invitations.push(*invitation),
                Ok(Found::Waiting | Found::Gone) => {}
                Err(error) => unreadable_room_ids.push(left_out(&room, error.into())?),
            }
        }
        Ok(v1::ListInvitationsResponse { invitations, next_page_token, unreadable_room_ids })
    }

    pub(crate) async fn list_room_invitations(
        &self,
        caller: &Admitted,
        request: v1::ListRoomInvitationsRequest,
    ) -> Result<v1::ListRoomInvitationsResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &id).await?;
        may_invite(&access)?;
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        let (all, now) = (self.store().invitations(&id).await?, self.clock().now());
        let rest = all.open_at(now).filter(|(user, _)| after.as_ref().is_none_or(|after| *user > after));
        let page: Vec<v1::Invitation> =
            rest.take(size).map(|(user, invitation)| to_proto(&id, user, invitation)).collect();
        let next_page_token = parse::next_page_token(&page, size, |last| &last.user_id);
        Ok(v1::ListRoomInvitationsResponse { invitations: page, next_page_token })
    }

    /// Charges the caller with inviting `users` to `room`. The app's own backend is not limited, except by how many
    /// invitations a user may have.
    ///
    /// # Errors
    /// The caller invites too fast, or a user has too many invitations.
    pub(super) async fn charge_invitations(
        &self,
        caller: &Admitted,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<(), Error> {
        self.charge_invitation_rate(caller, users.len())?;
        // The room refuses a caller who may not invite, and who must not learn here how many invitations others have.
        if self.access(caller, room).await.and_then(|access| may_invite(&access)).is_err() {
            return Ok(());
        }
        self.check_invitations_of(users, room).await
    }

    /// Charges the caller with inviting as many users.
    pub(super) fn charge_invitation_rate(&self, caller: &Admitted, users: usize) -> Result<(), Error> {
        let charged = if caller.is_app() { 0 } else { users };
        (0..charged).try_for_each(|_| self.invitation_rate.check(&caller.user)).map_err(Error::RateLimited)
    }

    /// Fails if one of `users` has too many invitations already. One to `room` does not count, since it is replaced. Two
    /// nodes that check at the same time may exceed the limit by a few.
    pub(super) async fn check_invitations_of(&self, users: &[UserId], room: &RoomId) -> Result<(), Error> {
        let most = self.sizes().invitations;
        stream::iter(users.to_vec())
            .map(|user| async move {
                let listed = self.store().invited_to(&user, None, most).await?;
                if listed.len() < most || listed.iter().any(|entry| entry.room == *room) {
                    return Ok(());
                }
                for entry in &listed {
                    if matches!(self.look_up(&user, entry).await?, Found::Gone) {
                        return Ok(());
                    }
                }
                Err(Error::TooManyInvitations { user, most })
            })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await
    }

    /// What an entry in the list of `user` stands for. If for nothing, it is removed.
    async fn look_up(&self, user: &UserId, entry: &Invited) -> Result<Found, StoreError> {
        let found = found(self.store(), self.clock().now(), user, &entry.room).await?;
        if matches!(found, Found::Gone) {
            self.store().forget_invited(user, entry).await?;
        }
        Ok(found)
    }

    /// The invitations of `user` that wait for an answer.
    pub(super) async fn invitations_of(&self, user: &UserId) -> Result<Vec<v1::Invitation>, Error> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let size = self.sizes().rooms_page;
            let listed = self.store().invited_to(user, after.as_ref(), size).await?;
            for entry in &listed {
                if let Found::Open(invitation) = self.look_up(user, entry).await? {
                    all.push(*invitation);
                }
            }
            match listed.last() {
                Some(last) if listed.len() == size => after = Some(last.room.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// Signals to `users` what has become of their invitations to `room`, even if the caller is dropped. Best effort:
    /// their lists say the same.
    pub(super) async fn tell_invited(&self, room: &RoomId, users: Vec<UserId>) {
        let (store, cluster, clock) =
            (self.parts.store.clone(), self.cluster.clone(), self.parts.clock.clone());
        let room = room.clone();
        run_to_end(self.tasks(), async move {
            if let Err(error) = tell(store.as_ref(), &cluster, clock.as_ref(), &room, &users).await {
                tracing::debug!(%room, %error, "cannot signal invitations");
            }
        })
        .await;
    }
}

async fn tell(
    store: &dyn Store,
    cluster: &Cluster,
    clock: &dyn Clock,
    room: &RoomId,
    users: &[UserId],
) -> Result<(), StoreError> {
    let read = read(store, room).await?;
    let now = clock.now();
    for user in users {
        let invitation = match found_in(read.as_ref(), now, user) {
            Found::Open(invitation) => Some(*invitation),
            Found::Waiting | Found::Gone => None,
        };
        let changed = v1::InvitationChanged { room_id: room.to_string(), invitation };
        cluster.signal_user(user, &SharedFrame::signal(Signal::InvitationChanged(changed))).await;
    }
    Ok(())
}

/// A room that was not deleted, and the invitations to it.
async fn read(store: &dyn Store, room: &RoomId) -> Result<Option<(StoredRoom, Invitations)>, StoreError> {
    match store.room(room).await? {
        Some(stored) if !stored.info.deleted => Ok(Some((stored, store.invitations(room).await?))),
        _ => Ok(None),
    }
}

async fn found(store: &dyn Store, now: Timestamp, user: &UserId, room: &RoomId) -> Result<Found, StoreError> {
    Ok(found_in(read(store, room).await?.as_ref(), now, user))
}

fn found_in(read: Option<&(StoredRoom, Invitations)>, now: Timestamp, user: &UserId) -> Found {
    let Some((room, invitations)) = read else { return Found::Gone };
    match invitations.get(user).filter(|invitation| invitation.is_open_at(now)) {
        None => Found::Gone,
        Some(_) if room.head().member_count() == 0 => Found::Waiting,
        Some(invitation) => Found::Open(Box::new(v1::Invitation {
            kind: convert::room_kind(room.info.kind).into(),
            title: room.info.settings.title.as_str().to_owned(),
            member_count: room.head().member_count(),
            ..to_proto(&room.info.id, user, invitation)
        })),
    }
}

fn to_proto(room: &RoomId, user: &UserId, invitation: &Invitation) -> v1::Invitation {
    v1::Invitation {
        room_id: room.to_string(),
        user_id: user.to_string(),
        invited_by: invitation.by.to_string(),
        at: Some(convert::timestamp(invitation.at)),
        until: Some(convert::timestamp(invitation.until)),
        ..Default::default()
    }
}

/// Refuses who may not invite, as the room does.
fn may_invite(access: &Access) -> Result<(), Error> {
    access.member_with(access.room.info.settings.permissions.role_for(Permission::Invite)).map(drop)
}
