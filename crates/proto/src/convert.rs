//! Between the contract and the core types.

use parlance_core as core;
use parlance_core::plant::{self, Plant};
use parlance_core::{Body, Emoji, Entry, RequestId, Text, Title, Topic, Unknown, UserId};
use prost_types::Timestamp;

use crate::storage::v1::ChunkRecord;
use crate::v1;

/// A moment as the contract has it.
pub fn timestamp(at: core::Timestamp) -> Timestamp {
    Timestamp { seconds: (at.0 / 1000) as i64, nanos: (at.0 % 1000) as i32 * 1_000_000 }
}

fn millis(at: &Timestamp) -> core::Timestamp {
    core::Timestamp(at.seconds as u64 * 1000 + at.nanos as u64 / 1_000_000)
}

/// A kind of room.
pub fn room_kind(kind: core::RoomKind) -> v1::RoomKind {
    match kind {
        core::RoomKind::Direct => v1::RoomKind::Direct,
        core::RoomKind::Group => v1::RoomKind::Group,
        core::RoomKind::Channel => v1::RoomKind::Channel,
    }
}

/// A kind of room, if it is a known one.
pub fn room_kind_from(kind: v1::RoomKind) -> Option<core::RoomKind> {
    match kind {
        v1::RoomKind::Unspecified => None,
        v1::RoomKind::Direct => Some(core::RoomKind::Direct),
        v1::RoomKind::Group => Some(core::RoomKind::Group),
        v1::RoomKind::Channel => Some(core::RoomKind::Channel),
    }
}

/// A role.
pub fn role(role: core::Role) -> v1::Role {
    match role {
        core::Role::Member => v1::Role::Member,
        core::Role::Admin => v1::Role::Admin,
        core::Role::Owner => v1::Role::Owner,
    }
}

/// A role, if it is a known one.
pub fn role_from(role: v1::Role) -> Option<core::Role> {
    match role {
        v1::Role::Unspecified => None,
        v1::Role::Member => Some(core::Role::Member),
        v1::Role::Admin => Some(core::Role::Admin),
        v1::Role::Owner => Some(core::Role::Owner),
    }
}

/// Visibility of history.
pub fn visibility(visibility: core::Visibility) -> v1::HistoryVisibility {
    match visibility {
        core::Visibility::SinceJoined => v1::HistoryVisibility::SinceJoined,
        core::Visibility::All => v1::HistoryVisibility::All,
    }
}

/// A kind of room as it was stored. Any that this version does not know is closed to all but
/// those who were added.
pub fn stored_kind(kind: i32) -> core::RoomKind {
    v1::RoomKind::try_from(kind).ok().and_then(room_kind_from).unwrap_or(core::RoomKind::Group)
}

/// A role as it was stored. Any that this version does not know grants nothing beyond membership.
pub fn stored_role(role: i32) -> core::Role {
    v1::Role::try_from(role).ok().and_then(role_from).unwrap_or(core::Role::Member)
}

/// Visibility of history as it was stored. Any that this version does not know opens nothing of
/// the past.
pub fn stored_visibility(visibility: i32) -> core::Visibility {
    let known = v1::HistoryVisibility::try_from(visibility).ok().and_then(visibility_from);
    known.unwrap_or(core::Visibility::SinceJoined)
}

/// Visibility of history, if it is said.
pub fn visibility_from(visibility: v1::HistoryVisibility) -> Option<core::Visibility> {
    match visibility {
        v1::HistoryVisibility::Unspecified => None,
        v1::HistoryVisibility::SinceJoined => Some(core::Visibility::SinceJoined),
        v1::HistoryVisibility::All => Some(core::Visibility::All),
    }
}

/// Settings.
pub fn settings(settings: &core::Settings) -> v1::RoomSettings {
    v1::RoomSettings {
        title: settings.title.as_str().to_owned(),
        topic: settings.topic.as_str().to_owned(),
        history_visibility: visibility(settings.visibility).into(),
    }
}

/// Settings of an event, if they can be interpreted.
fn settings_from(settings: &v1::RoomSettings) -> Option<core::Settings> {
    Some(core::Settings {
        title: Title::parse(&settings.title).ok()?,
        topic: Topic::parse(&settings.topic).ok()?,
        visibility: stored_visibility(settings.history_visibility),
    })
}

/// Settings as they stand beside the log: whatever a later version lets them be.
pub fn stored_settings(settings: &v1::RoomSettings) -> core::Settings {
    core::Settings {
        title: Title::stored(&settings.title),
        topic: Topic::stored(&settings.topic),
        visibility: stored_visibility(settings.history_visibility),
    }
}

/// A room with its head.
pub fn room(info: &core::RoomInfo, head: core::Head) -> v1::Room {
    v1::Room {
        room_id: info.id.as_str().to_owned(),
        kind: room_kind(info.kind).into(),
        settings: Some(settings(&info.settings)),
        created_at: Some(timestamp(info.created_at)),
        created_by: info.created_by.as_str().to_owned(),
        head_seq: head.seq(),
        message_count: head.message_count(),
        member_count: head.member_count(),
        floor_seq: info.floor,
        epoch: info.epoch,
    }
}

