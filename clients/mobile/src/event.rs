//! Updates, in the types of the bindings.
#![forbid(unsafe_code)]

use std::time::Duration;

use parlance_client::v1;
use parlance_client::v1::event::Body;

use crate::json;

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The room.
    pub room_id: String,
    /// The position in its log.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_millis: u64,
    /// Who caused it.
    pub actor_id: String,
    /// The actor's own id for the request.
    pub request_id: String,
    /// Messages up to here.
    pub message_count: u64,
    /// Deleted ones among them.
    pub deleted_count: u64,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    /// A message was sent.
    Message {
        /// The text.
        text: String,
        /// The message that this one replies to; 0: none.
        reply_to_seq: u64,
        /// Whether it was deleted.
        deleted: bool,
        /// When the text was last replaced.
        edited_at_millis: Option<u64>,
        /// Reactions.
        reactions: Vec<Reaction>,
        /// The app's own kind.
        kind: String,
        /// The app's own data.
        data_json: Option<String>,
        /// The event that last changed it; 0: none.
        changed_seq: u64,
        /// Whether it mentions everyone in the room.
        mentions_all: bool,
    },
    /// A message has another text.
    MessageEdited {
        /// The message.
        target_seq: u64,
        /// The text.
        text: String,
        /// All of its data after the edit, if that changed it.
        data_json: Option<String>,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The message.
        target_seq: u64,
    },
    /// A reaction was added.
    ReactionAdded {
        /// The message.
        target_seq: u64,
        /// The emoji.
        emoji: String,
    },
    /// A reaction was removed.
    ReactionRemoved {
        /// The message.
        target_seq: u64,
        /// The emoji.
        emoji: String,
    },
    /// Someone became a member.
    MemberAdded {
        /// Who.
        user_id: String,
    },
    /// Someone is no longer a member.
    MemberRemoved {
        /// Who.
        user_id: String,
    },
    /// Everything else.
    Other {
        /// The whole event.
        json: String,
    },
}

/// One emoji on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who reacted with it.
    pub user_ids: Vec<String>,
}

/// A page of a room's log.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page starts; 0: this was the last one.
    pub next_from_seq: u64,
}

/// Events that exist but are not pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The room.
    pub room_id: String,
    /// The first one.
    pub from_seq: u64,
    /// The last one; 0: no end yet.
    pub to_seq: u64,
    /// Why.
    pub reason: GapReason,
}

/// Why events are not pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in the contract")]
pub enum GapReason {
    TooLong,
    AcknowledgedElsewhere,
    Retention,
    NotMember,
    Restored,
    Unreadable,
    Unknown,
}

/// Something that is not in any log.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// A user is typing.
    Typing {
        /// The room.
        room_id: String,
        /// The user.
        user_id: String,
        /// How long to show it.
        expires_after_millis: u64,
    },
    /// A user came online or went offline.
    Presence {
        /// The user.
        user_id: String,
        /// Whether they are online.
        online: bool,
    },
    /// Everything else.
    Other {
        /// The whole signal.
        json: String,
    },
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Being established.
    Connecting,
    /// Operations are sent and events arrive.
    Online {
        /// The user of the token.
        user_id: String,
    },
    /// The next attempt follows by itself.
    Waiting {
        /// Why it was lost.
        error: Option<String>,
        /// Until the next attempt.
        retry_in_millis: u64,
    },
    /// Disconnected by the app.
    Background,
    /// Over for good.
    Ended {
        /// Why.
        error: String,
    },
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        let body = body_of(&event);
        Self {
            at_millis: event.at.as_ref().map(at_millis).unwrap_or_default(),
            room_id: event.room_id,
            seq: event.seq,
            actor_id: event.actor_id,
            request_id: event.request_id,
            message_count: event.message_count,
            deleted_count: event.deleted_count,
            body,
        }
    }
}

