//! Layout of the keys. Ids contain no zero byte, which therefore terminates them.
//!
//! | table | key | value |
//! |---|---|---|
//! | each but the feed | 0 | number of the last commit that wrote to it, 8 bytes big endian |
//! | users | user id, 0 | `UserRecord` |
//! | rooms | room id, 0 | `RoomRecord` |
//! | log | room id, 0, first seq as 8 bytes big endian | `ChunkRecord` |
//! | overlays | room id, 0, seq as 8 bytes big endian | `OverlayRecord` |
//! | members | room id, 0, user id, 0 | `MemberRecord` |
//! | members | `#blocks`, 0, user id, 0 | `BlocksRecord`: no room has that id |
//! | members | `#names`, 0, folded name, 0, user id, 0 | nothing: where active users are found by name |
//! | members | `#report`, 0, report id, 0 | `ReportRecord` |
//! | members | `#reports`, 0, name of a list, 0, place, 0 | nothing: the report of that place is in the list |
//! | members | `#reported`, 0, reporter, 0, room id, 0, seq in decimal, 0 | `LastReportRecord` |
//! | members | `#invitations`, 0, room id, 0 | `InvitationsRecord` |
//! | members | `#requests`, 0, room id, 0 | `JoinRequestsRecord` |
//! | members | `#invited`, 0, user id, 0, room id, 0 | `InvitedRecord` |
//! | members | `#listed`, 0, folded title, 0, room id, 0 | `ListedRecord`: where channels are found by title |
//! | user_rooms | user id, 0, room id, 0 | `CursorsRecord` |
//! | consumers | consumer, 0 | `ConsumerRecord` |
//! | consumers | consumer, 0, room id, 0 | `ConsumerRoomRecord` |
//! | feed, which is apart | number of the commit, 8 bytes big endian | `FeedRecord` |

use parlance_core::{FoldedName, ReportId, ReportList, ReportOf, ReportPlace, RoomId, TitlePlace};

use crate::NamePlace;

/// Version of the layout of keys and records. Others are refused.
pub(super) const FORMAT: u32 = 1; // format

/// The key under which each table stores the number of its last commit: before all ids, which are not empty.
pub(super) const COMMIT: [u8; 1] = [0];

pub(super) fn id(id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 1);
    key.extend_from_slice(id.as_bytes());
    key.push(0);
    key
}

pub(super) fn pair(first: &str, second: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(first.len() + second.len() + 2);
    key.extend_from_slice(first.as_bytes());
    key.push(0);
    key.extend_from_slice(second.as_bytes());
    key.push(0);
    key
}

/// The row with those whom a user blocks.
pub(super) fn blocks(user: &str) -> Vec<u8> {
    pair("#blocks", user)
}

/// The row of a report.
pub(super) fn report(id: &ReportId) -> Vec<u8> {
    pair("#report", id.as_str())
}

/// What the keys of all reports in `list` begin with.
pub(super) fn report_list(list: &ReportList) -> Vec<u8> {
    pair("#reports", &list.to_string())
}

/// After the keys of all reports in `list`.
pub(super) fn report_list_end(list: &ReportList) -> Vec<u8> {
    let mut end = report_list(list);
    // Texts contain no byte below 1.
    if let Some(last) = end.last_mut() {
        *last = 1;
    }
    end
}

/// The row of a report in `list`.
pub(super) fn report_in(list: &ReportList, place: &ReportPlace) -> Vec<u8> {
    [report_list(list), id(&place.to_string())].concat()
}

/// The row that names the last report of a message by somebody.
pub(super) fn reported(of: &ReportOf) -> Vec<u8> {
    let ReportOf { reporter, room, seq } = of;
    [pair("#reported", reporter.as_str()), pair(room.as_str(), &seq.to_string())].concat()
}

/// The row with the requests to join a room.
pub(super) fn requests(room: &str) -> Vec<u8> {
    pair("#requests", room)
}

/// The row with the invitations to a room, and its links.
pub(super) fn invitations(room: &str) -> Vec<u8> {
    pair("#invitations", room)
}

/// The row of a room in the list of rooms that a user was invited to.
pub(super) fn invited(user: &str, room: &str) -> Vec<u8> {
    [invited_to(user), id(room)].concat()
}

/// What the keys of that list begin with.
pub(super) fn invited_to(user: &str) -> Vec<u8> {
    pair("#invited", user)
}

/// The row by which a user is found by name.
pub(super) fn name(place: &NamePlace) -> Vec<u8> {
    let mut key = names(place.name.as_str());
    key.push(0);
    key.extend_from_slice(place.user.as_str().as_bytes());
    key.push(0);
    key
}

/// What the keys of all names that begin with `prefix` begin with.
pub(super) fn names(prefix: &str) -> Vec<u8> {
    [b"#names\0", prefix.as_bytes()].concat()
}

/// The folded name in a key made by [`name`].
pub(super) fn folded(key: &[u8]) -> Option<FoldedName> {
    let name = key.strip_prefix(b"#names\0")?.split(|byte| *byte == 0).next()?;
    Some(FoldedName::stored(std::str::from_utf8(name).ok()?))
}

/// The row of a room in the directory.
pub(super) fn listed(place: &TitlePlace) -> Vec<u8> {
    let mut key = titles(place.title.as_str());
    key.push(0);
    key.extend(id(place.room.as_str()));
    key
}

/// What the keys of all titles that begin with `prefix` begin with.
pub(super) fn titles(prefix: &str) -> Vec<u8> {
    [b"#listed\0", prefix.as_bytes()].concat()
}

/// The place in a key made by [`listed`].
pub(super) fn title_place(key: &[u8]) -> Option<TitlePlace> {
    let title = key.strip_prefix(b"#listed\0")?.split(|byte| *byte == 0).next()?;
    let title = FoldedName::stored(std::str::from_utf8(title).ok()?);
    Some(TitlePlace { title, room: RoomId::parse(last_id(key)?).ok()? })
}

pub(super) fn chunk(room: &RoomId, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(room.as_str().len() + 9);
    key.extend_from_slice(room.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// The seq at the end of a log or overlay key.
pub(super) fn seq(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The record of a commit in the feed. Keys only increase, and none is written twice.
pub(super) fn feed(commit: u64) -> [u8; 8] {
    commit.to_be_bytes()
}

/// The last id of a key made by [`id`] or [`pair`].
pub(super) fn last_id(key: &[u8]) -> Option<&str> {
    let key = key.strip_suffix(&[0])?;
    let start = key.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1);
    std::str::from_utf8(&key[start..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_parts_and_read_back() {
        let room = |id| RoomId::parse(id).unwrap();
        assert!(chunk(&room("a"), 255) < chunk(&room("a"), 256));
        assert!(chunk(&room("a"), u64::MAX) < chunk(&room("aa"), 1));
        assert_eq!(seq(&chunk(&room("a"), 77)), Some(77));
        assert_eq!(last_id(&pair("u", "r1")), Some("r1"));
        assert_eq!(last_id(&id("u")), Some("u"));
    }
}
