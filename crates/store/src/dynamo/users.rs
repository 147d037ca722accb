//! The table `users`.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id` | S, partition key | |
//! | `name` | S | the name to show |
//! | `created_at`, `updated_at` | N | Unix milliseconds |

use parlance_core::{Name, Timestamp, UserId};

use super::item::{self, Item, get_number, get_text, number, text};
use crate::record::damaged;
use crate::{StoreError, User};

pub(super) const USER: &str = "user_id";
pub(super) const NAME: &str = "name";
pub(super) const UPDATED: &str = "updated_at";

pub(super) fn key(user: &UserId) -> Item {
    item::item([(USER, text(user.as_str()))])
}

pub(super) fn user_item(user: &User) -> Item {
    item::item([
        (USER, text(user.id.as_str())),
        (NAME, text(user.name.as_str())),
        ("created_at", number(user.created_at.0)),
        (UPDATED, number(user.updated_at.0)),
    ])
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
        })
    };
    read().ok_or_else(|| damaged("the item", format_args!("user {id}")))
}
