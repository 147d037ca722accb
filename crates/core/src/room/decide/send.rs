use std::time::Duration;

use super::stop::Stop;
use super::view::{View, allowed};
use crate::limits::MAX_OWN_EVENTS_IN_SLOW_MODE;
use crate::room::command::{Authority, Refusal};
use crate::room::decision::Need;
use crate::{Body, Member, Message, MessageKind, Permission, Role, Timestamp};

pub(super) fn send(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    message: &Message,
) -> Result<Vec<Body>, Stop> {
    allowed(view, actor, Permission::Post)?;
    if message.mentions_all {
        allowed(view, actor, Permission::MentionAll)?;
    }
    if message.kind == MessageKind::System && *authority == Authority::Member {
        return Err(Refusal::NeedsScope("service").into());
    }
    if let Some(seq) = message.reply_to {
        view.message(actor, seq)?;
    }
    if view.room.info.settings.slow_mode > 0 && actor.role < Role::Admin {
        keeps_pace(view, actor)?;
    }
    Ok(vec![Body::Message(message.clone())])
}

/// Refuses a message too soon after the last one of its sender. By the times in the log, on whichever node
/// it is decided: an append elsewhere in the meantime fails the one decided here.
fn keeps_pace(view: View<'_>, actor: &Member) -> Result<(), Stop> {
    let interval = u64::from(view.room.info.settings.slow_mode) * 1000;
    let since = Timestamp(view.at.0.saturating_sub(interval));
    let requests = &view.room.requests;
    if let Some(last) = requests.last_sent(&actor.user, since) {
        let wait = Duration::from_millis(interval - view.at.since(last).min(interval));
        return Err(Refusal::SlowMode { wait }.into());
    }
    if requests.cover(since, view.room.info.floor) {
        return Ok(());
    }
    if !requests.is_full(view.head) {
        return Err(Need::Older { before: requests.after() + 1 }.into());
    }
    // The remembered requests do not cover the interval, in part because of this member's own ones: their last message
    // may be right before the oldest.
    let own = requests.events_of(&actor.user);
    match requests.oldest() {
        Some(oldest) if own > MAX_OWN_EVENTS_IN_SLOW_MODE => {
            let wait = Duration::from_millis(interval - view.at.since(oldest).min(interval));
            Err(Refusal::SlowMode { wait }.into())
        }
        _ => Ok(()),
    }
}