fn body_of(event: &v1::Event) -> EventBody {
    match event.body.clone() {
        Some(Body::Message(message)) => EventBody::Message {
            text: message.text,
            reply_to_seq: message.reply_to_seq,
            deleted: message.deleted,
            edited_at_millis: message.edited_at.as_ref().map(at_millis),
            reactions: message.reactions.into_iter().map(Reaction::from).collect(),
            kind: message.kind,
            changed_seq: message.changed_seq,
            data_json: message.data.as_ref().and_then(data_json),
            mentions_all: message.mentions_all,
        },
        Some(Body::MessageEdited(edited)) => {
            let data_json = edited.data.as_ref().and_then(data_json);
            EventBody::MessageEdited { target_seq: edited.target_seq, text: edited.text, data_json }
        }
        Some(Body::MessageDeleted(deleted)) => EventBody::MessageDeleted { target_seq: deleted.target_seq },
        Some(Body::ReactionAdded(added)) => {
            EventBody::ReactionAdded { target_seq: added.target_seq, emoji: added.emoji }
        }
        Some(Body::ReactionRemoved(removed)) => {
            EventBody::ReactionRemoved { target_seq: removed.target_seq, emoji: removed.emoji }
        }
        Some(Body::MemberAdded(added)) => EventBody::MemberAdded { user_id: added.user_id },
        Some(Body::MemberRemoved(removed)) => EventBody::MemberRemoved { user_id: removed.user_id },
        _ => EventBody::Other { json: json::write("parlance.v1.Event", event).unwrap_or_default() },
    }
}

/// `None` if it has no JSON form: JSON cannot express numbers that are not finite.
fn data_json(data: &prost_types::Struct) -> Option<String> {
    json::write("google.protobuf.Struct", data).ok()
}

impl From<v1::Reaction> for Reaction {
    fn from(reaction: v1::Reaction) -> Self {
        Self { emoji: reaction.emoji, user_ids: reaction.user_ids }
    }
}

impl From<v1::Gap> for Gap {
    fn from(gap: v1::Gap) -> Self {
        let reason = match gap.reason() {
            v1::GapReason::TooLong => GapReason::TooLong,
            v1::GapReason::AcknowledgedElsewhere => GapReason::AcknowledgedElsewhere,
            v1::GapReason::Retention => GapReason::Retention,
            v1::GapReason::NotMember => GapReason::NotMember,
            v1::GapReason::Restored => GapReason::Restored,
            v1::GapReason::Unreadable => GapReason::Unreadable,
            v1::GapReason::Unspecified => GapReason::Unknown,
        };
        Self { room_id: gap.room_id, from_seq: gap.from_seq, to_seq: gap.to_seq, reason }
    }
}

impl From<v1::Signal> for Signal {
    fn from(signal: v1::Signal) -> Self {
        use v1::signal::Signal as Kind;
        match signal.signal {
            Some(Kind::Typing(typing)) => Self::Typing {
                room_id: typing.room_id,
                user_id: typing.user_id,
                expires_after_millis: typing
                    .expires_after
                    .and_then(|after| Duration::try_from(after).ok())
                    .map(millis)
                    .unwrap_or_default(),
            },
            Some(Kind::Presence(presence)) => {
                Self::Presence { user_id: presence.user_id, online: presence.online }
            }
            signal => {
                let signal = v1::Signal { signal };
                Self::Other { json: json::write("parlance.v1.Signal", &signal).unwrap_or_default() }
            }
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn at_millis(at: &prost_types::Timestamp) -> u64 {
    let millis = at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000);
    u64::try_from(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_without_a_type_of_their_own_are_json() {
        let body = Some(Body::RoomDeleted(v1::RoomDeleted {}));
        let event = v1::Event { room_id: "a".to_owned(), seq: 7, body, ..v1::Event::default() };
        let EventBody::Other { json } = Event::from(event).body else { panic!("a type of its own") };
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["seq"].as_str(), json["roomDeleted"].is_object()), (Some("7"), true));
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(at_millis(&prost_types::Timestamp { seconds: 1, nanos: 999_999_999 }), 1_999);
        assert_eq!(at_millis(&prost_types::Timestamp { seconds: -1, nanos: 0 }), 0);
    }
}
