//! Kinds, roles, settings and other values of which rows and events consist.

use parlance_core as core;
use parlance_core::{ImageUrl, Title, Topic};

use crate::data;
use crate::storage::v1;

/// Converts a kind of room.
pub fn kind(kind: core::RoomKind) -> i32 {
    let kind = match kind {
        core::RoomKind::Direct => v1::RoomKind::Direct,
        core::RoomKind::Group => v1::RoomKind::Group,
        core::RoomKind::Channel => v1::RoomKind::Channel,
    };
    kind.into()
}

/// Parses a kind of room. An unknown kind is treated as closed to everyone who was not added.
pub fn kind_from(kind: i32) -> core::RoomKind {
    match v1::RoomKind::try_from(kind) {
        Ok(v1::RoomKind::Direct) => core::RoomKind::Direct,
        Ok(v1::RoomKind::Channel) => core::RoomKind::Channel,
        Ok(v1::RoomKind::Group | v1::RoomKind::Unspecified) | Err(_) => core::RoomKind::Group,
    }
}

/// Converts a role.
pub fn role(role: core::Role) -> i32 {
    let role = match role {
        core::Role::Member => v1::Role::Member,
        core::Role::Admin => v1::Role::Admin,
        core::Role::Owner => v1::Role::Owner,
    };
    role.into()
}

/// Parses a role. An unknown role grants nothing beyond membership.
pub fn role_from(role: i32) -> core::Role {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Admin) => core::Role::Admin,
        Ok(v1::Role::Owner) => core::Role::Owner,
        Ok(v1::Role::Member | v1::Role::Unspecified) | Err(_) => core::Role::Member,
    }
}

fn visibility(visibility: core::Visibility) -> i32 {
    let visibility = match visibility {
        core::Visibility::SinceJoined => v1::HistoryVisibility::SinceJoined,
        core::Visibility::All => v1::HistoryVisibility::All,
    };
    visibility.into()
}

/// Parses a visibility. An unknown value opens no earlier history.
fn visibility_from(visibility: i32) -> core::Visibility {
    match v1::HistoryVisibility::try_from(visibility) {
        Ok(v1::HistoryVisibility::All) => core::Visibility::All,
        Ok(v1::HistoryVisibility::SinceJoined | v1::HistoryVisibility::Unspecified) | Err(_) => {
            core::Visibility::SinceJoined
        }
    }
}

/// Converts a member's standing.
pub fn standing(standing: core::Standing) -> i32 {
    let standing = match standing {
        core::Standing::Free => v1::MemberStanding::Unspecified,
        core::Standing::Removed => v1::MemberStanding::Removed,
        core::Standing::Banned => v1::MemberStanding::Banned,
    };
    standing.into()
}

/// Parses a member's standing. An unknown value is treated as a removal: neither open to all nor
/// closed for good.
pub fn standing_from(standing: i32) -> core::Standing {
    match v1::MemberStanding::try_from(standing) {
        Ok(v1::MemberStanding::Unspecified) => core::Standing::Free,
        Ok(v1::MemberStanding::Banned) => core::Standing::Banned,
        Ok(v1::MemberStanding::Removed) | Err(_) => core::Standing::Removed,
    }
}

fn joining(joining: core::Joining) -> i32 {
    let joining = match joining {
        core::Joining::Usual => v1::RoomJoining::Unspecified,
        core::Joining::Open => v1::RoomJoining::Open,
        core::Joining::ByRequest => v1::RoomJoining::ByRequest,
        core::Joining::ByInvitation => v1::RoomJoining::ByInvitation,
    };
    joining.into()
}

/// Parses how users join. An unknown value is treated as closed.
fn joining_from(joining: i32) -> core::Joining {
    match v1::RoomJoining::try_from(joining) {
        Ok(v1::RoomJoining::Unspecified) => core::Joining::Usual,
        Ok(v1::RoomJoining::Open) => core::Joining::Open,
        Ok(v1::RoomJoining::ByRequest) => core::Joining::ByRequest,
        Ok(v1::RoomJoining::ByInvitation) | Err(_) => core::Joining::ByInvitation,
    }
}

