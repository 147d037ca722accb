//! Links by which users join who have the secret of one.

use std::time::Duration;

use super::moderation::end;
use super::stop::Stop;
use super::view::{View, allowed, at_least};
use crate::limits::{MAX_LINKS, MAX_MEMBERS};
use crate::room::command::Refusal;
use crate::{Body, LinkHash, Member, Permission, Role, Standing, UserId};

pub(super) fn create(
    view: View<'_>,
    actor: &Member,
    lasts: Duration,
    max_uses: u32,
) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    allowed(view, actor, Permission::Invite)?;
    let open = view.invitations()?.links().filter(|link| link.is_open_at(view.at)).count();
    if open >= MAX_LINKS {
        return Err(Refusal::TooManyLinks(open).into());
    }
    Ok(vec![Body::LinkCreated { until: end(view, Some(lasts)).unwrap_or(view.at), max_uses }])
}

/// Takes a link back: one's own, or as owner or admin anyone's.
pub(super) fn revoke(view: View<'_>, actor: &Member, link: u64) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    let Some(found) = view.invitations()?.link(link).filter(|link| link.is_open_at(view.at)) else {
        return Ok(Vec::new());
    };
    if found.by != actor.user {
        at_least(actor, Role::Admin)?;
    }
    Ok(vec![Body::LinkRevoked { link }])
}

/// Makes `user`, whose row is `actor`, a member by the link whose secret has `hash`.
pub(super) fn join(
    view: View<'_>,
    user: &UserId,
    actor: Option<&Member>,
    hash: &LinkHash,
) -> Result<Vec<Body>, Stop> {
    if actor.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    let link = view.link(hash)?.ok_or(Refusal::LinkInvalid)?;
    if let Some(banned) = actor.filter(|actor| actor.is_banned_at(view.at)) {
        return Err(Refusal::Banned { until: banned.ban_ends }.into());
    }
    if actor.is_some_and(|actor| actor.standing == Standing::Removed) {
        return Err(Refusal::Removed.into());
    }
    if view.member_count >= MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    Ok(vec![Body::MemberAdded { user: user.clone(), role: Role::Member, link: Some(link.seq) }])
}
