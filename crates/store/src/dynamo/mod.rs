//! The tables on DynamoDB, one module per table for the layout of its items. Reads are
//! consistent throughout, and a message alone is one conditional write of one unit.

mod append;
mod backoff;
mod blocks;
mod bounded;
mod by_name;
mod calls;
mod clock;
mod consumers;
mod cursors;
mod error;
mod fleet;
mod handle;
mod identity;
mod invitations;
mod item;
mod limits;
mod listed;
mod log;
mod members;
mod messages;
mod names;
mod note;
mod options;
mod preferences;
mod profiles;
mod read_mark;
mod reports;
mod revocations;
mod room_ids;
mod rooms;
mod stored_room;
mod streams;
mod tables;
mod transaction;
mod units;
mod user_rooms;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::calls::Range;
pub use self::fleet::OtherFleet;
pub use self::handle::Dynamo;
use self::item::text;
use self::limits::LATE_REQUEST;
pub use self::options::DynamoOptions;
pub use self::streams::DynamoFeed;
pub use self::tables::{TableOptions, TableReport};
use crate::record::listed_user;
use crate::{
    AppendError, BlockError, BlockStore, Created, DirectoryStore, FoundReports, FoundRooms, FoundUsers,
    InvitationStore, Invited, LogStore, MarkStore, MemberStore, NamePlace, PreferencesChange, ReportStore,
    RoomIds, Store, StoreError, StoredRoom, UpdateError, User, UserChange, UserRoom, UserRooms, UserStore,
};
use async_trait::async_trait;
use limits::GATHER;
use parlance_core::{
    Append, Blocks, Chunk, Creation, Cursors, Entry, Event, FoldedName, Invitations, Listed, Member, Overlay,
    Report, ReportId, ReportList, ReportOf, ReportPlace, RoomId, SeqRange, Timestamp, TitlePlace, UserId,
};

/// Sorts before every character of an id: `{id}!` sorts after `id` and before any longer id.
const BEFORE_IDS: char = '!';
/// Sorts after every character of an id.
const BEHIND_IDS: char = '\u{7f}';

#[async_trait]
impl LogStore for Dynamo {
    async fn create_room(&self, mut creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        creation.info.epoch = creation.info.epoch.max(self.settled().await?.epoch);
        Box::pin(self.create(creation)).await
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        self.append_chunk(room, append).await
    }

    fn append_interval(&self) -> Duration {
        GATHER
    }

    fn late_append(&self) -> Duration {
        LATE_REQUEST
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        self.stored_room("room", room).await
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        let key = messages::chunk_key(room, first_seq);
        let item = self.get("chunk", &self.tables.messages, key).await?;
        item.map(|item| messages::chunk(room, &item)).transpose()
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        self.chunks_from("chunks_after", room, (head.saturating_add(1), u64::MAX), limit).await
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let chunks = self.chunks_back("events_before", room, (1, seq.saturating_sub(1)), limit).await?;
        let events = chunks.into_iter().rev().flat_map(Chunk::into_events);
        Ok(events.filter(|event| event.seq < seq).collect())
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        self.entries(room, range, limit, latest).await
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        self.settled_overlay("overlay", room, seq).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        self.deleted_in(room, range).await
    }
}

#[async_trait]
impl MemberStore for Dynamo {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        let key = rooms::member_key(room, user);
        let item = self.get_settled("member", &self.tables.rooms, key).await?;
        item.map(|item| rooms::member(room, &item)).transpose()
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let low = after.map_or_else(String::new, |user| format!("{user}{BEFORE_IDS}"));
        let range = Range {
            operation: "members",
            table: &self.tables.rooms,
            partition: (rooms::ROOM, room.as_str()),
            sort: rooms::ITEM,
            low: text(&format!("{}{low}", rooms::MEMBER)),
            high: text(rooms::BEHIND_MEMBERS),
            backwards: false,
        };
        self.run(&range, limit).await?.iter().map(|item| rooms::member(room, item)).collect()
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        let keys: Vec<_> = users.iter().map(|user| rooms::member_key(room, user)).collect();
        let items = self.get_all_settled("members_by_id", &self.tables.rooms, &keys).await?;
        items.iter().map(|item| rooms::member(room, item)).collect()
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        let low = after.map_or_else(String::new, |room| room.to_string());
        let range = Range {
            operation: "rooms_of",
            table: &self.tables.user_rooms,
            partition: (user_rooms::USER, user.as_str()),
            sort: user_rooms::ROOM,
            low: text(&format!("{low}{BEFORE_IDS}")),
            high: text(&BEHIND_IDS.to_string()),
            backwards: false,
        };
        let items = self.run(&range, limit).await?;
        let rows = items.iter().map(|item| user_rooms::user_room(user, item));
        UserRooms::from_rows(rows.collect::<Result<Vec<_>, _>>()?, limit)
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        let operation = "user_room";
        let key = user_rooms::key(user, room);
        let Some(item) = self.get_settled(operation, &self.tables.user_rooms, key).await? else {
            return Ok(None);
        };
        let row = user_rooms::row(user, room, &item)?;
        Ok(Some(self.derived(operation, user, room, row).await?))
    }
}

#[async_trait]
impl MarkStore for Dynamo {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let Some(row) = self.advance_row(user, room, to).await? else { return Ok(None) };
        Ok(Some(self.derived(cursors::OPERATION, user, room, row).await?.cursors))
    }

    async fn advance_stored(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        Ok(self.advance_row(user, room, to).await?.map(|row| row.cursors))
    }

    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        self.update_preferences(user, room, change).await
    }
}

#[async_trait]
impl UserStore for Dynamo {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        self.put_user(user).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let item = self.get("user", &self.tables.users, users::key(id)).await?;
        item.map(|item| users::user(&item)).transpose()
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let ids: BTreeSet<&UserId> = ids.iter().collect();
        let keys = ids.into_iter().map(users::key).collect();
        let items = self.get_many("users_by_id", &self.tables.users, keys).await?;
        items.iter().map(users::user).filter_map(listed_user).collect()
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.scan_users(after, limit).await
    }

    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        self.users_by_name(prefix, after, limit).await
    }

    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        self.change_user(id, &change, at).await
    }
}

#[async_trait]
impl BlockStore for Dynamo {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
        self.blocks_of(user).await
    }

    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        self.change_blocks(user, other, since).await
    }
}

#[async_trait]
impl ReportStore for Dynamo {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        self.put_report(report, is_only).await
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        self.last_report_of(of).await
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        self.stored_report(id).await
    }

    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        self.reports_in(list, after, limit).await
    }

    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.count_in(list, since, limit).await
    }

    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        self.change_report(old, new).await
    }
}

#[async_trait]
impl InvitationStore for Dynamo {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.invitations_to(room).await
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.issued_by(room).await
    }

    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        self.list_of_invited(user, after, limit).await
    }

    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        self.lists_of(room, users).await
    }

    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        self.forget(user, old).await
    }
}

#[async_trait]
impl DirectoryStore for Dynamo {
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        self.rooms_by_title(prefix, after, limit).await
    }
}

#[async_trait]
impl Store for Dynamo {
    async fn identity(&self) -> Result<String, StoreError> {
        Ok(self.settled().await?.id.clone())
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        self.settle_room_ids().await
    }

    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        self.read_note().await
    }

    async fn leave_note(&self, note: &str) -> Result<(), StoreError> {
        self.put_note(note).await
    }

    /// DynamoDB may recover at any time, but what this process remembers of tables that were restored does not.
    async fn failed(&self) -> String {
        self.replaced().await
    }
}
