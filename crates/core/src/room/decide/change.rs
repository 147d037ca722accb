//! Changes of existing messages.

use std::collections::BTreeSet;

use super::stop::Stop;
use super::view::{View, allowed};
use crate::limits::{MAX_EMOJI_KINDS, MAX_REACTIONS};
use crate::room::command::{Authority, Refusal};
use crate::{Body, DataChange, Emoji, Member, MessageKind, Permission, Text};

pub(super) fn edit(
    view: View<'_>,
    actor: &Member,
    authority: &Authority,
    target: u64,
    text: &Text,
    change: &DataChange,
) -> Result<Vec<Body>, Stop> {
    let message = view.message(actor, target)?;
    if message.sender != actor.user {
        return Err(Refusal::NotSender.into());
    }
    // A system message cannot be changed under a member's authority, whoever it
    // was sent as.
    if message.kind == MessageKind::System && *authority == Authority::Member {
        return Err(Refusal::NeedsScope("service").into());
    }
    allowed(view, actor, Permission::Post)?;
    if message.overlay.deleted {
        return Err(Refusal::MessageDeleted(target).into());
    }
    if text.as_str().is_empty() && !message.kind.may_be_blank() {
        return Err(Refusal::BlankText.into());
    }
    let data = message.data.changed(change).map_err(Refusal::from)?;
    let data = (data != message.data).then_some(data);
    Ok(vec![Body::MessageEdited { target, text: text.clone(), data }])
}

pub(super) fn delete(view: View<'_>, actor: &Member, target: u64) -> Result<Vec<Body>, Stop> {
    let message = view.message(actor, target)?;
    if message.overlay.deleted {
        return Ok(Vec::new());
    }
    if message.sender != actor.user {
        allowed(view, actor, Permission::Delete)?;
    }
    Ok(vec![Body::MessageDeleted { target }])
}

pub(super) fn react(view: View<'_>, actor: &Member, target: u64, emoji: &Emoji) -> Result<Vec<Body>, Stop> {
    let overlay = &view.message(actor, target)?.overlay;
    allowed(view, actor, Permission::React)?;
    if overlay.deleted {
        return Err(Refusal::MessageDeleted(target).into());
    }
    // Uses the spelling of the first such reaction on the message, so that
    // clients see one reaction.
    let (emoji, users) = match overlay.reactions.get_key_value(emoji) {
        Some((known, users)) => (known, Some(users)),
        None => (emoji, None),
    };
    if users.is_some_and(|users| users.contains(&actor.user)) {
        return Ok(Vec::new());
    }
    let count: usize = overlay.reactions.values().map(BTreeSet::len).sum();
    if count >= MAX_REACTIONS || (users.is_none() && overlay.reactions.len() >= MAX_EMOJI_KINDS) {
        return Err(Refusal::TooManyReactions.into());
    }
    Ok(vec![Body::ReactionAdded { target, emoji: emoji.clone() }])
}

pub(super) fn unreact(view: View<'_>, actor: &Member, target: u64, emoji: &Emoji) -> Result<Vec<Body>, Stop> {
    let overlay = &view.message(actor, target)?.overlay;
    match overlay.reactions.get_key_value(emoji) {
        Some((known, users)) if users.contains(&actor.user) => {
            Ok(vec![Body::ReactionRemoved { target, emoji: known.clone() }])
        }
        _ => Ok(Vec::new()),
    }
}
