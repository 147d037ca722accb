//! The directory of channels.

use std::ops::Bound;

use async_trait::async_trait;
use parlance_core::{FoldedName, TitlePlace};

use super::tables::{Table, damaged};
use super::{Embedded, keys};
use crate::record::{decode_listed, decode_room};
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
            let (mut rows, mut read) = (Vec::new(), 0);
            for guard in view.range(Table::Members, from, Bound::Excluded(end)).take(limit) {
                let (key, row) = guard.into_inner().map_err(damaged)?;
                read += 1;
                let place = keys::title_place(&key);
                let found = place.and_then(|place| Some((decode_listed(&place.room, &row).ok()?, place)));
                match found {
                    Some((members, place)) => rows.push((place, members)),
                    // One row does not keep the others from being found.
                    None => tracing::error!(?key, "cannot read a row of the directory, leaving it out"),
                }
            }
            Ok(FoundRooms::of(rows, read == limit, |room| {
                let bytes = view.get(Table::Rooms, &keys::id(room.as_str()))?;
                bytes.map(|bytes| decode_room(room, &bytes)).transpose()
            }))
        })
        .await
    }
}
