use super::stop::Stop;
use super::view::{View, at_least};
use crate::room::command::SettingsChange;
use crate::{Body, Member, Role};

pub(super) fn update(view: View<'_>, actor: &Member, change: &SettingsChange) -> Result<Vec<Body>, Stop> {
    view.not_direct()?;
    at_least(actor, Role::Admin)?;
    let mut settings = view.room.info.settings.clone();
    if let Some(title) = &change.title {
        settings.title = title.clone();
    }
    if let Some(topic) = &change.topic {
        settings.topic = topic.clone();
    }
    if let Some(visibility) = change.visibility {
        settings.visibility = visibility;
    }
    if settings == view.room.info.settings {
        return Ok(Vec::new());
    }
    Ok(vec![Body::RoomChanged { settings }])
}
