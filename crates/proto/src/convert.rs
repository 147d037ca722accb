//! Converts core types to the contract.

use parlance_core as core;
use parlance_core::{Body, Entry, UserId};
use prost_types::Timestamp;

use crate::{data, v1};

/// Converts a timestamp.
pub fn timestamp(at: core::Timestamp) -> Timestamp {
    Timestamp { seconds: (at.0 / 1000) as i64, nanos: (at.0 % 1000) as i32 * 1_000_000 }
}

/// The end of the year 9999, seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799; // format

/// Converts a timestamp; `None` for a time before 1970 or after 9999.
pub fn timestamp_from(at: &Timestamp) -> Option<core::Timestamp> {
    // JSON has no form for years of more than four digits, nor for more nanoseconds than a second has.
    let seconds = u64::try_from(at.seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)?;
    let nanos = u64::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(core::Timestamp(seconds * 1_000 + nanos / 1_000_000))
}

/// Converts a kind of room.
pub fn room_kind(kind: core::RoomKind) -> v1::RoomKind {
    match kind {
        core::RoomKind::Direct => v1::RoomKind::Direct,
        core::RoomKind::Group => v1::RoomKind::Group,
        core::RoomKind::Channel => v1::RoomKind::Channel,
    }
}

/// Parses a kind of room, if it is a known one.
pub fn room_kind_from(kind: v1::RoomKind) -> Option<core::RoomKind> {
    match kind {
        v1::RoomKind::Unspecified => None,
        v1::RoomKind::Direct => Some(core::RoomKind::Direct),
        v1::RoomKind::Group => Some(core::RoomKind::Group),
        v1::RoomKind::Channel => Some(core::RoomKind::Channel),
    }
}

/// Converts a role.
pub fn role(role: core::Role) -> v1::Role {
    match role {
        core::Role::Member => v1::Role::Member,
        core::Role::Admin => v1::Role::Admin,
        core::Role::Owner => v1::Role::Owner,
    }
}

/// Parses a role, if it is a known one.
pub fn role_from(role: v1::Role) -> Option<core::Role> {
    match role {
        v1::Role::Unspecified => None,
        v1::Role::Member => Some(core::Role::Member),
        v1::Role::Admin => Some(core::Role::Admin),
        v1::Role::Owner => Some(core::Role::Owner),
    }
}

/// Converts a history visibility.
pub fn visibility(visibility: core::Visibility) -> v1::HistoryVisibility {
    match visibility {
        core::Visibility::SinceJoined => v1::HistoryVisibility::SinceJoined,
        core::Visibility::All => v1::HistoryVisibility::All,
    }
}

/// Parses a history visibility, if it is set.
pub fn visibility_from(visibility: v1::HistoryVisibility) -> Option<core::Visibility> {
    match visibility {
        v1::HistoryVisibility::Unspecified => None,
        v1::HistoryVisibility::SinceJoined => Some(core::Visibility::SinceJoined),
        v1::HistoryVisibility::All => Some(core::Visibility::All),
    }
}

/// Converts how users join.
pub fn joining(joining: core::Joining) -> v1::RoomJoining {
    match joining {
        core::Joining::Usual => v1::RoomJoining::Unspecified,
        core::Joining::Open => v1::RoomJoining::Open,
        core::Joining::ByRequest => v1::RoomJoining::ByRequest,
        core::Joining::ByInvitation => v1::RoomJoining::ByInvitation,
    }
}

/// Parses how users join.
pub fn joining_from(joining: v1::RoomJoining) -> core::Joining {
    match joining {
        v1::RoomJoining::Unspecified => core::Joining::Usual,
        v1::RoomJoining::Open => core::Joining::Open,
        v1::RoomJoining::ByRequest => core::Joining::ByRequest,
        v1::RoomJoining::ByInvitation => core::Joining::ByInvitation,
    }
}

/// Converts settings.
pub fn settings(settings: &core::Settings) -> v1::RoomSettings {
    v1::RoomSettings {
        title: settings.title.as_str().to_owned(),
        topic: settings.topic.as_str().to_owned(),
        history_visibility: visibility(settings.visibility).into(),
        image_url: settings.image.as_str().to_owned(),
        data: data::to_struct(&settings.data),
        permissions: permissions(&settings.permissions),
        frozen: settings.frozen,
        slow_mode_seconds: settings.slow_mode,
        archived: settings.archived,
        listed: settings.listed,
        joining: joining(settings.joining).into(),
    }
}

