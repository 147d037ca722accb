//! Bans and mutes.

use parlance_core::{Action, Member, Role, UserId};
use parlance_proto::{convert, v1};

use super::parse;
use super::rooms::Asked;
use crate::gate::Admitted;
use crate::limits::BAN_ROWS;
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
        let size = parse::page_size(request.page_size)?;
        let after = parse::page_token(&request.page_token, UserId::parse)?;
        access.member_with(Role::Admin)?;
        let (rows, now) = (self.store().members(&id, after.as_ref(), BAN_ROWS).await?, self.clock().now());
        let mut banned = rows.iter().filter(|row| row.is_banned_at(now));
        let page: Vec<&Member> = banned.by_ref().take(size).collect();
        // After the last one of a full page, otherwise after all that were read.
        let next_page_token = match page.last() {
            Some(last) if banned.next().is_some() => last.user.as_str().to_owned(),
            _ => parse::next_page_token(&rows, BAN_ROWS, |last| last.user.as_str()),
        };
        let members = page.into_iter().map(convert::member).collect();
        Ok(v1::ListBansResponse { members, next_page_token })
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
