//! What is refused in a room that is archived or frozen.

use super::view::{View, allowed};
use crate::room::command::{Action, Authority, Command, Refusal, SettingsChange};
use crate::{Member, Permission, Reason};

/// What a command does to a room that is closed.
enum Effect {
    /// Adds something: messages, reactions, members, data on them.
    Adds,
    /// Makes the actor a member, or a candidate.
    Enters,
    /// Removes content.
    Removes,
    /// Changes settings.
    Alters,
    /// Says something to all members beside what it does.
    Says,
    /// Takes somebody out of the room, lifts what keeps them out, or assigns roles: remains possible.
    Manages,
}

fn effect(action: &Action) -> Effect {
    let in_words = |reason: &Reason| if reason.as_str().is_empty() { Effect::Manages } else { Effect::Says };
    match action {
        Action::Send(_)
        | Action::Edit { .. }
        | Action::React { .. }
        | Action::Unreact { .. }
        | Action::Add { .. }
        | Action::Invite { .. }
        | Action::CreateLink { .. }
        | Action::Approve { .. }
        | Action::UpdateMember { .. }
        | Action::Import { .. } => Effect::Adds,
        Action::Join | Action::Accept | Action::JoinByLink { .. } | Action::Request { .. } => Effect::Enters,
        Action::Delete { .. } => Effect::Removes,
        Action::Update(_) => Effect::Alters,
        Action::Ban { reason, .. } | Action::Mute { reason, .. } => in_words(reason),
        Action::Decline
        | Action::Revoke { .. }
        | Action::RevokeLink { .. }
        | Action::Withdraw
        | Action::Reject { .. }
        | Action::Remove { .. }
        | Action::Unban { .. }
        | Action::Unmute { .. }
        | Action::SetRole { .. }
        | Action::Leave
        | Action::DeleteRoom => Effect::Manages,
    }
}

/// Whether the command says something in words to all members beside what it does.
pub(super) fn gives_reason(command: &Command) -> bool {
    matches!(effect(&command.action), Effect::Says)
}

/// Refuses what may not be done while the room is closed: archived for everyone, frozen for all but the app. Those who
/// are not members are not told, unless they could enter otherwise.
pub(super) fn refuse_closed(
    view: View<'_>,
    command: &Command,
    actor: Option<&Member>,
    is_app: bool,
) -> Result<(), Refusal> {
    let settings = &view.room.info.settings;
    let (archived, frozen) = (settings.archived, settings.frozen && !is_app);
    // What a deleted user has left is removed in any case.
    if matches!(command.authority, Authority::Erasure { .. }) || !(archived || frozen) {
        return Ok(());
    }
    let member = actor.filter(|actor| actor.is_active());
    let acts = is_app || member.is_some();
    // Who may thaw the room may write in it.
    let may_thaw = |member: &Member| allowed(view, member, Permission::Edit).is_ok();
    let is_closed = match effect(&command.action) {
        Effect::Adds => acts,
        Effect::Enters => member.is_none(),
        Effect::Removes => archived && member.is_some() && !is_app,
        Effect::Alters => archived && acts && !unarchives(&command.action),
        Effect::Says => !is_app && member.is_some_and(|member| archived || !may_thaw(member)),
        Effect::Manages => false,
    };
    match is_closed {
        true if archived => Err(Refusal::Archived),
        true => Err(Refusal::Frozen),
        false => Ok(()),
    }
}

fn unarchives(action: &Action) -> bool {
    matches!(action, Action::Update(SettingsChange { archived: Some(false), .. }))
}
