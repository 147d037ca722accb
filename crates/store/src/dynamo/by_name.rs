//! Where active users are found by name: items of the table `user_rooms` whose keys are no ids of a user and a room.
//! They are in the stream of the table, whose readers ignore them.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id` | S | `#names ` and the first character of the folded name |
//! | `room_id` | S | the folded name, U+0001, the user |

use std::collections::HashMap;

use parlance_core::{FoldedName, UserId};

use super::calls::Range;
use super::item::{self, Item, get_text, text};
use super::limits::HIGHEST;
use super::{Dynamo, user_rooms, users};
use crate::record::damaged;
use crate::{FoundUsers, NamePlace, StoreError};

const OPERATION: &str = "find_users";
/// Ends the name in a key: no folded name contains it.
const END: char = '\u{1}';

fn partition(name: &FoldedName) -> String {
    format!("#names {}", name.as_str().chars().next().unwrap_or_default())
}

fn sort_key(place: &NamePlace) -> String {
    format!("{}{END}{}", place.name.as_str(), place.user)
}

/// The item by which a user is found.
pub(super) fn key(place: &NamePlace) -> Item {
    item::item([
        (user_rooms::USER, text(&partition(&place.name))),
        (user_rooms::ROOM, text(&sort_key(place))),
    ])
}

fn place(item: &Item) -> Result<NamePlace, StoreError> {
    let read = || {
        let (name, user) = get_text(item, user_rooms::ROOM)?.rsplit_once(END)?;
        Some(NamePlace { name: FoldedName::stored(name), user: UserId::parse(user).ok()? })
    };
    read().ok_or_else(|| damaged("a key", "the names of users"))
}

impl Dynamo {
    pub(super) async fn users_by_name(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        // The first key after one is that key and the lowest character.
        let low =
            after.map_or_else(|| prefix.as_str().to_owned(), |after| sort_key(after) + &END.to_string());
        let range = Range {
            operation: OPERATION,
            table: &self.tables.user_rooms,
            partition: (user_rooms::USER, &partition(prefix)),
            sort: user_rooms::ROOM,
            low: text(&low),
            high: text(&format!("{}{}", prefix.as_str(), char::MAX.to_string().repeat(HIGHEST))),
            backwards: false,
        };
        let places = self.run_readable(&range, limit, place).await?;
        let keys = places.iter().map(|place| users::key(&place.user)).collect();
        let mut found = HashMap::new();
        for item in self.get_many(OPERATION, &self.tables.users, keys).await? {
            match users::user(&item) {
                Ok(user) => drop(found.insert(user.id.clone(), user)),
                Err(error) => tracing::error!(%error, "a user is left out of a search"),
            }
        }
        // Rows and users are read one after the other: a user may have another name by now.
        let found = places.iter().filter_map(|place| {
            found.remove(&place.user).filter(|user| user.place().as_ref() == Some(place))
        });
        let users = found.collect();
        let next = if places.len() == limit { places.last().cloned() } else { None };
        Ok(FoundUsers { users, next })
    }
}
