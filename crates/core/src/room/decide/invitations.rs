//! Invitations, which take the consent of who becomes a member.

use std::collections::BTreeSet;
use std::time::Duration;

use super::members::add;
use super::moderation::end;
use super::stop::Stop;
use super::view::{View, at_least};
use crate::limits::{MAX_INVITATIONS, MAX_MEMBERS, MAX_MEMBERS_PER_REQUEST, REINVITE_MS};
use crate::room::command::{Authority, Refusal};
use crate::{Body, Invitation, Member, Role, UserId};

// One request may invite as many as it may add.
const _: () = assert!(MAX_MEMBERS_PER_REQUEST <= MAX_INVITATIONS);

/// Invites `users` who are not members, and adds `added`. Whoever is invited already is invited again.
pub(super) fn invite(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    users: &[UserId],
    added: &[UserId],
    lasts: Duration,
) -> Result<Vec<Body>, Stop> {
    // Who asks for it is added.
    let mut wanted = added.to_vec();
    for user in users {
        let row = view.row(user)?;
        if view.request(user, row)?.is_some_and(|request| !request.is_rejected()) {
            wanted.push(user.clone());
        }
    }
    let added = wanted.as_slice();
    // The same is required of who adds somebody.
    let mut bodies = add(view, actor, authority, added)?;
    let mut invited = BTreeSet::new();
    for user in users.iter().filter(|user| !added.contains(user)) {
        let member = view.row(user)?;
        if member.is_some_and(|member| member.is_banned_at(view.at)) {
            return Err(Refusal::TargetBanned(user.clone()).into());
        }
        if !member.is_some_and(Member::is_active) {
            invited.insert(user);
        }
    }
    let known = view.invitations()?;
    let was_invited_lately = |user: &&UserId| {
        let is_recent = |it: &Invitation| it.by == actor.user && view.at.since(it.at) < REINVITE_MS;
        let row = view.row(user).ok().flatten();
        known.get(user).is_some_and(|it| it.is_open_for(row, view.at) && is_recent(it))
    };
    // All or none: a repeat of the request is recognised by whom its events name.
    if invited.is_empty() || bodies.is_empty() && invited.iter().all(was_invited_lately) {
        return Ok(bodies);
    }
    if view.member_count >= MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    let others = known.open_at(view.at).filter(|(user, _)| !invited.contains(user));
    let others = others.filter(|(user, _)| !added.contains(user)).count();
    if others + invited.len() > MAX_INVITATIONS {
        return Err(Refusal::TooManyInvitations(others).into());
    }
    if !matches!(authority, Authority::App { .. }) {
        view.accepted(&actor.user, invited.iter().copied())?;
    }
    let until = end(view, Some(lasts)).unwrap_or(view.at);
    bodies.extend(invited.into_iter().map(|user| Body::MemberInvited { user: user.clone(), until }));
    Ok(bodies)
}

/// Makes `user`, whose row is `actor`, a member if they are invited.
pub(super) fn accept(view: View<'_>, user: &UserId, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    if actor.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    if !view.may_accept(user, actor)? {
        return Err(Refusal::NotInvited.into());
    }
    if let Some(banned) = actor.filter(|actor| actor.is_banned_at(view.at)) {
        return Err(Refusal::Banned { until: banned.ban_ends }.into());
    }
    if view.member_count >= MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    Ok(vec![Body::MemberAdded { user: user.clone(), role: Role::Member, link: None }])
}

/// Ends the invitation of `user`, whose row is `actor`, if there is one: also one that could not be accepted.
pub(super) fn decline(view: View<'_>, user: &UserId, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    let is_invited = !actor.is_some_and(Member::is_active) && view.invitation(user)?.is_some();
    Ok(if is_invited { vec![Body::InvitationEnded { user: user.clone() }] } else { Vec::new() })
}

/// Takes an invitation back: one's own, or as owner or admin anyone's.
pub(super) fn revoke(view: View<'_>, actor: &Member, user: &UserId) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    let Some(invitation) = view.invitations()?.get(user).filter(|found| found.is_open_at(view.at)) else {
        return Ok(Vec::new());
    };
    if invitation.by != actor.user {
        at_least(actor, Role::Admin)?;
    }
    // Otherwise somebody who is a member would appear to decline.
    if *user == actor.user || view.row(user)?.is_some_and(Member::is_active) {
        return Ok(Vec::new());
    }
    Ok(vec![Body::InvitationEnded { user: user.clone() }])
}