/// A member.
pub fn member(member: &core::Member) -> v1::Member {
    v1::Member {
        user_id: member.user.as_str().to_owned(),
        role: role(member.role).into(),
        intervals: member.intervals.iter().map(interval).collect(),
        active: member.is_active(),
        standing: standing(member.standing).into(),
    }
}

/// Whether someone may come back.
pub fn standing(standing: core::Standing) -> v1::MemberStanding {
    match standing {
        core::Standing::Free => v1::MemberStanding::Unspecified,
        core::Standing::Removed => v1::MemberStanding::Removed,
        core::Standing::Banned => v1::MemberStanding::Banned,
    }
}

/// Whether someone may come back, as it was stored. What a later version says is taken for a
/// removal: neither open to all nor closed for good.
pub fn standing_from(standing: i32) -> core::Standing {
    match v1::MemberStanding::try_from(standing) {
        Ok(v1::MemberStanding::Unspecified) => core::Standing::Free,
        Ok(v1::MemberStanding::Removed) | Err(_) => core::Standing::Removed,
        Ok(v1::MemberStanding::Banned) => core::Standing::Banned,
    }
}

/// An interval of membership.
pub fn interval(interval: &core::Interval) -> v1::MembershipInterval {
    v1::MembershipInterval {
        joined_seq: interval.joined,
        left_seq: interval.left.unwrap_or(0),
        history_visibility: interval.visibility.map_or(0, |then| visibility(then).into()),
    }
}

/// An interval as it was stored.
pub fn interval_from(interval: &v1::MembershipInterval) -> core::Interval {
    core::Interval {
        joined: interval.joined_seq,
        left: (interval.left_seq != 0).then_some(interval.left_seq),
        visibility: match interval.history_visibility {
            0 => None,
            then => Some(stored_visibility(then)),
        },
    }
}

/// A read mark.
pub fn read_mark(mark: core::Mark) -> v1::ReadMark {
    v1::ReadMark { seq: mark.seq, message_count: mark.message_count }
}

/// An outcome.
pub fn outcome(outcome: &core::Outcome) -> v1::Outcome {
    v1::Outcome {
        seq: outcome.first,
        last_seq: outcome.last,
        is_repeat: outcome.is_repeat,
        at: Some(timestamp(outcome.at)),
    }
}

/// Reactions, in the order of their emoji.
pub fn reactions(overlay: &core::Overlay) -> Vec<v1::Reaction> {
    let reactions = overlay.reactions.iter();
    reactions
        .map(|(emoji, users)| v1::Reaction {
            emoji: emoji.as_str().to_owned(),
            user_ids: users.iter().map(|user| user.as_str().to_owned()).collect(),
        })
        .collect()
}

/// The body of an event, if it is of a known kind.
fn body(body: &Body) -> Option<v1::event::Body> {
    use v1::event::Body as Wire;
    let user_id = |user: &UserId| user.as_str().to_owned();
    Some(match body {
        Body::Other => return None,
        Body::RoomCreated { kind, settings: s } => {
            Wire::RoomCreated(v1::RoomCreated { kind: room_kind(*kind).into(), settings: Some(settings(s)) })
        }
        Body::RoomChanged { settings: s } => {
            Wire::RoomChanged(v1::RoomChanged { settings: Some(settings(s)) })
        }
        Body::MemberAdded { user, role: r } => {
            Wire::MemberAdded(v1::MemberAdded { user_id: user_id(user), role: role(*r).into() })
        }
        Body::MemberRemoved { user } => Wire::MemberRemoved(v1::MemberRemoved { user_id: user_id(user) }),
        Body::MemberBanned { user } => Wire::MemberBanned(v1::MemberBanned { user_id: user_id(user) }),
        Body::MemberUnbanned { user } => Wire::MemberUnbanned(v1::MemberUnbanned { user_id: user_id(user) }),
        Body::RoleChanged { user, role: r } => {
            Wire::RoleChanged(v1::RoleChanged { user_id: user_id(user), role: role(*r).into() })
        }
        Body::Message(message) => Wire::Message(v1::Message {
            text: message.text.as_str().to_owned(),
            reply_to_seq: message.reply_to.unwrap_or(0),
            ..Default::default()
        }),
        Body::MessageEdited { target, text } => {
            Wire::MessageEdited(v1::MessageEdited { target_seq: *target, text: text.as_str().to_owned() })
        }
        Body::MessageDeleted { target } => Wire::MessageDeleted(v1::MessageDeleted { target_seq: *target }),
        Body::ReactionAdded { target, emoji } => {
            Wire::ReactionAdded(v1::ReactionAdded { target_seq: *target, emoji: emoji.as_str().to_owned() })
        }
        Body::ReactionRemoved { target, emoji } => Wire::ReactionRemoved(v1::ReactionRemoved {
            target_seq: *target,
            emoji: emoji.as_str().to_owned(),
        }),
    })
}

