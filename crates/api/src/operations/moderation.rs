//! Bans and mutes.

use parlance_core::{Action, Role};
use parlance_proto::{convert, v1};

use super::parse;
use super::rooms::Asked;
use crate::gate::Admitted;
use crate::{Api, Error};

impl Api {
    pub(crate) async fn ban_member(
        &self,
        caller: &Admitted,
        request: v1::BanMemberRequest,
    ) -> Result<v1::BanMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let lasts = parse::sanction("duration", request.duration.as_ref())?;
        let reason = parse::reason(&request.reason)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Ban { user, lasts, reason }).await?;
        Ok(v1::BanMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn unban_member(
        &self,
        caller: &Admitted,
        request: v1::UnbanMemberRequest,
    ) -> Result<v1::UnbanMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Unban { user }).await?;
        Ok(v1::UnbanMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn list_bans(
        &self,
        caller: &Admitted,
        request: v1::ListBansRequest,
    ) -> Result<v1::ListBansResponse, Error> {
        let id = parse::room_id(&request.room_id)?;
        let access = self.access(caller, &id).await?;
        access.active_member()?;
        parse::page_size(request.page_size)?;
        access.member_with(Role::Admin)?;
        let (part, now) = ((request.page_token.as_str(), request.page_size), self.clock().now());
        let (page, next_page_token) =
            self.members_page(caller, &id, part, |row| row.is_banned_at(now)).await?;
        Ok(v1::ListBansResponse { members: page.iter().map(convert::member).collect(), next_page_token })
    }

    pub(crate) async fn mute_member(
        &self,
        caller: &Admitted,
        request: v1::MuteMemberRequest,
    ) -> Result<v1::MuteMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let lasts = parse::sanction("duration", request.duration.as_ref())?;
        let reason = parse::reason(&request.reason)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Mute { user, lasts, reason }).await?;
        Ok(v1::MuteMemberResponse { outcome: Some(outcome) })
    }

    pub(crate) async fn unmute_member(
        &self,
        caller: &Admitted,
        request: v1::UnmuteMemberRequest,
    ) -> Result<v1::UnmuteMemberResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        let outcome = self.change(caller, asked, Action::Unmute { user }).await?;
        Ok(v1::UnmuteMemberResponse { outcome: Some(outcome) })
    }
}
