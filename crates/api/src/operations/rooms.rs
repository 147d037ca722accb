use futures::StreamExt;
use parlance_core::Caller;
use parlance_core::limits::MAX_MEMBERS_PER_REQUEST;
use parlance_core::{
    Action, Command, Member, Outcome, Permissions, RoomId, RoomKind, SettingsChange, UserId, Visibility,
};
use parlance_proto::{convert, v1};
use parlance_store::{StoreError, UserRoom};

use super::filtered::{fitting, page_bytes};
use super::only_the_app;
use super::parse;
use crate::gate::Admitted;
use crate::limits::MAX_PAGE_BYTES;
use crate::turns::{Turn, in_line};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn get_room(
        &self,
        caller: &Admitted,
        request: v1::GetRoomRequest,
    ) -> Result<v1::GetRoomResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &id).await?;
        if access.room.info.kind != RoomKind::Channel {
            access.active_member()?;
        }
        let membership = access.own.as_ref().map(convert::member);
        let room = match &access.member {
            Some(member) => self.seen_by(&access.room, member),
            None => self.room_to_proto(&access.room),
        };
        Ok(v1::GetRoomResponse { room: Some(room), membership })
    }

    pub(crate) async fn list_rooms(
        &self,
        caller: &Admitted,
        request: v1::ListRoomsRequest,
    ) -> Result<v1::ListRoomsResponse, Error> {
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, RoomId::parse)?;
        let page = self.store().rooms_of(&caller.user, after.as_ref(), size).await?;
        let mut next = page.next;
        let listed = page.rows.into_iter().filter(|row| request.include_left || row.member.is_active());
        let mut looked_up = futures::stream::iter(listed)
            .map(|row| async move {
                let id = row.room.clone();
                (id, self.listed(row, request.include_left, request.include_hidden).await)
            })
            .buffered(self.sizes().inbox_concurrency);
        let mut rooms: Vec<v1::Room> = Vec::new();
        let mut unreadable_room_ids: Vec<String> = page.damaged.iter().map(RoomId::to_string).collect();
        let (mut bytes, mut last) = (0, None);
        while let Some((id, room)) = looked_up.next().await {
            match room {
                Ok(room) => {
                    bytes += room.as_ref().map_or(0, page_bytes);
                    if bytes > MAX_PAGE_BYTES && !rooms.is_empty() {
                        next = last;
                        break;
                    }
                    rooms.extend(room);
                }
                Err(error) => unreadable_room_ids.push(super::left_out(&id, error.into())?),
            }
            last = Some(id);
        }
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(v1::ListRoomsResponse { rooms, next_page_token, unreadable_room_ids })
    }

    /// A room of a list as its user sees it, or `None` if it is no longer to be listed: the user may have
    /// been removed since the list was read.
    async fn listed(
        &self,
        row: UserRoom,
        include_left: bool,
        include_hidden: bool,
    ) -> Result<Option<v1::Room>, StoreError> {
        let Some(room) = self.store().room(&row.room).await? else { return Ok(None) };
        if room.info.deleted || (row.is_hidden(room.head()) && !include_hidden) {
            return Ok(None);
        }
        let mut member = row.member;
        if member.is_active() && row.cursors.read.seq < room.head().seq() {
            member = self.store().member(&row.room, &member.user).await?.unwrap_or(member);
        }
        let member = member.as_of(room.head().seq());
        let listed = member.filter(|member| include_left || member.is_active());
        Ok(listed.map(|member| self.seen_by(&room, &member)))
    }

    pub(crate) async fn list_members(
        &self,
        caller: &Admitted,
        request: v1::ListMembersRequest,
    ) -> Result<v1::ListMembersResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &id).await?;
        access.active_member()?;
        let part = (request.page_token.as_str(), request.page_size);
        let (page, mut next_page_token) = self.members_page(caller, &id, part, Member::is_active).await?;
        let mut members = self.with_profiles(caller, access.room.info.kind, &page).await?;
        let fitting = fitting(&members);
        if fitting < members.len() {
            members.truncate(fitting);
            next_page_token = members.last().map(|last| last.user_id.clone()).unwrap_or_default();
        }
        Ok(v1::ListMembersResponse { members, next_page_token })
    }

    pub(crate) async fn update_room(
        &self,
        caller: &Admitted,
        request: v1::UpdateRoomRequest,
    ) -> Result<v1::UpdateRoomResponse, Error> {
        let visibility = match request.history_visibility {
            Some(_) => Some(visibility("history_visibility", request.history_visibility())?),
            None => None,
        };
        let permissions = match &request.permissions {
            Some(permissions) => parse::permissions("permissions", permissions)?,
            None => Permissions::default(),
        };
        let change = SettingsChange {
            title: request.title.as_deref().map(|title| parse::title("title", title)).transpose()?,
            topic: request.topic.as_deref().map(|topic| parse::topic("topic", topic)).transpose()?,
            visibility,
            image: request.image_url.as_deref().map(|url| parse::image("image_url", url)).transpose()?,
            data: parse::data_change(request.data.as_ref(), request.unset_data)?,
            permissions,
            unset_permissions: parse::unset_permissions(&permissions, &request.unset_permissions)?,
            frozen: request.frozen,
            archived: request.archived,
            slow_mode: request
                .slow_mode_seconds
                .map(|seconds| parse::slow_mode("slow_mode_seconds", seconds))
                .transpose()?,
            listed: request.listed,
            joining: request.joining.map(|joining| parse::joining("joining", joining)).transpose()?,
        };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Update(change)).await?;
        Ok(v1::UpdateRoomResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn delete_room(
        &self,
        caller: &Admitted,
        request: v1::DeleteRoomRequest,
    ) -> Result<v1::DeleteRoomResponse, Error> {
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::DeleteRoom).await?;
        Ok(v1::DeleteRoomResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn get_direct_room(
        &self,
        caller: &Admitted,
        request: v1::GetDirectRoomRequest,
    ) -> Result<v1::GetDirectRoomResponse, Error> {
        let user = parse::user_or_me(&caller.user, &request.user_id)?;
        let peer = parse::user_id("peer_id", &request.peer_id)?;
        if user != caller.user {
            only_the_app(caller)?;
        }
        if user == peer {
            return Err(parse::field("peer_id", "a direct room is between two people"));
        }
        let access = self.access(caller, &RoomId::direct(&user, &peer)).await?;
        access.active_member()?;
        Ok(v1::GetDirectRoomResponse { room: Some(self.room_to_proto(&access.room)) })
    }

    pub(crate) async fn add_members(
        &self,
        caller: &Admitted,
        request: v1::AddMembersRequest,
    ) -> Result<v1::AddMembersResponse, Error> {
        if request.user_ids.is_empty() || request.user_ids.len() > MAX_MEMBERS_PER_REQUEST {
            return Err(parse::field("user_ids", format!("must be 1 to {MAX_MEMBERS_PER_REQUEST}")));
        }
        let users: Vec<UserId> =
            request.user_ids.iter().map(|id| parse::user_id("user_ids", id)).collect::<Result<_, _>>()?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        if self.takes_consent(caller) {
            return Box::pin(self.add_by_consent(caller, asked, users)).await;
        }
        let turn = if users.iter().all(|user| self.is_known(user)) {
            None
        } else {
            let room = parse::room_id(&request.room_id)?;
            let turn = self.turns.take(&caller.user, &room).await;
            // The room first: who may not add anybody does not learn who exists.
            if !self.is_repeat(caller, &asked, Action::Add { users: users.clone() }).await? {
                self.existing_users(caller, &users).await?;
            }
            Some(turn)
        };
        let outcome = self.change_in_turn(turn, caller, asked, Action::Add { users }).await?;
        Ok(v1::AddMembersResponse { outcome: Some(outcome), invited_user_ids: Vec::new() })
    }

    pub(crate) async fn remove_member(
        &self,
        caller: &Admitted,
        request: v1::RemoveMemberRequest,
    ) -> Result<v1::RemoveMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Remove { user }).await?;
        Ok(v1::RemoveMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn set_role(
        &self,
        caller: &Admitted,
        request: v1::SetRoleRequest,
    ) -> Result<v1::SetRoleResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let role = convert::role_from(request.role())
            .ok_or_else(|| parse::field("role", "must be ROLE_MEMBER, ROLE_ADMIN or ROLE_OWNER"))?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::SetRole { user, role }).await?;
        Ok(v1::SetRoleResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn update_member(
        &self,
        caller: &Admitted,
        request: v1::UpdateMemberRequest,
    ) -> Result<v1::UpdateMemberResponse, Error> {
        let user = parse::user_or_me(&caller.user, &request.user_id)?;
        let data = parse::data_change(request.data.as_ref(), request.unset_data)?;
        // Of a direct room they remain a member.
        if caller.is_app() && self.is_deleted(&user).await? {
            return Err(Error::OtherDeleted);
        }
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::UpdateMember { user, data }).await?;
        Ok(v1::UpdateMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn join_room(
        &self,
        caller: &Admitted,
        request: v1::JoinRoomRequest,
    ) -> Result<v1::JoinRoomResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let turn = self.turn_as_user(caller, &room).await?;
        let turn = self.charge_joining(turn, caller, &room).await?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change_in_turn(turn, caller, asked, Action::Join).await?;
        Ok(v1::JoinRoomResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn leave_room(
        &self,
        caller: &Admitted,
        request: v1::LeaveRoomRequest,
    ) -> Result<v1::LeaveRoomResponse, Error> {
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Leave).await?;
        Ok(v1::LeaveRoomResponse { outcome: Some(outcome) })
    }

    /// Runs an action whose answer is its position in the log.
    pub(crate) async fn change(
        &self,
        caller: &Admitted,
        asked: Asked<'_>,
        action: Action,
    ) -> Result<v1::Outcome, Error> {
        self.change_in_turn(None, caller, asked, action).await
    }

    /// Like [`Self::change`], in `turn` if one was taken.
    pub(super) async fn change_in_turn(
        &self,
        turn: Option<Turn>,
        caller: &Admitted,
        asked: Asked<'_>,
        action: Action,
    ) -> Result<v1::Outcome, Error> {
        let room = parse::room_id(asked.room)?;
        let command = Command {
            actor: caller.user.clone(),
            authority: caller.authority(),
            request: parse::request_id("request_id", asked.request)?,
            after: asked.after,
            action,
        };
        let outcome = self.submit_in_turn(turn, &room, command).await?;
        Ok(convert::outcome(&outcome))
    }

    /// Takes a turn in `room` if this node has to look up whether the caller is a user. None is needed if
    /// the caller is already known.
    pub(super) async fn turn_as_user(&self, caller: &Caller, room: &RoomId) -> Result<Option<Turn>, Error> {
        if self.is_known(&caller.user) {
            return Ok(self.turns.behind(&caller.user, room).await);
        }
        let turn = self.turns.take(&caller.user, room).await;
        self.ensure_user(caller).await?;
        Ok(Some(turn))
    }

    /// A turn in `room`, which the caller is charged with unless they are in it.
    pub(super) async fn charge_joining(
        &self,
        turn: Option<Turn>,
        caller: &Admitted,
        room: &RoomId,
    ) -> Result<Option<Turn>, Error> {
        self.charge_asking(turn, caller, room, 0).await
    }

    /// The same for a caller who waits for an answer of `asked` other rooms.
    pub(super) async fn charge_asking(
        &self,
        turn: Option<Turn>,
        caller: &Admitted,
        room: &RoomId,
        asked: usize,
    ) -> Result<Option<Turn>, Error> {
        if !self.room_quota.is_limited() || caller.is_app() {
            return Ok(turn);
        }
        let turn = match turn {
            Some(turn) => turn,
            None => self.turns.take(&caller.user, room).await,
        };
        let is_member = self.store().member(room, &caller.user).await?.is_some_and(|row| row.is_active());
        if !is_member {
            self.room_quota.join_besides(self.store(), caller, asked).await?;
        }
        Ok(Some(turn))
    }

    /// Submits a command in `turn`. Direct rooms appear not to exist to users who are not in them.
    pub(super) async fn submit_in_turn(
        &self,
        turn: Option<Turn>,
        room: &RoomId,
        command: Command,
    ) -> Result<Outcome, Error> {
        let turn = match turn {
            None => self.turns.behind(&command.actor, room).await,
            taken => taken,
        };
        in_line(turn, self.rooms().submit(room, command)).await.map_err(|error| hidden(room, error))
    }
}

/// A direct room does not exist for those who are not in it.
pub(super) fn hidden(room: &RoomId, error: parlance_rooms::Error) -> Error {
    match error.into() {
        Error::Refused { refusal: parlance_core::Refusal::NotMember, .. } if room.is_direct() => {
            Error::RoomNotFound
        }
        error => error,
    }
}

/// Fields that all changes of a room share.
pub(crate) struct Asked<'a> {
    pub(crate) room: &'a str,
    pub(crate) request: &'a str,
    pub(crate) after: Option<u64>,
}

pub(super) fn visibility(field: &'static str, given: v1::HistoryVisibility) -> Result<Visibility, Error> {
    convert::visibility_from(given).ok_or_else(|| {
        parse::field(field, "must be HISTORY_VISIBILITY_SINCE_JOINED or HISTORY_VISIBILITY_ALL")
    })
}

#[cfg(test)]
mod tests;
