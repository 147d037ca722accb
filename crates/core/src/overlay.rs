use std::collections::{BTreeMap, BTreeSet};

use crate::{Body, Data, Emoji, Event, SeqRange, Text, Timestamp, Unknown, UserId};

/// The present form of a message that was edited, deleted or reacted to; or of a [`Body::MemberUpdated`] whose data is no
/// longer that of the member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlay {
    /// The event that last changed the message.
    pub changed: u64,
    /// The current text and when it was replaced.
    pub edited: Option<(Text, Timestamp)>,
    /// The current data, if an edit changed it.
    pub data: Option<Data>,
    /// It was deleted.
    pub deleted: bool,
    /// The users of each reaction.
    pub reactions: BTreeMap<Emoji, BTreeSet<UserId>>,
    /// Fields of the stored form written by a later version. Part of the content: kept until the
    /// message is deleted.
    pub unknown: Unknown,
}

impl Overlay {
    /// Whether an event in `range` deleted the message at `seq`, which lies in `range` as well.
    /// A deleted message never changes again.
    pub fn deleted_in(&self, range: SeqRange, seq: u64) -> bool {
        self.deleted && range.contains(seq) && range.contains(self.changed)
    }

    /// That of an event that set data which the event at `changed` has replaced or removed.
    pub fn outdated(changed: u64) -> Self {
        Self { changed, data: Some(Data::default()), ..Self::default() }
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

/// An event in its present form, as returned by history and catch-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event, without text that was deleted since.
    pub event: Event,
    /// For a message: its present form, if that differs from what was sent.
    pub overlay: Option<Overlay>,
}

impl Entry {
    /// Merges an event with the overlay of the message that it is or changes, so that deleted
    /// text is never sent again, neither in the message nor in its edits; nor data that a member
    /// no longer has.
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
            Body::MemberUpdated { data, .. } => {
                if overlay.is_some() {
                    *data = None;
                    event.unknown = Unknown::default();
                }
                Self { event, overlay: None }
            }
            Body::Other => {
                // The event may be a message of a kind that only later versions know, deleted
                // since.
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

    /// The seq of the message, or event, whose overlay belongs to this event.
    pub fn overlay_key(event: &Event) -> Option<u64> {
        match event.body {
            Body::Message(_) | Body::MemberUpdated { .. } | Body::Other => Some(event.seq),
            Body::MessageEdited { target, .. } => Some(target),
            _ => None,
        }
    }
}

/// Messages as they were at an earlier seq, folded from the log: what a reader may see whose
/// membership ended there. Deletions apply regardless of when they happened.
#[derive(Debug)]
pub struct PastForms {
    until: u64,
    /// Messages that were changed later: the original, and the form folded so far.
    messages: BTreeMap<u64, (Option<Event>, Overlay)>,
    /// Forms of messages before this seq are withheld.
    withheld_before: u64,
}

impl PastForms {
    /// Collects the entries of `entries` that were changed after `until`.
    ///
    /// Returns `None` if there are none, which is the usual case.
    pub fn of(entries: &[Entry], until: u64) -> Option<Self> {
        let changed = |entry: &&Entry| entry.overlay.as_ref().is_some_and(|overlay| overlay.changed > until);
        if !entries.iter().any(|entry| changed(&entry)) {
            return None;
        }
        let kept = entries.iter().filter(changed).filter(|entry| !entry.is_deleted());
        let messages = kept.map(|entry| (entry.event.seq, (None, Overlay::default()))).collect();
        Some(Self { until, messages, withheld_before: 0 })
    }

    /// Withholds messages before `seq`, which then need no events and are shown as deleted: the
    /// reader may see neither their present form nor an earlier one.
    pub fn withhold_before(&mut self, seq: u64) {
        self.messages = self.messages.split_off(&seq);
        self.withheld_before = seq;
    }

    /// The events to fold in; `None` if none.
    pub fn needed(&self) -> Option<SeqRange> {
        let from = *self.messages.keys().next()?;
        Some(SeqRange { from, to: self.until })
    }

    /// Folds in an event as it was decided. Call it in ascending order of seq.
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

    /// Replaces the present forms by the folded ones. A message whose own event was not folded
    /// in is left out.
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
