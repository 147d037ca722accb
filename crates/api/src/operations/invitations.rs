//! Invitations from person to person.

use parlance_core::{Action, Command, Permission, RoomId, UserId};
use parlance_proto::{convert, v1};
use parlance_runtime::own_task::run_to_end;

use super::invited::{About, Counting, Found, to_proto};
use super::rooms::{Asked, hidden};
use super::{Access, left_out, parse};
use crate::gate::{Admitted, Permits};
use crate::turns::{Turn, in_line};
use crate::{Api, Error};

/// Whom a change of invitations is about, and what was taken for it.
pub(super) struct Of {
    pub(super) users: Vec<UserId>,
    pub(super) permits: Permits<UserId>,
    pub(super) counting: Counting,
}

impl Of {
    /// These users, for whom nothing was taken.
    pub(super) fn users(users: Vec<UserId>) -> Self {
        Self { users, permits: Permits::none(), counting: Counting::default() }
    }
}

impl Api {
    /// Refuses who may not invite, as the room does.
    pub(super) fn may_invite(&self, access: &Access) -> Result<(), Error> {
        let invites = self.permissions_of(&access.room).role_for(Permission::Invite);
        access.member_with(invites).map(drop)
    }

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
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let action = Action::Invite { users: users.clone(), added: Vec::new(), lasts };
        let mut counting = Counting::default();
        // Who may not invite does not learn who exists, nor how many invitations others have.
        let permits = if self.is_repeat(caller, &asked, action.clone()).await? {
            Permits::none()
        } else {
            let permits = self.take_invitations(caller, users.len())?;
            self.existing_users(caller, &users).await?;
            counting = self.check_invitations_of(caller, &users, &room).await?;
            permits
        };
        let of = Of { users, permits, counting };
        let outcome = self.change_invitations(Some(turn), caller, asked, action, of).await?;
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
        let of = Of::users(vec![caller.user.clone()]);
        let outcome = self.change_invitations(turn, caller, asked, Action::Accept, of).await?;
        Ok(v1::AcceptInvitationResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn decline_invitation(
        &self,
        caller: &Admitted,
        request: v1::DeclineInvitationRequest,
    ) -> Result<v1::DeclineInvitationResponse, Error> {
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: None };
        let of = Of::users(vec![caller.user.clone()]);
        self.change_invitations(None, caller, asked, Action::Decline, of).await?;
        Ok(v1::DeclineInvitationResponse {})
    }

    pub(crate) async fn revoke_invitation(
        &self,
        caller: &Admitted,
        request: v1::RevokeInvitationRequest,
    ) -> Result<v1::RevokeInvitationResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let (action, of) = (Action::Revoke { user: user.clone() }, Of::users(vec![user]));
        let outcome = self.change_invitations(None, caller, asked, action, of).await?;
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
        self.charge_look_up(caller, listed.len());
        let (mut invitations, mut unreadable_room_ids) = (Vec::new(), Vec::new());
        for (room, found) in self.look_up_all(&caller.user, listed).await? {
            match found.map(|found| found.invitation) {
                Ok(Found::Open(invitation)) => invitations.push(*invitation),
                Ok(Found::Hidden(_) | Found::Gone) => {}
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
        self.may_invite(&access)?;
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        let (all, now) = (self.store().issued(&id).await?, self.clock().now());
        let rest = all.open_at(now).filter(|(user, _)| after.as_ref().is_none_or(|after| *user > after));
        let page: Vec<v1::Invitation> =
            rest.take(size).map(|(user, invitation)| to_proto(&id, user, invitation)).collect();
        let next_page_token = parse::next_page_token(&page, size, |last| &last.user_id);
        Ok(v1::ListRoomInvitationsResponse { invitations: page, next_page_token })
    }

    /// Takes the permits for inviting `count` users. The app's own backend is not limited.
    ///
    /// # Errors
    /// The caller invites too fast.
    pub(super) fn take_invitations(&self, caller: &Admitted, count: usize) -> Result<Permits<UserId>, Error> {
        if caller.is_app() {
            return Ok(Permits::none());
        }
        self.invitation_rate.take(&caller.user, count).map_err(Error::RateLimited)
    }

    /// Whether `action` is a repeat, and costs nothing.
    ///
    /// # Errors
    /// Why the room would refuse it.
    pub(super) async fn is_repeat(
        &self,
        caller: &Admitted,
        asked: &Asked<'_>,
        action: Action,
    ) -> Result<bool, Error> {
        let room = parse::room_id(asked.room)?;
        let command = command(caller, asked, action)?;
        self.rooms().is_repeat(&room, command, None).await.map_err(|error| hidden(&room, error))
    }

    /// Carries out a change of the invitations of users, or of their requests to join, and signals it to them, even if
    /// the caller is dropped. Spends the permits if it was carried out now.
    pub(super) async fn change_invitations(
        &self,
        turn: Option<Turn>,
        caller: &Admitted,
        asked: Asked<'_>,
        action: Action,
        Of { users, permits, counting }: Of,
    ) -> Result<v1::Outcome, Error> {
        let room = parse::room_id(asked.room)?;
        let command = command(caller, &asked, action)?;
        // The command is queued in a task, and later ones of the caller must not overtake it.
        let turn = match turn {
            Some(turn) => turn,
            None => self.turns.take(&caller.user, &room).await,
        };
        let (rooms, signals, about) = (self.rooms.clone(), self.invitation_signals(), about(&command.action));
        let changing = async move {
            let done = in_line(Some(turn), rooms.submit(&room, command)).await;
            drop(counting);
            if may_be_new(&done, |outcome| outcome.is_repeat) {
                permits.spend();
                if done.as_ref().is_ok_and(|outcome| outcome.first > 0) || done.is_err() {
                    signals.send(&room, &users, about).await;
                }
            }
            done.map_err(|error| hidden(&room, error))
        };
        Ok(convert::outcome(&run_to_end(self.tasks(), changing).await?))
    }
}

fn about(action: &Action) -> About {
    match action {
        Action::Request { .. } | Action::Withdraw | Action::Approve { .. } | Action::Reject { .. } => {
            About::Requests
        }
        _ => About::Invitations,
    }
}

/// Whether something may have been stored just now: also after an error of the store.
pub(super) fn may_be_new<T>(
    done: &Result<T, parlance_rooms::Error>,
    is_repeat: impl FnOnce(&T) -> bool,
) -> bool {
    match done {
        Ok(done) => !is_repeat(done),
        Err(error) => matches!(error, parlance_rooms::Error::Store(_)),
    }
}

fn command(caller: &Admitted, asked: &Asked<'_>, action: Action) -> Result<Command, Error> {
    Ok(Command {
        actor: caller.user.clone(),
        authority: caller.authority(),
        request: parse::request_id("request_id", asked.request)?,
        after: asked.after,
        action,
    })
}
