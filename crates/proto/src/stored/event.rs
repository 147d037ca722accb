use bytes::Bytes;
use parlance_core as core;
use parlance_core::{Body, Emoji, MessageKind, Reason, RequestId, Text, Unknown, UserId};
use prost::Message;
use prost_types::Timestamp;

use super::values::{kind, kind_from, parse_settings, role, role_from, settings};
use crate::data;
use crate::event::fields_from;
use crate::storage::v1;
use crate::storage::v1::event::Body as Stored;

/// The field number of the first kind of body; the fields below it are common to all events.
const FIRST_BODY: u32 = 9; // format

/// Converts the body of an event, unless it is of an unknown kind.
fn body(body: &Body) -> Option<Stored> {
    let user_id = |user: &UserId| user.as_str().to_owned();
    Some(match body {
        Body::Other => return None,
        Body::RoomCreated { kind: k, settings: s } => {
            Stored::RoomCreated(v1::RoomCreated { kind: kind(*k), settings: Some(settings(s)) })
        }
        Body::RoomChanged { settings: s } => {
            Stored::RoomChanged(v1::RoomChanged { settings: Some(settings(s)) })
        }
        Body::MemberAdded { user, role: r, link } => Stored::MemberAdded(v1::MemberAdded {
            user_id: user_id(user),
            role: role(*r),
            link_seq: link.unwrap_or(0),
        }),
        Body::MemberRemoved { user } => Stored::MemberRemoved(v1::MemberRemoved { user_id: user_id(user) }),
        Body::MemberBanned { user, until, reason } => Stored::MemberBanned(v1::MemberBanned {
            user_id: user_id(user),
            until: until.map(timestamp),
            reason: reason.as_str().to_owned(),
        }),
        Body::MemberMuted { user, until, reason } => Stored::MemberMuted(v1::MemberMuted {
            user_id: user_id(user),
            until: until.map(timestamp),
            reason: reason.as_str().to_owned(),
        }),
        Body::MemberUnmuted { user } => Stored::MemberUnmuted(v1::MemberUnmuted { user_id: user_id(user) }),
        Body::MemberInvited { user, until } => Stored::MemberInvited(v1::MemberInvited {
            user_id: user_id(user),
            until: Some(timestamp(*until)),
        }),
        Body::InvitationEnded { user } => {
            Stored::InvitationEnded(v1::InvitationEnded { user_id: user_id(user) })
        }
        Body::MemberUnbanned { user } => {
            Stored::MemberUnbanned(v1::MemberUnbanned { user_id: user_id(user) })
        }
        Body::LinkCreated { until, max_uses } => Stored::InvitationLinkCreated(v1::InvitationLinkCreated {
            until: Some(timestamp(*until)),
            max_uses: *max_uses,
        }),
        Body::LinkRevoked { link } => {
            Stored::InvitationLinkRevoked(v1::InvitationLinkRevoked { link_seq: *link })
        }
        Body::JoinRequested { user, until } => Stored::JoinRequested(v1::JoinRequested {
            user_id: user_id(user),
            until: Some(timestamp(*until)),
        }),
        Body::JoinRequestEnded { user } => {
            Stored::JoinRequestEnded(v1::JoinRequestEnded { user_id: user_id(user) })
        }
        Body::MemberUpdated { user, data } => Stored::MemberUpdated(v1::MemberUpdated {
            user_id: user_id(user),
            data: data.as_ref().map(data::whole_struct),
        }),
        Body::RoleChanged { user, role: r } => {
            Stored::RoleChanged(v1::RoleChanged { user_id: user_id(user), role: role(*r) })
        }
        Body::Message(message) => Stored::Message(v1::Message {
            text: message.text.as_str().to_owned(),
            reply_to_seq: message.reply_to.unwrap_or(0),
            kind: message.kind.to_string(),
            data: data::to_struct(&message.data),
            sent_at: message.imported.map(|imported| timestamp(imported.sent_at)),
            import_number: message.imported.map_or(0, |imported| imported.number),
            mentions_all: message.mentions_all,
        }),
        Body::MessageEdited { target, text, data } => Stored::MessageEdited(v1::MessageEdited {
            target_seq: *target,
            text: text.as_str().to_owned(),
            data: data.as_ref().map(data::whole_struct),
        }),
        Body::RoomDeleted => Stored::RoomDeleted(v1::RoomDeleted {}),
        Body::MessageDeleted { target } => Stored::MessageDeleted(v1::MessageDeleted { target_seq: *target }),
        Body::ReactionAdded { target, emoji } => {
            Stored::ReactionAdded(v1::ReactionAdded { target_seq: *target, emoji: emoji.as_str().to_owned() })
        }
        Body::ReactionRemoved { target, emoji } => Stored::ReactionRemoved(v1::ReactionRemoved {
            target_seq: *target,
            emoji: emoji.as_str().to_owned(),
        }),
    })
}