/// Converts settings.
pub fn settings(settings: &core::Settings) -> v1::RoomSettings {
    v1::RoomSettings {
        title: settings.title.as_str().to_owned(),
        topic: settings.topic.as_str().to_owned(),
        history_visibility: visibility(settings.visibility),
        image_url: settings.image.as_str().to_owned(),
        data: data::to_struct(&settings.data),
        permissions: permissions(&settings.permissions),
        frozen: settings.frozen,
        slow_mode_seconds: settings.slow_mode,
        archived: settings.archived,
        listed: settings.listed,
        joining: joining(settings.joining),
    }
}

/// Converts permissions; unset if all are the default, as before permissions were introduced.
fn permissions(permissions: &core::Permissions) -> Option<v1::RoomPermissions> {
    let lowest = |permission: Option<core::Role>| permission.map_or(0, role);
    (*permissions != core::Permissions::default()).then(|| v1::RoomPermissions {
        post: lowest(permissions.post),
        react: lowest(permissions.react),
        invite: lowest(permissions.invite),
        edit_settings: lowest(permissions.edit),
        delete_messages: lowest(permissions.delete),
        mention_all: lowest(permissions.mention_all),
    })
}

/// Parses permissions. An unknown role restricts the action to the owner.
fn permissions_from(permissions: Option<&v1::RoomPermissions>) -> core::Permissions {
    let Some(permissions) = permissions else { return core::Permissions::default() };
    let lowest = |role: i32| match v1::Role::try_from(role) {
        Ok(v1::Role::Unspecified) => None,
        Ok(v1::Role::Member) => Some(core::Role::Member),
        Ok(v1::Role::Admin) => Some(core::Role::Admin),
        Ok(v1::Role::Owner) | Err(_) => Some(core::Role::Owner),
    };
    core::Permissions {
        post: lowest(permissions.post),
        react: lowest(permissions.react),
        invite: lowest(permissions.invite),
        edit: lowest(permissions.edit_settings),
        delete: lowest(permissions.delete_messages),
        mention_all: lowest(permissions.mention_all),
    }
}

/// Parses settings stored next to the log, where a later version may have allowed other texts.
pub fn settings_from(settings: &v1::RoomSettings) -> core::Settings {
    core::Settings {
        title: Title::stored(&settings.title),
        topic: Topic::stored(&settings.topic),
        visibility: visibility_from(settings.history_visibility),
        image: ImageUrl::stored(&settings.image_url),
        data: settings.data.as_ref().map(data::stored).unwrap_or_default(),
        permissions: permissions_from(settings.permissions.as_ref()),
        frozen: settings.frozen,
        slow_mode: settings.slow_mode_seconds,
        archived: settings.archived,
        listed: settings.listed,
        joining: joining_from(settings.joining),
    }
}

/// Parses the settings of an event, if this version can interpret them.
pub(super) fn parse_settings(settings: Option<&v1::RoomSettings>) -> Option<core::Settings> {
    let settings = settings?;
    Some(core::Settings {
        title: Title::parse(&settings.title).ok()?,
        topic: Topic::parse(&settings.topic).ok()?,
        ..settings_from(settings)
    })
}

/// Converts an interval of membership.
pub fn interval(interval: &core::Interval) -> v1::MembershipInterval {
    v1::MembershipInterval {
        joined_seq: interval.joined,
        left_seq: interval.left.unwrap_or(0),
        history_visibility: interval.visibility.map_or(0, visibility),
    }
}

/// Parses an interval of membership.
pub fn interval_from(interval: &v1::MembershipInterval) -> core::Interval {
    core::Interval {
        joined: interval.joined_seq,
        left: (interval.left_seq != 0).then_some(interval.left_seq),
        visibility: match interval.history_visibility {
            0 => None,
            then => Some(visibility_from(then)),
        },
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
