//! The table `users`.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id` | S, partition key | |
//! | `name` | S | the name to show |
//! | `image` | S | address of a picture |
//! | `data` | B | the app's own data, as a `google.protobuf.Struct` |
//! | `created_at`, `updated_at` | N | Unix milliseconds |
//! | `state` | N | whether the user may do anything; absent: yes. As in a `UserRecord` |

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{Data, ImageUrl, Name, Timestamp, UserId};
use parlance_proto::data;
use prost::Message;
use prost_types::Struct;

use super::item::{self, Item, bytes, get_bytes, get_number, get_text, number, text};
use crate::record::{damaged, state_from, state_number};
use crate::{StoreError, User, UserState};

pub(super) const USER: &str = "user_id";
pub(super) const NAME: &str = "name";
pub(super) const UPDATED: &str = "updated_at";
pub(super) const IMAGE: &str = "image";
pub(super) const DATA: &str = "data";
pub(super) const STATE: &str = "state";

pub(super) fn key(user: &UserId) -> Item {
    item::item([(USER, text(user.as_str()))])
}

pub(super) fn user_item(user: &User) -> Item {
    item::item([
        (USER, text(user.id.as_str())),
        (NAME, text(user.name.as_str())),
        ("created_at", number(user.created_at.0)),
        (UPDATED, number(user.updated_at.0)),
        (IMAGE, text(user.image.as_str())),
        (DATA, data_value(&user.data)),
        (STATE, state_value(user.state)),
    ])
}

pub(super) fn state_value(state: UserState) -> AttributeValue {
    number(state_number(state).into())
}

pub(super) fn data_value(data: &Data) -> AttributeValue {
    bytes(data::whole_struct(data).encode_to_vec())
}

pub(super) fn user(item: &Item) -> Result<User, StoreError> {
    let id = get_text(item, USER).and_then(|id| UserId::parse(id).ok());
    let id = id.ok_or_else(|| StoreError::Damaged("a key of users".into()))?;
    let read = || {
        Some(User {
            id: id.clone(),
            name: Name::stored(get_text(item, NAME)?),
            created_at: Timestamp(get_number(item, "created_at")?),
            updated_at: Timestamp(get_number(item, UPDATED)?),
            image: ImageUrl::stored(get_text(item, IMAGE).unwrap_or_default()),
            data: match get_bytes(item, DATA) {
                Some(bytes) => data::stored(&Struct::decode(bytes).ok()?),
                None => Data::default(),
            },
            state: state_from(get_number(item, STATE)?),
        })
    };
    read().ok_or_else(|| damaged("the item", format_args!("user {id}")))
}