/// Parses a body, if this version can interpret it.
fn body_from(body: &Stored) -> Option<Body> {
    let user = |id: &str| UserId::parse(id).ok();
    Some(match body {
        Stored::RoomCreated(created) => Body::RoomCreated {
            kind: kind_from(created.kind),
            settings: parse_settings(created.settings.as_ref())?,
        },
        Stored::RoomChanged(changed) => {
            Body::RoomChanged { settings: parse_settings(changed.settings.as_ref())? }
        }
        Stored::MemberAdded(added) => {
            let link = (added.link_seq != 0).then_some(added.link_seq);
            Body::MemberAdded { role: role_from(added.role), user: user(&added.user_id)?, link }
        }
        Stored::MemberRemoved(removed) => Body::MemberRemoved { user: user(&removed.user_id)? },
        Stored::MemberBanned(banned) => Body::MemberBanned {
            user: user(&banned.user_id)?,
            until: banned.until.map(timestamp_from),
            reason: Reason::parse(&banned.reason).ok()?,
        },
        Stored::MemberMuted(muted) => Body::MemberMuted {
            user: user(&muted.user_id)?,
            until: muted.until.map(timestamp_from),
            reason: Reason::parse(&muted.reason).ok()?,
        },
        Stored::MemberUnmuted(unmuted) => Body::MemberUnmuted { user: user(&unmuted.user_id)? },
        Stored::MemberInvited(invited) => {
            Body::MemberInvited { user: user(&invited.user_id)?, until: timestamp_from(invited.until?) }
        }
        Stored::InvitationEnded(ended) => Body::InvitationEnded { user: user(&ended.user_id)? },
        Stored::InvitationLinkCreated(made) => {
            Body::LinkCreated { until: timestamp_from(made.until?), max_uses: made.max_uses }
        }
        Stored::InvitationLinkRevoked(revoked) => Body::LinkRevoked { link: revoked.link_seq },
        Stored::JoinRequested(asked) => {
            Body::JoinRequested { user: user(&asked.user_id)?, until: timestamp_from(asked.until?) }
        }
        Stored::JoinRequestEnded(ended) => Body::JoinRequestEnded { user: user(&ended.user_id)? },
        Stored::MemberUnbanned(unbanned) => Body::MemberUnbanned { user: user(&unbanned.user_id)? },
        Stored::MemberUpdated(updated) => Body::MemberUpdated {
            user: user(&updated.user_id)?,
            data: updated.data.as_ref().map(data::stored),
        },
        Stored::RoleChanged(changed) => {
            Body::RoleChanged { role: role_from(changed.role), user: user(&changed.user_id)? }
        }
        Stored::Message(message) => {
            let kind = MessageKind::parse(&message.kind).ok()?;
            Body::Message(core::Message {
                text: text(&message.text, kind.may_be_blank())?,
                reply_to: (message.reply_to_seq != 0).then_some(message.reply_to_seq),
                kind,
                data: message.data.as_ref().map(data::stored).unwrap_or_default(),
                imported: message.sent_at.map(|sent_at| core::Imported {
                    number: message.import_number,
                    sent_at: timestamp_from(sent_at),
                }),
                mentions_all: message.mentions_all,
            })
        }
        Stored::MessageEdited(edited) => Body::MessageEdited {
            target: edited.target_seq,
            // The kind of message decides whether it may be empty, and is stored in the message
            // itself.
            text: text(&edited.text, true)?,
            data: edited.data.as_ref().map(data::stored),
        },
        Stored::RoomDeleted(_) => Body::RoomDeleted,
        Stored::MessageDeleted(deleted) => Body::MessageDeleted { target: deleted.target_seq },
        Stored::ReactionAdded(added) => {
            Body::ReactionAdded { target: added.target_seq, emoji: Emoji::parse(&added.emoji).ok()? }
        }
        Stored::ReactionRemoved(removed) => {
            Body::ReactionRemoved { target: removed.target_seq, emoji: Emoji::parse(&removed.emoji).ok()? }
        }
    })
}

