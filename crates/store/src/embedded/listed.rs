//! The directory of channels.

use std::ops::Bound;

use async_trait::async_trait;
use parlance_core::{FoldedName, TitlePlace};

use super::tables::Table;
use super::view::readable;
use super::{Embedded, keys};
use crate::record::{damaged, decode_listed, decode_room};
use crate::{DirectoryStore, FoundRooms, StoreError};

#[async_trait]
impl DirectoryStore for Embedded {
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        let first = keys::titles(prefix.as_str());
        // No text contains this byte.
        let end = [&first[..], &[0xff]].concat();
        let from = after.map_or(Bound::Included(first), |after| Bound::Excluded(keys::listed(after)));
        self.view(move |view| {
            let rows = view.range(Table::Members, from, Bound::Excluded(end));
            let rows = readable(rows, limit, |key, row| {
                let place = keys::title_place(key).ok_or_else(|| damaged("a key", "the directory"))?;
                let members = decode_listed(&place.room, row)?;
                Ok((place, members))
            })?;
            let may_go_on = rows.len() == limit;
            Ok(FoundRooms::of(rows, may_go_on, |room| {
                let bytes = view.get(Table::Rooms, &keys::id(room.as_str()))?;
                bytes.map(|bytes| decode_room(room, &bytes)).transpose()
            }))
        })
        .await
    }
}
