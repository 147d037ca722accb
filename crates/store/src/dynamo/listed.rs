//! The directory of channels: items of the table `user_rooms` whose keys are no ids of a user and a room. They are in the
//! stream of the table, whose readers ignore them. Rooms are spread over a few partitions, each in the order of titles,
//! which are read side by side and merged.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id` | S | `#listed ` and the number of the partition |
//! | `room_id` | S | the folded title, U+0001, the room |
//! | `members` | N | the number of members, as of [`parlance_core::Listing`] |

use std::collections::{BTreeSet, HashMap};

use futures::future::try_join_all;
use parlance_core::{FoldedName, ListingChange, RoomId, TitlePlace};

use super::calls::Range;
use super::item::{self, Item, get_number, get_text, number, text};
use super::limits::{DIRECTORY_PARTITIONS, HIGHEST};
use super::transaction::Transaction;
use super::{Dynamo, rooms, user_rooms};
use crate::record::damaged;
use crate::{FoundRooms, StoreError};

const OPERATION: &str = "listed_rooms";
const MEMBERS: &str = "members";
/// Ends the title in a key: no folded title contains it, and each begins with a higher character.
const END: char = '\u{1}';

fn partition(number: u32) -> String {
    format!("#listed {number}")
}

/// The partition of a room: the same in all versions.
fn partition_of(room: &RoomId) -> u32 {
    let mixed =
        room.as_str().bytes().fold(0_u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into()));
    mixed % DIRECTORY_PARTITIONS
}

fn sort_key(place: &TitlePlace) -> String {
    format!("{}{END}{}", place.title.as_str(), place.room)
}

fn key(place: &TitlePlace) -> Item {
    item::item([
        (user_rooms::USER, text(&partition(partition_of(&place.room)))),
        (user_rooms::ROOM, text(&sort_key(place))),
    ])
}

fn row(item: &Item) -> Result<(TitlePlace, u64), StoreError> {
    let read = || {
        let (title, room) = get_text(item, user_rooms::ROOM)?.rsplit_once(END)?;
        let place = TitlePlace { title: FoldedName::stored(title), room: RoomId::parse(room).ok()? };
        Some((place, get_number(item, MEMBERS)?))
    };
    read().ok_or_else(|| damaged("a row", "the directory"))
}

impl Dynamo {
    pub(super) fn add_listing(
        &self,
        transaction: &mut Transaction,
        change: &ListingChange,
    ) -> Result<(), StoreError> {
        if let Some(place) = &change.removed {
            transaction.remove(&self.tables.user_rooms, key(place))?;
        }
        if let Some(listing) = &change.put {
            let mut item = key(&listing.place);
            item.insert(MEMBERS.to_owned(), number(listing.members));
            transaction.put(&self.tables.user_rooms, item)?;
        }
        Ok(())
    }

    pub(super) async fn rooms_by_title(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        // The first key after one is that key and the lowest character. Keys are never compared with an empty text.
        let low = match after {
            Some(after) => format!("{}{END}", sort_key(after)),
            None if prefix.is_empty() => END.to_string(),
            None => prefix.as_str().to_owned(),
        };
        // Titles may begin with some of the highest characters themselves.
        let high = format!("{}{}", prefix.as_str(), char::MAX.to_string().repeat(HIGHEST));
        let partitions: Vec<String> = (0..DIRECTORY_PARTITIONS).map(partition).collect();
        let reads = partitions.iter().map(|partition| {
            let range = Range {
                operation: OPERATION,
                table: &self.tables.user_rooms,
                partition: (user_rooms::USER, partition),
                sort: user_rooms::ROOM,
                low: text(&low),
                high: text(&high),
                backwards: false,
            };
            async move { self.run_readable(&range, limit, row).await }
        });
        let mut rows: Vec<_> = try_join_all(reads).await?.into_iter().flatten().collect();
        let may_go_on = rows.len() >= limit;
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        rows.truncate(limit);
        // A row that an older version left may stand beside that of its room.
        let ids: BTreeSet<_> = rows.iter().map(|(place, _)| &place.room).collect();
        let keys = ids.into_iter().map(rooms::room_key).collect();
        let mut items = HashMap::new();
        for item in self.get_many(OPERATION, &self.tables.rooms, keys).await? {
            if let Some(id) = get_text(&item, rooms::ROOM) {
                items.insert(id.to_owned(), item);
            }
        }
        Ok(FoundRooms::of(rows, may_go_on, |id| {
            items.get(id.as_str()).map(|item| rooms::room(id, item)).transpose()
        }))
    }
}
