//! The directory of channels, in which everyone finds them by their title.

use crate::{FoldedName, RoomId, RoomInfo, RoomKind};

/// The place of a room in the directory: rooms are ordered by title, then by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TitlePlace {
    /// The title.
    pub title: FoldedName,
    /// The room.
    pub room: RoomId,
}

/// The row of a room in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Where it stands.
    pub place: TitlePlace,
    /// The number of members: exact up to 99, otherwise its first two digits. So most joins to a large room leave the
    /// row as it is.
    pub members: u64,
}

/// A change of a room's row, written with the events that cause it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingChange {
    /// Where it stood, if it no longer does.
    pub removed: Option<TitlePlace>,
    /// The row from now on.
    pub put: Option<Listing>,
}

impl RoomInfo {
    /// Where the directory has this room, unless all members have left; `None` if it is not in there.
    pub fn place(&self) -> Option<TitlePlace> {
        let is_over = self.deleted || self.settings.archived;
        let is_listed = self.settings.listed && self.kind == RoomKind::Channel && !is_over;
        let place = TitlePlace { title: self.settings.title.folded(), room: self.id.clone() };
        (is_listed && !place.title.is_empty()).then_some(place)
    }
}

impl Listing {
    /// The row of a room with so many members, if it is to have one.
    pub fn of(info: &RoomInfo, members: u64) -> Option<Self> {
        let place = if members == 0 { None } else { info.place() };
        place.map(|place| Self { place, members: two_digits(members) })
    }
}

impl ListingChange {
    /// What changes the row `before` to `after`.
    pub(crate) fn between(before: Option<Listing>, after: Option<Listing>) -> Option<Self> {
        if before == after {
            return None;
        }
        let stays = |old: &Listing| after.as_ref().is_some_and(|new| new.place == old.place);
        let removed = before.filter(|old| !stays(old)).map(|old| old.place);
        Some(Self { removed, put: after })
    }
}

fn two_digits(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit
}

#[cfg(test)]
mod tests {
    use super::two_digits;

    #[test]
    fn large_numbers_lose_their_last_digits() {
        for (number, kept) in [(0, 0), (7, 7), (99, 99), (100, 100), (109, 100), (110, 110), (12_999, 12_000)]
        {
            assert_eq!(two_digits(number), kept);
        }
    }
}
