//! Membership and roles.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::stop::Stop;
use super::view::{View, allowed, at_least};
use crate::limits::MAX_MEMBERS;
use crate::room::command::{Authority, Refusal};
use crate::{Body, DataChange, Joining, Member, Permission, Role, RoomKind, Standing, UserId, Visibility};

/// Lets `user`, whose row is `actor`, join.
pub(super) fn join(view: View<'_>, user: &UserId, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    let standing = actor.map_or(Standing::Free, |actor| actor.standing);
    let banned = actor.filter(|actor| actor.is_banned_at(view.at));
    let joining = view.room.info.settings.joining(view.room.info.kind);
    let refusal = match view.room.info.kind {
        RoomKind::Direct => Refusal::DirectRoom,
        _ if actor.is_some_and(Member::is_active) => return Ok(Vec::new()),
        RoomKind::Group => Refusal::NotJoinable,
        RoomKind::Channel if view.member_count >= MAX_MEMBERS => Refusal::RoomFull,
        RoomKind::Channel if standing == Standing::Removed => Refusal::Removed,
        RoomKind::Channel if banned.is_some() => {
            Refusal::Banned { until: banned.and_then(|banned| banned.ban_ends) }
        }
        RoomKind::Channel if joining == Joining::ByRequest => Refusal::ByRequest,
        RoomKind::Channel if joining == Joining::ByInvitation => Refusal::NotJoinable,
        // An owner could open the past of an abandoned channel, which is not for a stranger to read.
        RoomKind::Channel if view.member_count == 0 && actor.is_none() && !shows_all(view) => {
            Refusal::NotJoinable
        }
        // The only member of a channel owns it.
        RoomKind::Channel => {
            // Joining ends an invitation and a request.
            view.invitations()?;
            let role = if view.member_count == 0 { Role::Owner } else { Role::Member };
            let mut bodies = vec![Body::MemberAdded { user: user.clone(), role, link: None }];
            bodies.extend(actor.filter(|_| role == Role::Owner).and_then(|actor| lifted_mute(view, actor)));
            return Ok(bodies);
        }
    };
    Err(refusal.into())
}

fn shows_all(view: View<'_>) -> bool {
    view.room.info.settings.visibility == Visibility::All
}

pub(super) fn add(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    users: &[UserId],
) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    allowed(view, actor, Permission::Invite)?;
    // Being added ends an invitation and a request.
    view.invitations()?;
    let mut bodies: Vec<Body> = Vec::with_capacity(users.len());
    for user in users.iter().collect::<BTreeSet<_>>() {
        let member = view.row(user)?;
        if member.is_some_and(|member| member.is_banned_at(view.at)) {
            return Err(Refusal::TargetBanned(user.clone()).into());
        }
        if !member.is_some_and(Member::is_active) {
            // In a room without members, the first one that the app adds becomes the owner.
            let is_first = view.member_count == 0 && bodies.is_empty();
            let role = if is_first { Role::Owner } else { Role::Member };
            bodies.push(Body::MemberAdded { user: user.clone(), role, link: None });
        }
    }
    if view.member_count + bodies.len() as u64 > MAX_MEMBERS {
        return Err(Refusal::RoomFull.into());
    }
    if !matches!(authority, Authority::App { .. }) {
        let added = bodies.iter().filter_map(|body| match body {
            Body::MemberAdded { user, .. } => Some(user),
            _ => None,
        });
        view.accepted(&actor.user, added)?;
    }
    if let Some(Body::MemberAdded { user, role: Role::Owner, .. }) = bodies.first() {
        let owner = view.row(user)?;
        bodies.extend(owner.and_then(|owner| lifted_mute(view, owner)));
    }
    Ok(bodies)
}

pub(super) fn remove(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    at_least(actor, if *user == actor.user { Role::Member } else { Role::Admin })?;
    let Some(member) = view.row(user)?.filter(|member| member.is_active()) else {
        return Ok(Vec::new());
    };
    if *user == actor.user || matches!(authority, Authority::App { .. }) {
        return leave(view, member);
    }
    if member.role >= actor.role {
        return Err(Refusal::NeedsRole("owner").into());
    }
    Ok(vec![Body::MemberRemoved { user: user.clone() }])
}

