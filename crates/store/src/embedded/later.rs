//! Fields of a later version survive changes by this one.

use std::path::Path;

use parlance_core::{
    Action, Authority, Command, Creation, Cursors, Decision, Name, NewRoom, RequestId, Room, RoomId,
    RoomKind, Settings, SettingsChange, Timestamp, Title, Topic, UserId, Visibility,
};

use super::keys;
use super::tables::Table;
use super::{Embedded, Options};
use crate::{LogStore, MarkStore, MemberStore, User, UserChange, UserStore};

/// The unknown field 1000 with this content.
const LATER: &[u8] = b"\xc2\x3e\x05later";

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

struct Rows {
    store: Embedded,
    room: Room,
}

impl Rows {
    /// A room of alice and bob.
    async fn create(dir: &Path) -> Self {
        let store = Embedded::open(dir, Options::default()).unwrap();
        let (alice, request) = (user("alice"), RequestId::parse("create").unwrap());
        let settings = Settings {
            title: Title::default(),
            topic: Topic::default(),
            visibility: Visibility::All,
            ..Settings::default()
        };
        let id = RoomId::created_unkeyed(&alice, &request);
        let new = NewRoom {
            id,
            creator: &alice,
            service: None,
            owner: None,
            request: &request,
            kind: RoomKind::Group,
            settings,
        };
        let creation = Creation::shared(new, &[user("bob")], [1; 16], Timestamp(1));
        store.create_room(creation.clone()).await.unwrap();
        let name = Name::parse("Bob").unwrap();
        let bob = User {
            id: user("bob"),
            name,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
            image: parlance_core::ImageUrl::default(),
            data: parlance_core::Data::default(),
            state: Default::default(),
        };
        store.create_user(bob).await.unwrap();
        Self { store, room: creation.into_room() }
    }

    fn id(&self) -> RoomId {
        self.room.info().id.clone()
    }

    /// The rows of the room, of bob as a member, and of his place in it.
    fn keys(&self) -> [(Table, Vec<u8>); 4] {
        let id = self.id();
        [
            (Table::Rooms, keys::id(id.as_str())),
            (Table::Members, keys::pair(id.as_str(), "bob")),
            (Table::UserRooms, keys::pair("bob", id.as_str())),
            (Table::Users, keys::id("bob")),
        ]
    }

    async fn get(&self, table: Table, key: &[u8]) -> Vec<u8> {
        let key = key.to_vec();
        let read = self.store.committer.commit(move |txn| txn.get(table, &key).unwrap().unwrap());
        read.await.unwrap()
    }

    async fn put(&self, table: Table, key: &[u8], row: Vec<u8>) {
        let key = key.to_vec();
        self.store.committer.commit(move |txn| txn.put(table, key, row)).await.unwrap();
    }

    async fn act(&mut self, action: Action) {
        let request = RequestId::parse(&format!("request-{}", self.room.head().seq())).unwrap();
        let command =
            Command { actor: user("alice"), authority: Authority::Member, request, after: None, action };
        let mut draft = self.room.draft();
        draft.room_mut().load_blocks(&user("alice"), [(user("bob"), false)]);
        let decision = draft.decide(&command, Timestamp(2)).unwrap();
        assert!(matches!(decision, Decision::Done(_)), "{decision:?}");
        let (append, after) = draft.finish([self.room.head().seq() as u8; 16]);
        self.store.append(&self.id(), append.unwrap()).await.unwrap();
        self.room = after;
    }
}

fn holds_later(row: &[u8]) -> bool {
    row.windows(LATER.len()).any(|part| part == LATER)
}

#[tokio::test]
async fn unknown_fields_survive_all_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = Rows::create(dir.path()).await;
    for (table, key) in rows.keys() {
        let row = [&rows.get(table, &key).await, LATER].concat();
        rows.put(table, &key, row).await;
    }
    // Within the settings of the room, too: a second occurrence of field 2, which
    // is merged.
    let (table, key) = &rows.keys()[0];
    let within = b"\x12\x08\xc2\x3e\x05inner";
    let row = [&rows.get(*table, key).await, &within[..]].concat();
    rows.put(*table, key, row).await;

    rows.act(Action::Remove { user: user("bob") }).await;
    rows.act(Action::Add { users: vec![user("bob")] }).await;
    for title in ["Red", "Blue"] {
        let title = Some(Title::parse(title).unwrap());
        rows.act(Action::Update(SettingsChange { title, ..Default::default() })).await;
    }
    let (id, bob) = (rows.id(), user("bob"));
    let delivered = rows.room.head().seq();
    rows.store.advance(&bob, &id, Cursors { delivered, ..Default::default() }).await.unwrap();
    rows.store
        .update_user(&bob, UserChange::rename(Name::parse("Robert").unwrap()), Timestamp(3))
        .await
        .unwrap();

    for (table, key) in rows.keys() {
        assert!(holds_later(&rows.get(table, &key).await), "{table:?}");
    }
    let row = rows.get(*table, key).await;
    assert_eq!(row.windows(5).filter(|part| *part == b"inner").count(), 1);
    let info = rows.store.room(&id).await.unwrap().unwrap().info;
    assert_eq!((info.settings.title.as_str(), info.settings.visibility), ("Blue", Visibility::All));
    assert_eq!(rows.store.member(&id, &bob).await.unwrap().unwrap().intervals.len(), 2);
    let stored = rows.store.user_room(&bob, &id).await.unwrap().unwrap();
    assert_eq!(stored.cursors.delivered, delivered);
    assert_eq!(rows.store.user(&bob).await.unwrap().unwrap().name.as_str(), "Robert");
}