/// An event as it was decided. `room_id` may be empty, for storing.
pub fn event(room_id: &str, event: &core::Event) -> v1::Event {
    v1::Event {
        room_id: room_id.to_owned(),
        seq: event.seq,
        at: Some(timestamp(event.at)),
        actor_id: event.actor.as_str().to_owned(),
        request_id: event.request.as_str().to_owned(),
        message_count: event.message_count,
        deleted_count: event.deleted_count,
        body: body(&event.body),
        raw: event.unknown.bytes().to_vec(),
    }
}

/// An event as it reads now.
pub fn entry(room_id: &str, entry: &Entry) -> v1::Event {
    let mut wire = event(room_id, &entry.event);
    if let (Some(v1::event::Body::Message(message)), Some(overlay)) = (&mut wire.body, &entry.overlay) {
        message.edited_at = overlay.edited.as_ref().map(|(_, at)| timestamp(*at));
        message.deleted = overlay.deleted;
        message.reactions = reactions(overlay);
        message.changed_seq = overlay.changed;
        wire.update_raw();
    }
    wire
}

/// An event as it was stored; `None` if it is damaged. What a later version wrote is not: a body
/// that cannot be interpreted is kept as it is.
pub fn event_from(mut wire: v1::Event) -> Option<core::Event> {
    let known = wire.body.as_ref().and_then(body_from);
    if plant::is(Plant::FromTheFuture) {
        wire.raw.clear();
        known.as_ref()?;
    }
    if known.is_none() || wire.has_unknown_values() {
        wire.keep_raw();
        if wire.raw.is_empty() {
            return None;
        }
    }
    Some(core::Event {
        seq: wire.seq,
        at: millis(wire.at.as_ref()?),
        actor: UserId::parse(&wire.actor_id).ok()?,
        request: RequestId::parse(&wire.request_id).ok()?,
        message_count: wire.message_count,
        deleted_count: wire.deleted_count,
        body: known.unwrap_or(Body::Other),
        unknown: Unknown::new(wire.raw),
    })
}

/// A body, if it can be interpreted.
fn body_from(wire: &v1::event::Body) -> Option<Body> {
    use v1::event::Body as Wire;
    Some(match wire {
        Wire::RoomCreated(created) => Body::RoomCreated {
            kind: stored_kind(created.kind),
            settings: settings_from(created.settings.as_ref()?)?,
        },
        Wire::RoomChanged(changed) => {
            Body::RoomChanged { settings: settings_from(changed.settings.as_ref()?)? }
        }
        Wire::MemberAdded(added) => {
            Body::MemberAdded { role: stored_role(added.role), user: UserId::parse(&added.user_id).ok()? }
        }
        Wire::MemberRemoved(removed) => Body::MemberRemoved { user: UserId::parse(&removed.user_id).ok()? },
        Wire::MemberBanned(banned) => Body::MemberBanned { user: UserId::parse(&banned.user_id).ok()? },
        Wire::MemberUnbanned(unbanned) => {
            Body::MemberUnbanned { user: UserId::parse(&unbanned.user_id).ok()? }
        }
        Wire::RoleChanged(changed) => {
            Body::RoleChanged { role: stored_role(changed.role), user: UserId::parse(&changed.user_id).ok()? }
        }
        Wire::Message(message) => Body::Message(core::Message {
            text: Text::parse(&message.text).ok()?,
            reply_to: (message.reply_to_seq != 0).then_some(message.reply_to_seq),
        }),
        Wire::MessageEdited(edited) => {
            Body::MessageEdited { target: edited.target_seq, text: Text::parse(&edited.text).ok()? }
        }
        Wire::MessageDeleted(deleted) => Body::MessageDeleted { target: deleted.target_seq },
        Wire::ReactionAdded(added) => {
            Body::ReactionAdded { target: added.target_seq, emoji: Emoji::parse(&added.emoji).ok()? }
        }
        Wire::ReactionRemoved(removed) => {
            Body::ReactionRemoved { target: removed.target_seq, emoji: Emoji::parse(&removed.emoji).ok()? }
        }
    })
}

/// A chunk as it is stored and published.
pub fn chunk(chunk: &core::Chunk) -> ChunkRecord {
    ChunkRecord {
        nonce: chunk.nonce().to_vec().into(),
        previous: chunk.previous().map(|previous| previous.to_vec().into()).unwrap_or_default(),
        events: chunk.events().iter().map(|chunk_event| event("", chunk_event)).collect(),
        message_count: chunk.head().message_count(),
        member_count: chunk.head().member_count(),
    }
}

/// A chunk, if it is one.
pub fn chunk_from(record: ChunkRecord) -> Option<core::Chunk> {
    let nonce = record.nonce.as_ref().try_into().ok()?;
    let previous = match record.previous.as_ref() {
        [] => None,
        previous => Some(previous.try_into().ok()?),
    };
    let events: Option<Vec<_>> = record.events.into_iter().map(event_from).collect();
    let chunk = core::Chunk::new(nonce, events?, record.message_count, record.member_count)?;
    Some(chunk.with_previous(previous))
}