/// Converts permissions; unset if all are the default.
pub fn permissions(permissions: &core::Permissions) -> Option<v1::RoomPermissions> {
    let lowest = |permission: Option<core::Role>| permission.map_or(0, |lowest| role(lowest).into());
    (*permissions != core::Permissions::default()).then(|| v1::RoomPermissions {
        post: lowest(permissions.post),
        react: lowest(permissions.react),
        invite: lowest(permissions.invite),
        edit_settings: lowest(permissions.edit),
        delete_messages: lowest(permissions.delete),
        mention_all: lowest(permissions.mention_all),
    })
}

/// Parses permissions, if all roles are known.
pub fn permissions_from(permissions: &v1::RoomPermissions) -> Option<core::Permissions> {
    let lowest = |role: i32| match v1::Role::try_from(role) {
        Ok(v1::Role::Unspecified) => Some(None),
        Ok(role) => role_from(role).map(Some),
        Err(_) => None,
    };
    Some(core::Permissions {
        post: lowest(permissions.post)?,
        react: lowest(permissions.react)?,
        invite: lowest(permissions.invite)?,
        edit: lowest(permissions.edit_settings)?,
        delete: lowest(permissions.delete_messages)?,
        mention_all: lowest(permissions.mention_all)?,
    })
}

/// Parses the name of a permission.
pub fn permission_from(permission: v1::RoomPermission) -> Option<core::Permission> {
    match permission {
        v1::RoomPermission::Unspecified => None,
        v1::RoomPermission::Post => Some(core::Permission::Post),
        v1::RoomPermission::React => Some(core::Permission::React),
        v1::RoomPermission::Invite => Some(core::Permission::Invite),
        v1::RoomPermission::EditSettings => Some(core::Permission::Edit),
        v1::RoomPermission::DeleteMessages => Some(core::Permission::Delete),
        v1::RoomPermission::MentionAll => Some(core::Permission::MentionAll),
    }
}

/// Converts a room with its head, without the permissions in force, which depend on the node.
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
        effective_permissions: None,
    }
}

/// Converts a member, without the profile.
pub fn member(member: &core::Member) -> v1::Member {
    v1::Member {
        user_id: member.user.as_str().to_owned(),
        role: role(member.role).into(),
        intervals: member.intervals.iter().map(interval).collect(),
        active: member.is_active(),
        standing: standing(member.standing).into(),
        banned_until: member.ban_ends.map(timestamp),
        mute: member.mute.map(|mute| v1::Mute { until: mute.until.map(timestamp) }),
        data: data::to_struct(&member.data.values),
        display_name: String::new(),
        image_url: String::new(),
    }
}

/// Converts a member's standing.
pub fn standing(standing: core::Standing) -> v1::MemberStanding {
    match standing {
        core::Standing::Free => v1::MemberStanding::Unspecified,
        core::Standing::Removed => v1::MemberStanding::Removed,
        core::Standing::Banned => v1::MemberStanding::Banned,
    }
}

/// Converts an interval of membership.
pub fn interval(interval: &core::Interval) -> v1::MembershipInterval {
    v1::MembershipInterval {
        joined_seq: interval.joined,
        left_seq: interval.left.unwrap_or(0),
        history_visibility: interval.visibility.map_or(0, |then| visibility(then).into()),
    }
}

/// Converts a read mark.
pub fn read_mark(mark: core::Mark) -> v1::ReadMark {
    v1::ReadMark { seq: mark.seq, message_count: mark.message_count }
}

/// Converts an outcome.
pub fn outcome(outcome: &core::Outcome) -> v1::Outcome {
    v1::Outcome {
        seq: outcome.first,
        last_seq: outcome.last,
        is_repeat: outcome.is_repeat,
        at: Some(timestamp(outcome.at)),
    }
}

/// Converts reactions, sorted by emoji.
pub fn reactions(overlay: &core::Overlay) -> Vec<v1::Reaction> {
    let reactions = overlay.reactions.iter();
    reactions
        .map(|(emoji, users)| v1::Reaction {
            emoji: emoji.as_str().to_owned(),
            user_ids: users.iter().map(|user| user.as_str().to_owned()).collect(),
        })
        .collect()
}

