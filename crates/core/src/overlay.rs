use std::collections::{BTreeMap, BTreeSet};

use crate::{Body, Emoji, Event, Text, Timestamp, UserId};

/// The present form of a message that was edited, deleted or reacted to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    /// The event that last changed the message.
    pub changed: u64,
    /// The text now and when it was replaced.
    pub edited: Option<(Text, Timestamp)>,
    /// It was deleted.
    pub deleted: bool,
    /// Who reacted with what.
    pub reactions: BTreeMap<Emoji, BTreeSet<UserId>>,
}

impl Overlay {
    /// Folds in an event that changes the message. Others are ignored.
    pub fn apply(&mut self, event: &Event) {
        match &event.body {
            Body::MessageEdited { text, .. } => self.edited = Some((text.clone(), event.at)),
            Body::MessageDeleted { .. } => {
                self.deleted = true;
                self.edited = None;
                self.reactions.clear();
            }
            Body::ReactionAdded { emoji, .. } => {
                self.reactions.entry(emoji.clone()).or_default().insert(event.actor.clone());
            }
            Body::ReactionRemoved { emoji, .. } => {
                if let Some(users) = self.reactions.get_mut(emoji) {
                    users.remove(&event.actor);
                    if users.is_empty() {
                        self.reactions.remove(emoji);
                    }
                }
            }
            _ => return,
        }
        self.changed = event.seq;
    }
}

/// An event as it reads now: what history and catch-up hand out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event, without text that was deleted since.
    pub event: Event,
    /// Of a message: its present form, where that differs from how it was sent.
    pub overlay: Option<Overlay>,
}

impl Entry {
    /// Merges an event with the overlay of the message that it is or changes, so that
    /// deleted text does not leave again, neither in the message nor in its edits.
    pub fn merge(mut event: Event, overlay: Option<Overlay>) -> Self {
        let deleted = overlay.as_ref().is_some_and(|overlay| overlay.deleted);
        match &mut event.body {
            Body::Message(message) => {
                if deleted {
                    message.text = Text::deleted();
                } else if let Some((text, _)) = overlay.as_ref().and_then(|o| o.edited.as_ref()) {
                    message.text = text.clone();
                }
                Self { event, overlay }
            }
            Body::MessageEdited { text, .. } => {
                if deleted {
                    *text = Text::deleted();
                }
                Self { event, overlay: None }
            }
            _ => Self { event, overlay: None },
        }
    }

    /// The seq of the message whose overlay belongs to this event.
    pub fn overlay_key(event: &Event) -> Option<u64> {
        match event.body {
            Body::Message(_) => Some(event.seq),
            Body::MessageEdited { target, .. } => Some(target),
            _ => None,
        }
    }
}
