//! Decides commands: pure functions of a room's state, one file per family of commands.

mod change;
mod closed;
mod import;
mod invitations;
mod links;
mod members;
mod moderation;
mod requests;
mod send;
mod settings;
mod stop;
mod view;

pub(super) use import::Appended;
pub(super) use stop::Stop;
pub(super) use view::View;

use self::closed::{gives_reason, refuse_closed};
use super::command::{Action, Authority, Command, Refusal};
use super::decision::{Need, Outcome};
use super::requests::Seen;
use crate::{Body, Interval, Member, RoomKind, Timestamp, UserId};

/// The result of a decision.
pub(super) enum Verdict<'c> {
    /// Append these events; empty if nothing has to change.
    Change(Vec<Body>),
    /// Append these messages; empty if they were appended before.
    Import(Vec<Appended<'c>>),
    /// The command was carried out before.
    Repeat(Outcome),
}

/// Decides `command`. `newest` is taken as the time of the log's end.
pub(super) fn decide<'c>(
    view: View<'_>,
    command: &'c Command,
    newest: Timestamp,
) -> Result<Verdict<'c>, Stop> {
    let room = view.room;
    let actor = view.row(&command.actor)?;
    // Someone who was never a member learns nothing: not from repeats, nor, through a cursor that is
    // ahead, about the head. Channels may be joined by anyone.
    let for_app = is_for_app(command);
    if actor.is_none()
        && !for_app
        && let Some(verdict) = of_stranger(view, command)?
    {
        return Ok(verdict);
    }
    // The app acts whether or not its user is a member.
    let former = actor.filter(|actor| !actor.is_active() && !for_app);
    let deletes = matches!(command.action, Action::DeleteRoom);
    if room.info.deleted && former.is_none() && !deletes {
        return Err(Refusal::RoomDeleted.into());
    }
    if let Action::Import { messages } = &command.action {
        let appended = import::import(view, command, messages)?;
        if !appended.is_empty() {
            refuse_closed(view, command, actor, true)?;
        }
        return Ok(Verdict::Import(appended));
    }
    // What makes somebody a member comes after an earlier membership, and without a cursor that might be ahead.
    let seen = match former.filter(|_| !answers(command)).map(Member::changed_at) {
        Some(left) => room.check_former(command, left)?,
        None => room.requests.check(command, view.head, room.info.floor, newest)?,
    };
    match seen {
        Seen::Before { outcome, named } => {
            were_members(view, command, &outcome, &named)?;
            return Ok(Verdict::Repeat(outcome));
        }
        Seen::LookFurther => return Err(Need::Older { before: room.requests.after() + 1 }.into()),
        Seen::Never => {}
    }
    change_of(view, command, actor).map(Verdict::Change)
}

/// What becomes of a command of somebody who was never a member; `None` if it is decided like others.
fn of_stranger<'c>(view: View<'_>, command: &'c Command) -> Result<Option<Verdict<'c>>, Stop> {
    let (user, kind) = (&command.actor, view.room.info.kind);
    let is_channel = kind == RoomKind::Channel;
    let is_decided = match &command.action {
        Action::Join => is_channel,
        // Who is invited may answer.
        Action::Accept => view.may_accept(user, None)?,
        Action::Decline => view.invitation(user)?.is_some(),
        Action::JoinByLink { hash } => view.link(hash)?.is_some(),
        Action::Request { .. } => is_channel || view.takes_requests() || view.may_accept(user, None)?,
        Action::Withdraw => view.has_asked(user)?,
        _ => false,
    };
    match &command.action {
        _ if is_decided => Ok(None),
        // Neither does guessing say which rooms there are.
        Action::JoinByLink { .. } => Err(Refusal::LinkInvalid.into()),
        Action::Decline | Action::Withdraw if kind != RoomKind::Direct => {
            Ok(Some(Verdict::Change(Vec::new())))
        }
        Action::Accept if kind != RoomKind::Direct => Err(Refusal::NotInvited.into()),
        _ => Err(Refusal::NotMember.into()),
    }
}

/// Whether the command is one of those by which users become members without having been, and of their ends.
fn answers(command: &Command) -> bool {
    matches!(
        command.action,
        Action::Accept
            | Action::Decline
            | Action::JoinByLink { .. }
            | Action::Request { .. }
            | Action::Withdraw
    )
}

/// Whether the command is decided under the app's own authority. The app joins and leaves like any user.
fn is_for_app(command: &Command) -> bool {
    let is_own = matches!(command.action, Action::Join | Action::Leave) || answers(command);
    let is_app = matches!(command.authority, Authority::App { .. } | Authority::Erasure { .. });
    is_app && !is_own
}

/// Refuses a repeat that adds or invites users whom the first request did not. Its events name only those who
/// were not members yet, so any others must have been members then.
fn were_members(view: View<'_>, command: &Command, first: &Outcome, named: &[UserId]) -> Result<(), Stop> {
    let (users, added) = match &command.action {
        Action::Add { users } => (users.as_slice(), <&[UserId]>::default()),
        Action::Invite { users, added, .. } => (users.as_slice(), added.as_slice()),
        _ => return Ok(()),
    };
    for user in users.iter().chain(added).filter(|user| !named.contains(user)) {
        let intervals = view.row(user)?.map(|row| row.intervals.as_slice()).unwrap_or_default();
        let was_member =
            |at: &Interval| at.joined <= first.last && at.left.is_none_or(|left| left > first.first);
        if !intervals.iter().any(was_member) {
            return Err(Refusal::RequestIdReused.into());
        }
    }
    Ok(())
}