/// Converts the body of an event, if it is of a known kind.
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
        Body::MemberAdded { user, role: r, link } => Wire::MemberAdded(v1::MemberAdded {
            user_id: user_id(user),
            role: role(*r).into(),
            link_seq: link.unwrap_or(0),
        }),
        Body::MemberRemoved { user } => Wire::MemberRemoved(v1::MemberRemoved { user_id: user_id(user) }),
        Body::MemberBanned { user, until, reason } => Wire::MemberBanned(v1::MemberBanned {
            user_id: user_id(user),
            until: until.map(timestamp),
            reason: reason.as_str().to_owned(),
        }),
        Body::MemberMuted { user, until, reason } => Wire::MemberMuted(v1::MemberMuted {
            user_id: user_id(user),
            until: until.map(timestamp),
            reason: reason.as_str().to_owned(),
        }),
        Body::MemberUnmuted { user } => Wire::MemberUnmuted(v1::MemberUnmuted { user_id: user_id(user) }),
        Body::MemberInvited { user, until } => {
            Wire::MemberInvited(v1::MemberInvited { user_id: user_id(user), until: Some(timestamp(*until)) })
        }
        Body::InvitationEnded { user } => {
            Wire::InvitationEnded(v1::InvitationEnded { user_id: user_id(user) })
        }
        Body::MemberUnbanned { user } => Wire::MemberUnbanned(v1::MemberUnbanned { user_id: user_id(user) }),
        Body::LinkCreated { until, max_uses } => Wire::InvitationLinkCreated(v1::InvitationLinkCreated {
            until: Some(timestamp(*until)),
            max_uses: *max_uses,
        }),
        Body::LinkRevoked { link } => {
            Wire::InvitationLinkRevoked(v1::InvitationLinkRevoked { link_seq: *link })
        }
        Body::JoinRequested { user, until } => {
            Wire::JoinRequested(v1::JoinRequested { user_id: user_id(user), until: Some(timestamp(*until)) })
        }
        Body::JoinRequestEnded { user } => {
            Wire::JoinRequestEnded(v1::JoinRequestEnded { user_id: user_id(user) })
        }
        Body::MemberUpdated { user, data } => Wire::MemberUpdated(v1::MemberUpdated {
            user_id: user_id(user),
            data: data.as_ref().map(data::whole_struct),
        }),
        Body::RoleChanged { user, role: r } => {
            Wire::RoleChanged(v1::RoleChanged { user_id: user_id(user), role: role(*r).into() })
        }
        Body::Message(message) => Wire::Message(v1::Message {
            text: message.text.as_str().to_owned(),
            reply_to_seq: message.reply_to.unwrap_or(0),
            kind: message.kind.to_string(),
            data: data::to_struct(&message.data),
            sent_at: message.imported.map(|imported| timestamp(imported.sent_at)),
            mentions_all: message.mentions_all,
            ..Default::default()
        }),
        Body::MessageEdited { target, text, data } => Wire::MessageEdited(v1::MessageEdited {
            target_seq: *target,
            text: text.as_str().to_owned(),
            data: data.as_ref().map(data::whole_struct),
        }),
        Body::MessageDeleted { target } => Wire::MessageDeleted(v1::MessageDeleted { target_seq: *target }),
        Body::ReactionAdded { target, emoji } => {
            Wire::ReactionAdded(v1::ReactionAdded { target_seq: *target, emoji: emoji.as_str().to_owned() })
        }
        Body::RoomDeleted => Wire::RoomDeleted(v1::RoomDeleted {}),
        Body::ReactionRemoved { target, emoji } => Wire::ReactionRemoved(v1::ReactionRemoved {
            target_seq: *target,
            emoji: emoji.as_str().to_owned(),
        }),
    })
}

/// Converts an event as originally decided.
pub fn event(room_id: &str, event: &core::Event) -> v1::Event {
    v1::Event {
        room_id: room_id.to_owned(),
        seq: event.seq,
        at: Some(timestamp(event.at)),
        actor_id: event.actor.as_str().to_owned(),
        service_id: event.service.as_ref().map(|service| service.as_str().to_owned()).unwrap_or_default(),
        request_id: event.request.as_str().to_owned(),
        message_count: event.message_count,
        deleted_count: event.deleted_count,
        body: body(&event.body),
        raw: event.unknown.bytes().to_vec(),
    }
}

/// Converts an event in its present form.
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

/// Removes the content of a message that was deleted since, or data that a member no longer has.
pub fn redact(event: &mut v1::Event) {
    match &mut event.body {
        Some(v1::event::Body::Message(message)) => {
            *message = v1::Message {
                reply_to_seq: message.reply_to_seq,
                kind: std::mem::take(&mut message.kind),
                sent_at: message.sent_at,
                mentions_all: message.mentions_all,
                deleted: true,
                ..Default::default()
            };
        }
        Some(v1::event::Body::MessageEdited(edited)) => {
            edited.text.clear();
            edited.data = None;
        }
        Some(v1::event::Body::MemberUpdated(updated)) => updated.data = None,
        // Possibly a message of a kind that a later version added.
        None => {}
        Some(_) => return,
    }
    event.raw.clear();
}
