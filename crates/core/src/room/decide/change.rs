//! Changes of messages that are there.

use std::collections::BTreeSet;

use super::stop::Stop;
use super::view::{View, at_least};
use crate::limits::{MAX_EMOJI_KINDS, MAX_REACTIONS};
use crate::room::command::Refusal;
use crate::{Body, Emoji, Member, Role, Text};

pub(super) fn edit(view: View<'_>, actor: &Member, target: u64, text: &Text) -> Result<Vec<Body>, Stop> {
    let (sender, overlay) = view.message(actor, target)?;
    if *sender != actor.user {
        return Err(Refusal::NotSender.into());
    }
    if overlay.deleted {
        return Err(Refusal::MessageDeleted(target).into());
    }
    Ok(vec![Body::MessageEdited { target, text: text.clone() }])
}

pub(super) fn delete(view: View<'_>, actor: &Member, target: u64) -> Result<Vec<Body>, Stop> {
    let (sender, overlay) = view.message(actor, target)?;
    if overlay.deleted {
        return Ok(Vec::new());
    }
    if *sender != actor.user {
        at_least(actor, Role::Admin)?;
    }
    Ok(vec![Body::MessageDeleted { target }])
}

pub(super) fn react(view: View<'_>, actor: &Member, target: u64, emoji: &Emoji) -> Result<Vec<Body>, Stop> {
    let (_, overlay) = view.message(actor, target)?;
    if overlay.deleted {
        return Err(Refusal::MessageDeleted(target).into());
    }
    // Written as the first one on the message, so that clients see one reaction.
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
    let (_, overlay) = view.message(actor, target)?;
    match overlay.reactions.get_key_value(emoji) {
        Some((known, users)) if users.contains(&actor.user) => {
            Ok(vec![Body::ReactionRemoved { target, emoji: known.clone() }])
        }
        _ => Ok(Vec::new()),
    }
}
