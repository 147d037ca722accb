//! The table `rooms`: data next to the logs.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id` | S, partition key | |
//! | `item` | S, sort key | `#` for the room's own item, `m#` and a user id for a member, `i#`: see [`super::invitations`] |
//! | `kind`, `title`, `topic`, `visibility` | S | of the room |
//! | `created_at`, `created_by` | N, S | Unix milliseconds, a user |
//! | `floor`, `epoch` | N | first seq kept; changes on a restore |
//! | `more` | B | settings beside the three above, as a `RoomSettings` of the stored form |
//! | `deleted` | N | 1 for a room that was deleted |
//! | `imported` | N | the number of messages that were imported; missing if none were |
//! | `direct_a`, `direct_b` | S | both people of a direct room |
//! | `role`, `intervals`, `standing`, `left_open`, `left_title`, `left_topic` | S | of a member, see [`super::members`] |
//! | `data`, `data_seq` | B, N | the app's own data on a member, as a `google.protobuf.Struct`, and the event that last changed it |
//!
//! One item belongs to the store itself, see [`super::identity`].

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{
    Member, RoomId, RoomInfo, RoomKind, Settings, Timestamp, Title, Topic, UserId, Visibility,
};
use parlance_proto::storage::v1::RoomSettings;
use parlance_proto::stored;
use prost::Message;

use super::item::{self, Item, bytes, get_bytes, get_number, get_text, number, text};
use super::members;
use crate::StoreError;
use crate::record::damaged;

pub(super) const ROOM: &str = "room_id";
pub(super) const ITEM: &str = "item";
pub(super) const OWN: &str = "#";
pub(super) const MEMBER: &str = "m#";
/// Sorts after every member.
pub(super) const BEHIND_MEMBERS: &str = "m$";

pub(super) fn room_key(room: &RoomId) -> Item {
    item::item([(ROOM, text(room.as_str())), (ITEM, text(OWN))])
}

/// The key of an item that belongs to no room: `id` is not a valid room id.
pub(super) fn reserved(id: &str) -> Item {
    item::item([(ROOM, text(id)), (ITEM, text(OWN))])
}

pub(super) fn member_key(room: &RoomId, user: &UserId) -> Item {
    item::item([(ROOM, text(room.as_str())), (ITEM, text(&format!("{MEMBER}{user}")))])
}

pub(super) fn room_item(info: &RoomInfo) -> Item {
    let kind = match info.kind {
        RoomKind::Direct => "direct",
        RoomKind::Group => "group",
        RoomKind::Channel => "channel",
    };
    let mut item = room_key(&info.id);
    item.extend(item::item([
        ("kind", text(kind)),
        ("created_at", number(info.created_at.0)),
        ("created_by", text(info.created_by.as_str())),
        ("floor", number(info.floor)),
        ("epoch", number(info.epoch)),
    ]));
    item.extend(changed(info).into_iter().map(|(name, value)| (name.to_owned(), value)));
    if let Some((a, b)) = &info.direct_pair {
        item.extend(item::item([("direct_a", text(a.as_str())), ("direct_b", text(b.as_str()))]));
    }
    item
}

/// The attributes of a room's item that a writer may change. Floor and epoch are excluded, since the writer's copy may be
/// old; but a deletion ends the history.
pub(super) fn changed(info: &RoomInfo) -> Vec<(&'static str, AttributeValue)> {
    let settings = &info.settings;
    let visibility = match settings.visibility {
        Visibility::SinceJoined => "since_joined",
        Visibility::All => "all",
    };
    let (title, topic) = (String::new(), String::new());
    let more = RoomSettings { title, topic, history_visibility: 0, ..stored::settings(settings) };
    let mut attributes = vec![
        ("title", text(settings.title.as_str())),
        ("topic", text(settings.topic.as_str())),
        ("visibility", text(visibility)),
        ("more", bytes(more.encode_to_vec())),
    ];
    if info.imported > 0 {
        attributes.push(("imported", number(info.imported)));
    }
    if info.deleted {
        attributes.extend([("deleted", number(1)), ("floor", number(info.floor))]);
    }
    attributes
}

pub(super) fn room(id: &RoomId, item: &Item) -> Result<RoomInfo, StoreError> {
    let read = || {
        let user = |name| UserId::parse(get_text(item, name)?).ok();
        let direct_pair = match (item.get("direct_a"), item.get("direct_b")) {
            (None, None) => None,
            _ => Some((user("direct_a")?, user("direct_b")?)),
        };
        Some(RoomInfo {
            id: id.clone(),
            kind: match get_text(item, "kind")? {
                "direct" => RoomKind::Direct,
                "group" => RoomKind::Group,
                "channel" => RoomKind::Channel,
                // From a later version: closed to users who were not added.
                _ => RoomKind::Group,
            },
            settings: Settings {
                title: Title::stored(get_text(item, "title")?),
                topic: Topic::stored(get_text(item, "topic")?),
                visibility: match get_text(item, "visibility")? {
                    "since_joined" => Visibility::SinceJoined,
                    "all" => Visibility::All,
                    // From a later version: opens no earlier history.
                    _ => Visibility::SinceJoined,
                },
                ..match get_bytes(item, "more") {
                    Some(more) => stored::settings_from(&RoomSettings::decode(more).ok()?),
                    None => Settings::default(),
                }
            },
            created_at: Timestamp(get_number(item, "created_at")?),
            created_by: user("created_by")?,
            floor: get_number(item, "floor")?,
            epoch: get_number(item, "epoch")?,
            direct_pair,
            deleted: get_number(item, "deleted")? != 0,
            imported: get_number(item, "imported")?,
        })
    };
    read().ok_or_else(|| damaged("the item", format_args!("room {id}")))
}

/// Parses a member from an item of this table.
pub(super) fn member(room: &RoomId, item: &Item) -> Result<Member, StoreError> {
    let user = get_text(item, ITEM).and_then(|key| UserId::parse(key.strip_prefix(MEMBER)?).ok());
    let member = user.and_then(|user| members::read(user, item));
    member.ok_or_else(|| damaged("a member row", format_args!("room {room}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_later_version_open_nothing() {
        let info = RoomInfo {
            id: RoomId::parse("r").unwrap(),
            kind: RoomKind::Channel,
            settings: Settings {
                title: Title::parse("Team").unwrap(),
                topic: Topic::default(),
                visibility: Visibility::All,
                ..Settings::default()
            },
            created_at: Timestamp(7),
            created_by: UserId::parse("alice").unwrap(),
            floor: 1,
            epoch: 1,
            direct_pair: None,
            deleted: false,
            imported: 0,
        };
        let mut item = room_item(&info);
        assert_eq!(room(&info.id, &item), Ok(info.clone()));
        item.insert("kind".to_owned(), text("thread"));
        item.insert("visibility".to_owned(), text("since_invited"));
        item.insert("later".to_owned(), text("something"));
        let read = room(&info.id, &item).unwrap();
        assert_eq!((read.kind, read.settings.visibility), (RoomKind::Group, Visibility::SinceJoined));
        assert_eq!(read.settings.title, info.settings.title);
    }
}
