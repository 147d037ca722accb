//! Messages in their current form.

use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use prost_types::Struct;

/// A message in its current form.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its position in the room.
    pub seq: u64,
    /// The sender.
    pub sender_id: String,
    /// The sender's id for it.
    pub client_message_id: String,
    /// Empty: text that a user wrote. `system`: a message of the app. `custom:` and a name: a kind that the app defines.
    /// Show the text of kinds that you do not know.
    pub kind: String,
    /// Its text; empty once it is deleted.
    pub text: String,
    /// Data of the app.
    pub data: Option<Struct>,
    /// When it was sent, milliseconds since 1970.
    pub at_millis: i64,
    /// When its text was last replaced, milliseconds since 1970.
    pub edited_at_millis: Option<i64>,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// The message that it answers.
    pub reply_to_seq: Option<u64>,
    /// Whether it mentions everyone in the room: for its reader like a mention of them.
    pub mentions_all: bool,
    /// Reactions, sorted by emoji.
    pub reactions: Vec<Reaction>,
    /// The event that last changed it; 0 if none did.
    pub changed_seq: u64,
}

/// An emoji, and the users who reacted with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// The users, in order of their reactions.
    pub user_ids: Vec<String>,
}

impl Message {
    /// The message of an event, in its original or present form.
    pub(super) fn of(event: &v1::Event) -> Option<Self> {
        let Some(Body::Message(message)) = &event.body else { return None };
        let reactions = message
            .reactions
            .iter()
            .map(|reaction| Reaction { emoji: reaction.emoji.clone(), user_ids: reaction.user_ids.clone() });
        Some(Self {
            seq: event.seq,
            sender_id: event.actor_id.clone(),
            client_message_id: event.request_id.clone(),
            kind: message.kind.clone(),
            text: message.text.clone(),
            data: message.data.clone(),
            at_millis: event.at.as_ref().map_or(0, millis),
            edited_at_millis: message.edited_at.as_ref().map(millis),
            is_deleted: message.deleted,
            reply_to_seq: Some(message.reply_to_seq).filter(|seq| *seq != 0),
            mentions_all: message.mentions_all,
            reactions: reactions.collect(),
            changed_seq: message.changed_seq,
        })
    }

    /// Applies a change to this message, unless it is already included. Returns whether it
    /// was not.
    pub(super) fn change(&mut self, event: &v1::Event) -> bool {
        if event.seq <= self.changed_seq {
            return false;
        }
        match &event.body {
            Some(Body::MessageEdited(edited)) if !self.is_deleted => {
                self.text.clone_from(&edited.text);
                if edited.data.is_some() {
                    self.data.clone_from(&edited.data);
                }
                self.edited_at_millis = Some(event.at.as_ref().map_or(0, millis));
            }
            Some(Body::MessageDeleted(_)) => {
                self.text.clear();
                self.data = None;
                self.reactions.clear();
                self.is_deleted = true;
            }
            Some(Body::ReactionAdded(added)) => self.react(&added.emoji, &event.actor_id),
            Some(Body::ReactionRemoved(removed)) => self.unreact(&removed.emoji, &event.actor_id),
            _ => return false,
        }
        self.changed_seq = event.seq;
        true
    }

    pub(crate) fn react(&mut self, emoji: &str, user_id: &str) {
        let place = match self.reactions.iter().position(|reaction| is_same_emoji(&reaction.emoji, emoji)) {
            Some(place) => place,
            None => {
                let place = self.reactions.partition_point(|reaction| reaction.emoji.as_str() < emoji);
                self.reactions.insert(place, Reaction { emoji: emoji.to_owned(), user_ids: Vec::new() });
                place
            }
        };
        let users = &mut self.reactions[place].user_ids;
        users.retain(|user| user != user_id);
        users.push(user_id.to_owned());
    }

    pub(crate) fn unreact(&mut self, emoji: &str, user_id: &str) {
        for reaction in &mut self.reactions {
            if is_same_emoji(&reaction.emoji, emoji) {
                reaction.user_ids.retain(|user| user != user_id);
            }
        }
        self.reactions.retain(|reaction| !reaction.user_ids.is_empty());
    }
}

/// The message that an event changes; `None` for events that change none.
pub(super) fn target_of(event: &v1::Event) -> Option<u64> {
    Some(match event.body.as_ref()? {
        Body::MessageEdited(edited) => edited.target_seq,
        Body::MessageDeleted(deleted) => deleted.target_seq,
        Body::ReactionAdded(added) => added.target_seq,
        Body::ReactionRemoved(removed) => removed.target_seq,
        _ => return None,
    })
}

/// Whether two reactions are equal: variation selectors are ignored, since keyboards differ
/// in them.
pub(crate) fn is_same_emoji(one: &str, other: &str) -> bool {
    let plain = |emoji: &str| -> Vec<char> {
        emoji.chars().filter(|character| !matches!(character, '\u{fe0e}' | '\u{fe0f}')).collect()
    };
    one == other || plain(one) == plain(other)
}

pub(super) fn millis(at: &prost_types::Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000)
}
