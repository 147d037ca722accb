use async_trait::async_trait;
use parlance_core::{FoldedName, RoomId, RoomInfo, TitlePlace};

use crate::error::StoreError;

/// A room that the directory has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRoom {
    /// The room's data as it is now.
    pub info: RoomInfo,
    /// The number of members, as of [`parlance_core::Listing`].
    pub members: u64,
}

/// A page of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundRooms {
    /// The rooms; fewer than asked for where some have just changed.
    pub rooms: Vec<ListedRoom>,
    /// Rooms whose data cannot be read.
    pub damaged: Vec<RoomId>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<TitlePlace>,
}

/// The directory of channels. Its rows are written by appends; a room's own data decides whether it is listed, and as
/// what.
#[async_trait]
pub trait DirectoryStore: Send + Sync + 'static {
    /// Rooms whose folded title begins with `prefix`, which may be empty, after `after`.
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError>;
}

impl FoundRooms {
    /// The page of `rows` in their order, behind which there may be more, given the data of their rooms. Rows and rooms are read
    /// one after the other, and older versions of the server change rooms without their rows: a row that its room
    /// contradicts is left out.
    pub(crate) fn of(
        rows: Vec<(TitlePlace, u64)>,
        may_go_on: bool,
        mut info: impl FnMut(&RoomId) -> Result<Option<RoomInfo>, StoreError>,
    ) -> Self {
        let next = rows.last().filter(|_| may_go_on).map(|(place, _)| place.clone());
        let mut found = Self { next, ..Self::default() };
        for (place, members) in rows {
            match info(&place.room) {
                Ok(info) => found.rooms.extend(
                    info.filter(|info| info.place().as_ref() == Some(&place))
                        .map(|info| ListedRoom { info, members }),
                ),
                Err(_) => found.damaged.push(place.room),
            }
        }
        found
    }
}
