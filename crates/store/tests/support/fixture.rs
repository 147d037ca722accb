//! Rooms held and written like a node does: everything stored here was decided by the
//! core.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{
    Action, Append, Authority, Command, Creation, DataChange, Decision, Emoji, Message, Name, NewRoom, Nonce,
    Outcome, RequestId, Room, RoomId, RoomKind, Settings, Text, Timestamp, Title, Topic, UserId, Visibility,
};
use parlance_store::{Created, Store, StoredRoom, User};

pub(crate) type AnyStore = Arc<dyn Store>;

/// An arbitrary time.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A number that is unique across all calls and runs.
#[expect(clippy::disallowed_methods, reason = "of a test, which nothing is to repeat")]
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(0)
}

pub(crate) fn nonce() -> Nonce {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&unique().to_be_bytes());
    nonce
}

/// A user of this test case: ids of one case share `tag` and sort by `name`.
pub(crate) fn user(tag: u64, name: &str) -> UserId {
    UserId::parse(&format!("{tag:016x}-{name}")).unwrap()
}

pub(crate) fn profile(id: &UserId, name: &str) -> User {
    User {
        id: id.clone(),
        name: Name::parse(name).unwrap(),
        created_at: NOW,
        updated_at: NOW,
        image: parlance_core::ImageUrl::default(),
        data: parlance_core::Data::default(),
        state: Default::default(),
    }
}

pub(crate) fn settings(title: &str) -> Settings {
    Settings {
        title: Title::parse(title).unwrap(),
        topic: Topic::default(),
        visibility: Visibility::All,
        ..Settings::default()
    }
}

/// The creation of a group by `owner`.
pub(crate) fn group(owner: &UserId, others: &[&UserId]) -> Creation {
    let request = RequestId::parse(&format!("{:x}", unique())).unwrap();
    let others: Vec<UserId> = others.iter().map(|user| (*user).clone()).collect();
    let id = RoomId::created_unkeyed(owner, &request);
    let (kind, settings) = (RoomKind::Group, settings("group"));
    let new = NewRoom { id, creator: owner, service: None, owner: None, request: &request, kind, settings };
    Creation::shared(new, &others, nonce(), NOW)
}

pub(crate) fn send(text: &str) -> Action {
    Action::Send(Message::plain(Text::parse(text).unwrap()))
}

pub(crate) fn edit(target: u64, text: &str) -> Action {
    Action::Edit { target, text: Text::parse(text).unwrap(), data: DataChange::default() }
}

pub(crate) fn react(target: u64, emoji: &str) -> Action {
    Action::React { target, emoji: Emoji::parse(emoji).unwrap() }
}

pub(crate) fn add(users: &[&UserId]) -> Action {
    Action::Add { users: users.iter().map(|user| (*user).clone()).collect() }
}

pub(crate) fn invite(users: &[&UserId]) -> Action {
    let users = users.iter().map(|user| (*user).clone()).collect();
    Action::Invite { users, added: Vec::new(), lasts: Duration::from_secs(60) }
}

/// One room as held by one node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) store: AnyStore,
    pub(crate) room: Room,
}

impl Node {
    /// Stores a new room.
    pub(crate) async fn create(store: &AnyStore, creation: Creation) -> Self {
        let stored = store.create_room(creation.clone()).await.unwrap();
        assert!(matches!(stored, Created::New(_)), "the room was there before");
        Self { store: store.clone(), room: creation.into_room() }
    }

    pub(crate) fn id(&self) -> &RoomId {
        &self.room.info().id
    }

    pub(crate) fn head(&self) -> u64 {
        self.room.head().seq()
    }

    /// The room as stored.
    pub(crate) async fn stored(&self) -> StoredRoom {
        self.store.room(self.id()).await.unwrap().unwrap()
    }

    /// Decides `actions` as one chunk: returns the append, and the room after it.
    pub(crate) fn decide(&self, actions: &[(&UserId, Action)]) -> (Append, Room) {
        let mut draft = self.room.clone().draft();
        for (actor, action) in actions {
            let command = Command {
                actor: (*actor).clone(),
                authority: match action {
                    Action::Import { .. } => Authority::App { moderates: false },
                    _ => Authority::Member,
                },
                request: RequestId::parse(&format!("{:x}", unique())).unwrap(),
                after: Some(self.head()),
                action: action.clone(),
            };
            if let Action::Accept
            | Action::Decline
            | Action::Join
            | Action::JoinByLink { .. }
            | Action::Request { .. } = action
                && self.room.member(actor).is_none()
            {
                draft.room_mut().load_member((*actor).clone(), None);
            }
            if let Action::Add { users } | Action::Invite { users, .. } = action {
                for user in users.iter().filter(|user| self.room.member(user).is_none()) {
                    draft.room_mut().load_member(user.clone(), None);
                }
                draft.room_mut().load_blocks(actor, users.iter().map(|user| (user.clone(), false)));
            }
            match draft.decide(&command, NOW).unwrap() {
                Decision::Done(Outcome { first: 1.., .. }) => {}
                other => panic!("not decided: {other:?}"),
            }
        }
        let (append, after) = draft.finish(nonce());
        (append.unwrap(), after)
    }

    /// Appends `actions` as one chunk; returns its first seq.
    pub(crate) async fn write(&mut self, actions: &[(&UserId, Action)]) -> u64 {
        let (append, room) = self.decide(actions);
        let first = append.chunk.first_seq();
        self.store.append(self.id(), append).await.unwrap();
        self.room = room;
        first
    }

    /// Sends a message in a chunk of its own.
    pub(crate) async fn say(&mut self, sender: &UserId, text: &str) -> u64 {
        self.write(&[(sender, send(text))]).await
    }
}