/// The events for a command that was not carried out before.
fn change_of(view: View<'_>, command: &Command, actor: Option<&Member>) -> Result<Vec<Body>, Stop> {
    let authority = &command.authority;
    let app = is_for_app(command).then(|| Member::app(command.actor.clone()));
    let enters = match command.action {
        Action::Join => Some(members::join(view, &command.actor, actor)?),
        Action::Accept => Some(invitations::accept(view, &command.actor, actor)?),
        Action::JoinByLink { hash } => Some(links::join(view, &command.actor, actor, &hash)?),
        Action::Request { .. } => Some(requests::request(view, &command.actor, actor)?),
        _ => None,
    };
    // Who may not enter anyway does not learn that the room is closed.
    refuse_closed(view, command, actor, app.is_some())?;
    if app.is_none() {
        refuse_muted(view, command, actor)?;
    }
    if let Some(enters) = enters {
        return Ok(enters);
    }
    match command.action {
        Action::Decline => return invitations::decline(view, &command.actor, actor),
        Action::Withdraw => return requests::withdraw(view, &command.actor, actor),
        _ => {}
    }
    let Some(actor) = app.as_ref().or(actor).filter(|actor| actor.is_active()) else {
        return match command.action {
            Action::Leave => Ok(Vec::new()),
            _ => Err(Refusal::NotMember.into()),
        };
    };
    if app.is_none() {
        refuse_blocked(view, command)?;
    }
    match &command.action {
        Action::Join
        | Action::Accept
        | Action::Decline
        | Action::JoinByLink { .. }
        | Action::Request { .. }
        | Action::Withdraw
        | Action::Import { .. } => Ok(Vec::new()),
        Action::Send(message) => send::send(view, actor, authority, message),
        Action::Edit { target, text, data } => change::edit(view, actor, authority, *target, text, data),
        Action::Delete { target } => change::delete(view, actor, *target),
        Action::React { target, emoji } => change::react(view, actor, *target, emoji),
        Action::Unreact { target, emoji } => change::unreact(view, actor, *target, emoji),
        Action::Add { users } => members::add(view, actor, authority, users),
        Action::Invite { users, added, lasts } => {
            invitations::invite(view, actor, authority, users, added, *lasts)
        }
        Action::Revoke { user } => invitations::revoke(view, actor, user),
        Action::CreateLink { lasts, max_uses, .. } => links::create(view, actor, *lasts, *max_uses),
        Action::RevokeLink { link } => links::revoke(view, actor, *link),
        Action::Approve { user } => requests::approve(view, actor, user),
        Action::Reject { user } => requests::reject(view, actor, user),
        Action::Remove { user } => members::remove(view, actor, authority, user),
        Action::Ban { user, lasts, reason } => moderation::ban(view, actor, authority, user, *lasts, reason),
        Action::Unban { user } => moderation::unban(view, actor, authority, user),
        Action::Mute { user, lasts, reason } => {
            moderation::mute(view, actor, authority, user, *lasts, reason)
        }
        Action::Unmute { user } => moderation::unmute(view, actor, authority, user),
        Action::SetRole { user, role } => members::set_role(view, actor, authority, user, *role),
        Action::UpdateMember { user, data } => members::set_data(view, actor, authority, user, data),
        Action::Leave => members::leave(view, actor),
        Action::Update(change) => settings::update(view, actor, authority, change),
        Action::DeleteRoom => settings::delete_room(view, actor, authority),
    }
}

/// What the members of a direct room may not do once the other one has blocked them.
fn refuse_blocked(view: View<'_>, command: &Command) -> Result<(), Stop> {
    let says = matches!(
        command.action,
        Action::Send(_) | Action::Edit { .. } | Action::React { .. } | Action::UpdateMember { .. }
    );
    match &view.room.info.direct_pair {
        Some((one, other)) if says => {
            let peer = if *one == command.actor { other } else { one };
            view.accepted(&command.actor, std::iter::once(peer))
        }
        _ => Ok(()),
    }
}

/// What members may not do while they are muted.
fn refuse_muted(view: View<'_>, command: &Command, actor: Option<&Member>) -> Result<(), Refusal> {
    // Title, topic and image are texts that everyone reads, too, and so are reasons and data.
    let says = matches!(
        command.action,
        Action::Send(_)
            | Action::Edit { .. }
            | Action::React { .. }
            | Action::Update(_)
            | Action::UpdateMember { .. }
    ) || gives_reason(command);
    let member = actor.filter(|actor| says && actor.is_active());
    match member.and_then(|member| member.mute) {
        Some(mute) if mute.holds_at(view.at) => Err(Refusal::Muted { until: mute.until }),
        _ => Ok(()),
    }
}
