use std::collections::{BTreeMap, BTreeSet};

use crate::{Body, Data, Emoji, Event, SeqRange, Text, Timestamp, Unknown, UserId};

/// The present form of a message that was edited, deleted or reacted to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    /// The event that last changed the message.
    pub changed: u64,
    /// The text now and when it was replaced.
    pub edited: Option<(Text, Timestamp)>,
    /// The data now, where an edit changed it.
    pub data: Option<Data>,
    /// It was deleted.
    pub deleted: bool,
    /// Who reacted with what.
    pub reactions: BTreeMap<Emoji, BTreeSet<UserId>>,
    /// Fields of the stored form that a later version wrote. Part of the content: kept until the
    /// message is deleted.
    pub unknown: Unknown,
}

impl Overlay {
    /// Whether an event of `range` deleted the message at `seq`, which `range` holds too.
    /// Nothing changes a message once it is deleted.
    pub fn deleted_in(&self, range: SeqRange, seq: u64) -> bool {
        self.deleted && range.contains(seq) && range.contains(self.changed)
    }

    /// Folds in an event that changes the message. Others are ignored.
    pub fn apply(&mut self, event: &Event) {
        match &event.body {
            Body::MessageEdited { text, data, .. } => {
                self.edited = Some((text.clone(), event.at));
                if data.is_some() {
                    self.data.clone_from(data);
                }
            }
            Body::MessageDeleted { .. } => {
                self.deleted = true;
                self.edited = None;
                self.data = None;
                self.reactions.clear();
                self.unknown = Unknown::default();
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
                    message.text = Text::empty();
                    message.data = Data::default();
                    event.unknown = Unknown::default();
                } else if let Some(overlay) = &overlay {
                    if let Some((text, _)) = &overlay.edited {
                        message.text = text.clone();
                    }
                    if let Some(data) = &overlay.data {
                        message.data = data.clone();
                    }
                }
                Self { event, overlay }
            }
            Body::MessageEdited { text, data, .. } => {
                if deleted {
                    *text = Text::empty();
                    *data = None;
                    event.unknown = Unknown::default();
                }
                Self { event, overlay: None }
            }
            Body::Other => {
                // It may be a message of a kind that a later version added and deleted.
                if deleted {
                    event.unknown = Unknown::default();
                }
                Self { event, overlay: None }
            }
            _ => Self { event, overlay: None },
        }
    }

    /// Whether it is a message that was deleted.
    fn is_deleted(&self) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.deleted)
    }

    /// The seq of the message whose overlay belongs to this event.
    pub fn overlay_key(event: &Event) -> Option<u64> {
        match event.body {
            Body::Message(_) | Body::Other => Some(event.seq),
            Body::MessageEdited { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// Messages as they stood at an earlier seq, folded from the log: what a reader may see whose
/// time ended there. A deletion applies whenever it was.
#[derive(Debug)]
pub struct PastForms {
    until: u64,
    /// The messages that were changed since: as they were sent, and their form so far.
    messages: BTreeMap<u64, (Option<Event>, Overlay)>,
    /// The forms of messages before this seq are given up.
    withheld_before: u64,
}

impl PastForms {
    /// The forms at `until` of those `entries` that were changed since.
    ///
    /// Returns `None` where there are none, as nearly always.
    pub fn of(entries: &[Entry], until: u64) -> Option<Self> {
        let changed = |entry: &&Entry| entry.overlay.as_ref().is_some_and(|overlay| overlay.changed > until);
        if !entries.iter().any(|entry| changed(&entry)) {
            return None;
        }
        let kept = entries.iter().filter(changed).filter(|entry| !entry.is_deleted());
        let messages = kept.map(|entry| (entry.event.seq, (None, Overlay::default()))).collect();
        Some(Self { until, messages, withheld_before: 0 })
    }

    /// Gives up the forms of messages before `seq`, which then need no events: they are shown as
    /// deleted. Neither their present form nor an earlier one is the reader's to see.
    pub fn withhold_before(&mut self, seq: u64) {
        self.messages = self.messages.split_off(&seq);
        self.withheld_before = seq;
    }

    /// The events that have to be folded in; `None` if none.
    pub fn needed(&self) -> Option<SeqRange> {
        let from = *self.messages.keys().next()?;
        Some(SeqRange { from, to: self.until })
    }

    /// Folds in an event as it was decided; they come by rising seq.
    pub fn fold(&mut self, event: &Event) {
        if event.seq > self.until {
            return;
        }
        if let Some((sent, _)) = self.messages.get_mut(&event.seq) {
            *sent = Some(event.clone());
        }
        if let Some((_, overlay)) = event.body.target().and_then(|target| self.messages.get_mut(&target)) {
            overlay.apply(event);
        }
    }

    /// Puts the forms in the place of the present ones. A message whose own event was not
    /// folded in is left out.
    pub fn put(mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let put = |mut entry: Entry| match entry.overlay.as_mut() {
            Some(overlay) if overlay.changed > self.until => {
                if overlay.deleted {
                    overlay.changed = self.until;
                    return Some(entry);
                }
                if entry.event.seq < self.withheld_before {
                    let deleted = Overlay { changed: self.until, deleted: true, ..Overlay::default() };
                    return Some(Entry::merge(entry.event, Some(deleted)));
                }
                let (sent, overlay) = self.messages.remove(&entry.event.seq)?;
                Some(Entry::merge(sent?, (overlay.changed > 0).then_some(overlay)))
            }
            _ => Some(entry),
        };
        entries.into_iter().filter_map(put).collect()
    }
}
