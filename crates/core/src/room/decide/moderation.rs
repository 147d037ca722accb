//! Who is kept out of a room, and who is kept quiet in it.

use std::time::Duration;

use super::members::leave;
use super::stop::Stop;
use super::view::{View, at_least};
use crate::room::command::{Authority, Refusal};
use crate::{Body, Member, Mute, Reason, Role, Standing, Timestamp, UserId};

/// Refuses who may not moderate this room. The app's token needs the scope for it.
fn moderates(view: View<'_>, actor: &Member, authority: &Authority) -> Result<(), Refusal> {
    view.not_direct()?;
    match authority {
        Authority::App { moderates: false } => Err(Refusal::NeedsScope("admin")),
        Authority::Erasure { .. } => Err(Refusal::NeedsScope("admin")),
        Authority::App { moderates: true } | Authority::Member | Authority::OnBehalf { .. } => {
            at_least(actor, Role::Admin)
        }
    }
}

/// Refuses to act on members whom the actor does not outrank. The app acts on anyone.
fn outranks(actor: &Member, authority: &Authority, member: &Member) -> Result<(), Refusal> {
    let is_app = matches!(authority, Authority::App { .. });
    if is_app || actor.outranks(member) { Ok(()) } else { Err(Refusal::NeedsRole("owner")) }
}

/// The row of someone who is or once was a member.
fn target<'a>(
    view: View<'a>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
) -> Result<&'a Member, Stop> {
    moderates(view, actor, authority)?;
    Ok(view.row(user)?.ok_or_else(|| Refusal::TargetNotMember(user.clone()))?)
}

/// When a sanction that starts with these events ends.
pub(super) fn end(view: View<'_>, lasts: Option<Duration>) -> Option<Timestamp> {
    let millis = |lasts: Duration| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    lasts.map(|lasts| Timestamp(view.at.0.saturating_add(millis(lasts))))
}

/// An active member is removed first, so that readers of memberships need not handle bans.
pub(super) fn ban(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
    lasts: Option<Duration>,
    reason: &Reason,
) -> Result<Vec<Body>, Stop> {
    let member = target(view, actor, authority, user)?;
    // A ban ends an invitation and a request.
    view.invitations()?;
    let is_app = matches!(authority, Authority::App { .. });
    if !is_app && !actor.may_ban(member) {
        return Err(Refusal::NeedsRole("owner").into());
    }
    let mut bodies = Vec::with_capacity(2);
    if member.is_active() {
        if is_app {
            bodies = leave(view, member)?;
        } else {
            bodies.push(Body::MemberRemoved { user: user.clone() });
        }
    }
    let until = end(view, lasts);
    if member.standing != Standing::Banned || member.ban_ends != until {
        bodies.push(Body::MemberBanned { user: user.clone(), until, reason: reason.clone() });
    }
    Ok(bodies)
}

pub(super) fn unban(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
) -> Result<Vec<Body>, Stop> {
    moderates(view, actor, authority)?;
    let member = view.row(user)?;
    if member.is_none_or(|member| member.standing != Standing::Banned) {
        return Ok(Vec::new());
    }
    Ok(vec![Body::MemberUnbanned { user: user.clone() }])
}

/// Mutes a member, or someone who has left: the mute applies again when they return.
pub(super) fn mute(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
    lasts: Option<Duration>,
    reason: &Reason,
) -> Result<Vec<Body>, Stop> {
    let member = target(view, actor, authority, user)?;
    // By the last role of those who have left, too, because it takes the same to lift the mute.
    outranks(actor, authority, member)?;
    let until = end(view, lasts);
    if member.mute == Some(Mute { until }) {
        return Ok(Vec::new());
    }
    Ok(vec![Body::MemberMuted { user: user.clone(), until, reason: reason.clone() }])
}

pub(super) fn unmute(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
) -> Result<Vec<Body>, Stop> {
    moderates(view, actor, authority)?;
    let Some(member) = view.row(user)?.filter(|row| view.is_muted(row)) else {
        return Ok(Vec::new());
    };
    // Nobody lifts a mute of their own, nor has another admin lift it by leaving.
    outranks(actor, authority, member)?;
    Ok(vec![Body::MemberUnmuted { user: user.clone() }])
}