/// Parses a text, if this version can interpret it.
fn text(text: &str, may_be_empty: bool) -> Option<Text> {
    if may_be_empty && text.is_empty() { Some(Text::empty()) } else { Text::parse(text).ok() }
}

/// Whether an enum in the body has a value that this version does not know.
fn has_unknown_values(body: &Stored) -> bool {
    let settings = |settings: Option<&v1::RoomSettings>| {
        settings.is_some_and(|settings| {
            let roles = settings
                .permissions
                .as_ref()
                .map(|p| [p.post, p.react, p.invite, p.edit_settings, p.delete_messages, p.mention_all]);
            v1::HistoryVisibility::try_from(settings.history_visibility).is_err()
                || v1::RoomJoining::try_from(settings.joining).is_err()
                || roles.is_some_and(|roles| roles.iter().any(|role| v1::Role::try_from(*role).is_err()))
        })
    };
    match body {
        Stored::RoomCreated(created) => {
            v1::RoomKind::try_from(created.kind).is_err() || settings(created.settings.as_ref())
        }
        Stored::RoomChanged(changed) => settings(changed.settings.as_ref()),
        Stored::MemberAdded(added) => v1::Role::try_from(added.role).is_err(),
        Stored::RoleChanged(changed) => v1::Role::try_from(changed.role).is_err(),
        _ => false,
    }
}

fn timestamp(at: core::Timestamp) -> Timestamp {
    Timestamp { seconds: (at.0 / 1000) as i64, nanos: (at.0 % 1000) as i32 * 1_000_000 }
}

fn timestamp_from(at: Timestamp) -> core::Timestamp {
    core::Timestamp(at.seconds as u64 * 1000 + at.nanos as u64 / 1_000_000)
}

/// Encodes an event.
pub fn encode_event(event: &core::Event) -> Bytes {
    let unknown = event.unknown.bytes();
    let record = v1::Event {
        seq: event.seq,
        at: Some(timestamp(event.at)),
        actor_id: event.actor.as_str().to_owned(),
        request_id: event.request.as_str().to_owned(),
        message_count: event.message_count,
        deleted_count: event.deleted_count,
        service_id: event.service.as_ref().map(|service| service.as_str().to_owned()).unwrap_or_default(),
        // The unknown bytes include the body.
        body: if unknown.is_empty() { body(&event.body) } else { None },
    };
    let mut bytes = Vec::with_capacity(record.encoded_len() + unknown.len());
    record.encode_raw(&mut bytes);
    bytes.extend_from_slice(unknown);
    bytes.into()
}

/// Decodes an event; `None` if it is damaged. A body that cannot be interpreted is kept
/// unchanged.
pub fn decode_event(bytes: &[u8]) -> Option<core::Event> {
    let record = v1::Event::decode(bytes).ok()?;
    let known = record.body.as_ref().and_then(body_from);
    let is_whole = known.is_some()
        && record.encoded_len() == bytes.len()
        && !record.body.as_ref().is_some_and(has_unknown_values);
    let unknown = if is_whole { Vec::new() } else { fields_from(bytes, FIRST_BODY) };
    if known.is_none() && unknown.is_empty() {
        return None;
    }
    let at = record.at?;
    Some(core::Event {
        seq: record.seq,
        at: timestamp_from(at),
        actor: UserId::parse(&record.actor_id).ok()?,
        request: RequestId::parse(&record.request_id).ok()?,
        message_count: record.message_count,
        deleted_count: record.deleted_count,
        service: match record.service_id.as_str() {
            "" => None,
            id => Some(UserId::parse(id).ok()?),
        },
        body: known.unwrap_or(Body::Other),
        unknown: Unknown::new(unknown),
    })
}
