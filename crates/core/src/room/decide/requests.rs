//! Users who ask to become members. Adding or inviting one of them approves the request, too.

use super::invitations::accept;
use super::moderation::end;
use super::stop::Stop;
use super::view::{View, allowed};
use crate::limits::{JOIN_REQUEST_AGE, MAX_JOIN_REQUESTS, MAX_MEMBERS, MAX_WITHDRAWALS};
use crate::room::command::Refusal;
use crate::{Body, JoinRequest, Member, Permission, Role, RoomKind, UserId};

/// Notes that `user`, whose row is `actor`, asks to become a member. Who is invited becomes one.
pub(super) fn request(view: View<'_>, user: &UserId, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    if actor.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    if view.may_accept(user, actor)? {
        return accept(view, user, actor);
    }
    if !view.takes_requests() {
        // Anyone may know of a channel how it is joined.
        let is_channel = view.room.info.kind == RoomKind::Channel;
        return Err(if is_channel { Refusal::NotByRequest } else { Refusal::NotMember }.into());
    }
    if let Some(banned) = actor.filter(|actor| actor.is_banned_at(view.at)) {
        return Err(Refusal::Banned { until: banned.ban_ends }.into());
    }
    match view.request(user, actor)? {
        Some(before) if before.is_rejected() => {
            return Err(Refusal::RequestRejected { until: before.until }.into());
        }
        Some(_) => return Ok(Vec::new()),
        None => {}
    }
    // Expired ones are still there.
    let before = view.invitations()?.request_of(user).filter(|before| view.at < before.until);
    if let Some(before) = before.filter(|before| before.withdrawals >= MAX_WITHDRAWALS) {
        return Err(Refusal::RequestWithdrawn { until: before.until }.into());
    }
    if view.member_count >= MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    let open = view.invitations()?.requests_at(view.at).count();
    if open >= MAX_JOIN_REQUESTS {
        return Err(Refusal::TooManyJoinRequests(open).into());
    }
    let until = end(view, Some(JOIN_REQUEST_AGE)).unwrap_or(view.at);
    Ok(vec![Body::JoinRequested { user: user.clone(), until }])
}

/// Withdraws the request of `user`, whose row is `actor`, if there is one: also one that has expired, since that removes
/// its note.
pub(super) fn withdraw(view: View<'_>, user: &UserId, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    let asks = !actor.is_some_and(Member::is_active) && view.has_asked(user)?;
    Ok(if asks { vec![Body::JoinRequestEnded { user: user.clone() }] } else { Vec::new() })
}

/// Makes `user` a member, if their request waits for an answer.
pub(super) fn approve(view: View<'_>, actor: &Member, user: &UserId) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    allowed(view, actor, Permission::Invite)?;
    let row = view.row(user)?;
    if row.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    if row.is_some_and(|row| row.is_banned_at(view.at)) {
        return Err(Refusal::TargetBanned(user.clone()).into());
    }
    if view.request(user, row)?.is_none_or(JoinRequest::is_rejected) {
        return Err(Refusal::NoJoinRequest(user.clone()).into());
    }
    if view.member_count >= MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    Ok(vec![Body::MemberAdded { user: user.clone(), role: Role::Member, link: None }])
}

/// Rejects the request of `user`, if one waits for an answer.
pub(super) fn reject(view: View<'_>, actor: &Member, user: &UserId) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    allowed(view, actor, Permission::Invite)?;
    let row = view.row(user)?;
    let waits = view.request(user, row)?.is_some_and(|request| !request.is_rejected());
    // Otherwise somebody who is a member would appear to withdraw.
    if !waits || *user == actor.user || row.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    Ok(vec![Body::JoinRequestEnded { user: user.clone() }])
}