pub(super) fn set_role(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
    role: Role,
) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    at_least(actor, Role::Owner)?;
    let is_app = matches!(authority, Authority::App { .. });
    if is_app && role == Role::Owner {
        return set_owner(view, user);
    }
    let Some(member) = view.row(user)?.filter(|member| member.is_active()) else {
        return Err(Refusal::TargetNotMember(user.clone()).into());
    };
    if member.role == role {
        return Ok(Vec::new());
    }
    if *user == actor.user || (is_app && member.role == Role::Owner) {
        // Stepping down would leave the room without an owner.
        return Err(Refusal::OwnerLeaves.into());
    }
    let mut bodies = vec![Body::RoleChanged { user: user.clone(), role }];
    if role == Role::Owner {
        bodies.push(Body::RoleChanged { user: actor.user.clone(), role: Role::Admin });
        bodies.extend(lifted_mute(view, member));
    }
    Ok(bodies)
}

/// Changes the data of a member: their own, or that of members whom the actor outranks and whose room they may edit.
pub(super) fn set_data(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    user: &UserId,
    change: &DataChange,
) -> Result<Vec<Body>, Stop> {
    let is_free = *user == actor.user || matches!(authority, Authority::App { .. });
    if !is_free {
        view.not_direct()?;
        allowed(view, actor, Permission::Edit)?;
    }
    let Some(member) = view.row(user)?.filter(|member| member.is_active()) else {
        return Err(Refusal::TargetNotMember(user.clone()).into());
    };
    if !is_free && !actor.outranks(member) {
        return Err(Refusal::NeedsRole("owner").into());
    }
    let before = &member.data.values;
    let data = before.changed(change).map_err(Refusal::from)?;
    if data == *before {
        return Ok(Vec::new());
    }
    Ok(vec![Body::MemberUpdated { user: user.clone(), data: Some(data) }])
}

/// Makes `user` the owner, and the current owner an admin.
fn set_owner(view: View<'_>, user: &UserId) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    let Some(member) = view.row(user)?.filter(|member| member.is_active()) else {
        return Err(Refusal::TargetNotMember(user.clone()).into());
    };
    let others = view.members()?.filter(|other| other.user != *user);
    let mut owners: Vec<&UserId> =
        others.filter(|other| other.role == Role::Owner).map(|other| &other.user).collect();
    owners.sort_unstable();
    let mut bodies = Vec::with_capacity(2);
    // Also written for an owner when there are several: a repeat is recognised by this event.
    if member.role != Role::Owner || !owners.is_empty() {
        bodies.push(Body::RoleChanged { user: user.clone(), role: Role::Owner });
    }
    bodies
        .extend(owners.into_iter().map(|owner| Body::RoleChanged { user: owner.clone(), role: Role::Admin }));
    if member.role != Role::Owner {
        bodies.extend(lifted_mute(view, member));
    }
    Ok(bodies)
}

/// Ends the membership of `actor`; an owner hands the room over first.
pub(super) fn leave(view: View<'_>, actor: &Member) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    if view.member_count <= 1 {
        // Nobody is left to invite anybody: that ends the invitations.
        view.invitations()?;
    }
    let mut bodies = Vec::with_capacity(3);
    if actor.role == Role::Owner && view.member_count > 1 {
        let next = successor(view, actor)?;
        bodies.push(Body::RoleChanged { user: next.user.clone(), role: Role::Owner });
        bodies.extend(lifted_mute(view, next));
    }
    // The last one: a former member finds their requests up to where they left.
    bodies.push(Body::MemberRemoved { user: actor.user.clone() });
    Ok(bodies)
}

/// The end of the mute of `member`, who becomes the owner: nobody in the room could lift it.
fn lifted_mute(view: View<'_>, member: &Member) -> Option<Body> {
    view.is_muted(member).then(|| Body::MemberUnmuted { user: member.user.clone() })
}

/// The successor when `owner` leaves: the longest-standing admin, else the longest-standing member; among those who
/// joined together, the first by id. Members who are muted come after all others.
fn successor<'r>(view: View<'r>, owner: &Member) -> Result<&'r Member, Stop> {
    let others = view.members()?.filter(|member| member.user != owner.user);
    let first = others.min_by_key(|member| {
        (view.is_muted(member), Reverse(member.role), member.changed_at(), &member.user)
    });
    first.ok_or_else(|| Refusal::OwnerLeaves.into())
}
