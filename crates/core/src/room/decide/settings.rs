//! Changes of the room itself.

use super::stop::Stop;
use super::view::{View, allowed, at_least};
use crate::room::command::{Authority, Refusal, SettingsChange};
use crate::{Body, Joining, Member, Permission, Permissions, Role, RoomKind};

pub(super) fn update(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    change: &SettingsChange,
) -> Result<Vec<Body>, Stop> {
    let is_named = change.title.is_some() || change.topic.is_some() || change.visibility.is_some();
    let is_managed = change.slow_mode.is_some() || change.archived.is_some();
    let is_permitted = change.permissions != Permissions::default() || !change.unset_permissions.is_empty();
    let is_shared = is_named || is_permitted || is_managed;
    let is_shared = is_shared || change.listed.is_some() || change.joining.is_some();
    if is_shared || !matches!(authority, Authority::App { .. }) {
        view.not_direct()?;
    }
    allowed(view, actor, Permission::Edit)?;
    if is_permitted {
        at_least(actor, Role::Owner)?;
    }
    // Slow mode is part of moderation, and archiving ends everybody's part: no permission gives either to members.
    if is_managed {
        at_least(actor, Role::Admin)?;
    }
    if change.listed == Some(true) && view.room.info.kind != RoomKind::Channel {
        return Err(Refusal::NotListable.into());
    }
    if change.joining == Some(Joining::Open) && view.room.info.kind != RoomKind::Channel {
        return Err(Refusal::NotOpen.into());
    }
    let before = &view.room.info.settings;
    let mut settings = before.clone();
    if let Some(title) = &change.title {
        settings.title = title.clone();
    }
    if let Some(topic) = &change.topic {
        settings.topic = topic.clone();
    }
    if let Some(visibility) = change.visibility {
        settings.visibility = visibility;
    }
    if let Some(image) = &change.image {
        settings.image = image.clone();
    }
    settings.data = before.data.changed(&change.data).map_err(Refusal::from)?;
    settings.permissions = before.permissions.without(&change.unset_permissions).changed(&change.permissions);
    settings.frozen = change.frozen.unwrap_or(before.frozen);
    settings.archived = change.archived.unwrap_or(before.archived);
    settings.slow_mode = change.slow_mode.unwrap_or(before.slow_mode);
    settings.listed = change.listed.unwrap_or(before.listed);
    settings.joining = change.joining.unwrap_or(before.joining);
    if settings == *before {
        return Ok(Vec::new());
    }
    Ok(vec![Body::RoomChanged { settings }])
}

pub(super) fn delete_room(view: View<'_>, actor: &Member, authority: &Authority) -> Result<Vec<Body>, Stop> {
    // Neither of two users may delete what the other one wrote.
    if view.room.info.kind == RoomKind::Direct && !matches!(authority, Authority::App { .. }) {
        return Err(Refusal::NeedsScope("service").into());
    }
    at_least(actor, Role::Owner)?;
    // That ends what waits, and the notes of those who ask.
    view.invitations()?;
    // Deleted before, by another request.
    Ok(if view.room.info.deleted { Vec::new() } else { vec![Body::RoomDeleted] })
}
