//! Members of a room, and rooms of a user.

use std::time::Duration;

use parlance_core::{
    Action, Body, Data, DataChange, Interval, Member, MemberData, Mute, Reason, Role, RoomId, SeqRange,
    SettingsChange, Standing, Timestamp, UserId,
};

use super::fixture::{AnyStore, NOW, Node, add, group, unique, user};

/// Ids with common prefixes, in order.
const NAMES: [&str; 9] = ["a", "a+", "a-", "a.b", "a.b.c", "a0", "aa", "aaa", "b"];

pub(crate) async fn membership_is_kept_by_interval(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    assert_eq!(store.member(node.id(), &bob).await.unwrap(), None);

    let visibility = node.stored().await.info.settings.visibility;
    let joined = node.write(&[(&alice, add(&[&bob]))]).await;
    let left = node.write(&[(&alice, Action::Remove { user: bob.clone() })]).await;
    let again = node.write(&[(&alice, add(&[&bob]))]).await;
    let expected = Member {
        user: bob.clone(),
        role: Role::Member,
        intervals: vec![
            Interval { joined, left: Some(left), visibility: Some(visibility) },
            Interval::starting_at(again),
        ],
        standing: Standing::Free,
        left_with: None,
        ban_ends: None,
        mute: None,
        data: MemberData::default(),
    };
    assert_eq!(store.member(node.id(), &bob).await.unwrap(), Some(expected));

    // The row of a former member stays, with the settings at that time.
    node.write(&[(&bob, Action::Leave)]).await;
    let settings = node.stored().await.info.settings;
    let row = store.member(node.id(), &bob).await.unwrap().unwrap();
    assert_eq!((row.standing, row.left_with), (Standing::Free, Some(settings)));
    node.write(&[(&alice, ban(&bob, None))]).await;
    assert_eq!(store.member(node.id(), &bob).await.unwrap().unwrap().standing, Standing::Banned);
    let members = store.members(node.id(), None, 10).await.unwrap();
    let active: Vec<(&UserId, bool)> = members.iter().map(|row| (&row.user, row.is_active())).collect();
    assert_eq!(active, [(&alice, true), (&bob, false)]);
    assert_eq!(store.rooms_of(&bob, None, 10).await.unwrap().rows[0].member, members[1]);
    assert_eq!(node.stored().await.head().member_count(), 1);
}

fn ban(user: &UserId, lasts: Option<Duration>) -> Action {
    Action::Ban { user: user.clone(), lasts, reason: Reason::parse("spam").unwrap() }
}

fn mute(user: &UserId, lasts: Option<Duration>) -> Action {
    Action::Mute { user: user.clone(), lasts, reason: Reason::parse("too loud").unwrap() }
}

pub(crate) async fn bans_and_mutes_are_kept_with_their_ends(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let minute = Some(Duration::from_secs(60));
    let end = Some(Timestamp(NOW.0 + 60_000));
    let id = node.id().clone();
    let row = async || store.member(&id, &bob).await.unwrap().unwrap();
    assert_eq!(row().await.mute, None);
    for (lasts, until) in [(minute, end), (None, None)] {
        node.write(&[(&alice, mute(&bob, lasts))]).await;
        assert_eq!(row().await.mute, Some(Mute { until }));
    }
    // A mute that was lifted is one that has ended.
    node.write(&[(&alice, Action::Unmute { user: bob.clone() })]).await;
    let lifted = Some(Mute { until: Some(NOW) });
    assert_eq!(row().await.mute, lifted);
    for (lasts, until) in [(minute, end), (None, None), (minute, end)] {
        node.write(&[(&alice, ban(&bob, lasts))]).await;
        let row = row().await;
        assert_eq!((row.standing, row.ban_ends, row.mute), (Standing::Banned, until, lifted));
    }
    node.write(&[(&alice, Action::Unban { user: bob.clone() })]).await;
    let free = row().await;
    assert_eq!((free.standing, free.ban_ends, free.mute), (Standing::Free, None, lifted));
    // What the log says is what the rows say.
    let events = store.events_before(node.id(), node.head() + 1, 100).await.unwrap();
    let bodies: Vec<Body> = events.into_iter().map(|event| event.body).collect();
    let reason = Reason::parse("too loud").unwrap();
    assert!(bodies.contains(&Body::MemberMuted { user: bob.clone(), until: end, reason }), "{bodies:?}");
}

/// A text as `google.protobuf.Value`, under one key.
fn of_team(team: &str) -> Data {
    let text = [&[0x1a, team.len() as u8], team.as_bytes()].concat();
    Data::stored([("team".to_owned(), text)].into())
}

fn set_team(user: &UserId, team: Option<&str>) -> Action {
    let set = team.map(of_team).unwrap_or_default();
    let data = DataChange { set, unset: vec!["team".to_owned()] };
    Action::UpdateMember { user: user.clone(), data }
}

pub(crate) async fn data_of_a_member_ends_with_the_membership(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let id = node.id().clone();
    let row = async || store.member(&id, &bob).await.unwrap().unwrap();
    let in_log = async |seq| {
        let range = SeqRange { from: seq, to: seq };
        match &store.read(&id, range, 1, false).await.unwrap()[0].event.body {
            Body::MemberUpdated { user, data } if *user == bob => data.clone(),
            body => panic!("{body:?}"),
        }
    };
    let red = node.write(&[(&bob, set_team(&bob, Some("red")))]).await;
    assert_eq!(row().await.data, MemberData { values: of_team("red"), seq: red });
    assert_eq!(store.members(&id, None, 10).await.unwrap()[1], row().await);
    let listed = store.user_room(&bob, &id).await.unwrap().unwrap().member;
    assert_eq!(listed, row().await.without_data(), "not in the lists of his rooms");
    assert_eq!(store.rooms_of(&bob, None, 10).await.unwrap().rows[0].member, listed);
    assert_eq!(in_log(red).await, Some(of_team("red")));

    // Both in one chunk.
    let both = [(&alice, set_team(&bob, Some("blue"))), (&bob, set_team(&bob, Some("green")))];
    node.write(&both).await;
    let last = node.head();
    let data = [in_log(red).await, in_log(last - 1).await, in_log(last).await];
    assert_eq!(data, [None, None, Some(of_team("green"))]);
    node.write(&[(&alice, Action::SetRole { user: bob.clone(), role: Role::Admin })]).await;
    assert_eq!(row().await.data, MemberData { values: of_team("green"), seq: last });
    let left = node.write(&[(&bob, Action::Leave)]).await;
    assert_eq!(row().await.data, MemberData { values: Data::default(), seq: left });
    assert_eq!(in_log(last).await, None);
    node.write(&[(&alice, add(&[&bob]))]).await;
    assert_eq!(row().await.data.values, Data::default());
    let again = node.write(&[(&bob, set_team(&bob, Some("red")))]).await;
    let none = node.write(&[(&bob, set_team(&bob, None))]).await;
    assert_eq!((in_log(again).await, in_log(none).await), (None, Some(Data::default())));
    let whole = SeqRange { from: 1, to: none };
    assert_eq!(store.count_deleted(&id, whole).await.unwrap(), 0, "no message was deleted");
}

pub(crate) async fn slow_mode_is_a_setting(store: AnyStore) {
    let tag = unique();
    let alice = user(tag, "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let slow = Some(30);
    node.write(&[(&alice, Action::Update(SettingsChange { slow_mode: slow, ..Default::default() }))]).await;
    assert_eq!(node.stored().await.info.settings.slow_mode, 30);
}

pub(crate) async fn a_role_is_kept_with_the_member(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let give = |user: &UserId, role| Action::SetRole { user: user.clone(), role };
    node.write(&[(&alice, give(&bob, Role::Admin))]).await;
    // Passes on ownership: two rows in one chunk.
    node.write(&[(&alice, give(&bob, Role::Owner))]).await;
    let role = async |user| store.member(node.id(), user).await.unwrap().unwrap().role;
    assert_eq!((role(&alice).await, role(&bob).await), (Role::Admin, Role::Owner));
}

/// More than one DynamoDB batch, and rooms without any of them.
pub(crate) async fn members_are_read_by_id(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    node.write(&[(&alice, Action::Remove { user: bob.clone() })]).await;
    let strangers: Vec<UserId> = (0..120).map(|number| user(tag, &format!("stranger-{number}"))).collect();
    let asked: Vec<UserId> = [&alice].into_iter().chain(&strangers).chain([&bob]).cloned().collect();
    let mut rows = store.members_by_id(node.id(), &asked).await.unwrap();
    rows.sort_by(|a, b| a.user.cmp(&b.user));
    let mut expected = store.members(node.id(), None, 10).await.unwrap();
    expected.sort_by(|a, b| a.user.cmp(&b.user));
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 2);
    assert_eq!(store.members_by_id(node.id(), &[]).await.unwrap(), []);
    let elsewhere = RoomId::direct(&strangers[0], &strangers[1]);
    assert_eq!(store.members_by_id(&elsewhere, &asked).await.unwrap(), []);
}

pub(crate) async fn members_are_paged_by_id(store: AnyStore) {
    let tag = unique();
    let users = NAMES.map(|name| user(tag, name));
    let mut others: Vec<&UserId> = users[1..].iter().collect();
    others.reverse();
    let node = Node::create(&store, group(&users[0], &others)).await;
    // A room next to it, with a member who sorts in between.
    Node::create(&store, group(&user(tag, "a1"), &[])).await;

    let page = async |after: Option<&UserId>, limit| {
        let rows = store.members(node.id(), after, limit).await.unwrap();
        rows.into_iter().map(|row| row.user).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100).await, users);
    assert_eq!(page(None, 0).await, []);
    for size in 1..=4 {
        let mut read: Vec<UserId> = Vec::new();
        loop {
            let next = page(read.last(), size).await;
            if next.is_empty() {
                break;
            }
            assert!(next.len() == size || read.len() + next.len() == users.len());
            read.extend(next);
        }
        assert_eq!(read, users, "in pages of {size}");
    }
    // After a user who is not in the room.
    assert_eq!(page(Some(&user(tag, "a.c")), 2).await, users[5..7]);
    assert_eq!(page(Some(&user(tag, "z")), 2).await, []);
}

pub(crate) async fn rooms_of_a_user_are_paged_by_id(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    // A user whose id has hers as a prefix, and a room that she is not in.
    let alicia = user(tag, "alice.a");
    let ids = NAMES.map(|name| RoomId::parse(&format!("{tag:016x}-{name}")).unwrap());
    for id in ids.iter().rev() {
        let mut creation = group(&alice, &[&alicia]);
        creation.info.id = id.clone();
        Node::create(&store, creation).await;
    }
    Node::create(&store, group(&bob, &[&alicia])).await;

    let page = async |after: Option<&RoomId>, limit| {
        let rooms = store.rooms_of(&alice, after, limit).await.unwrap().rows;
        assert!(rooms.iter().all(|room| room.member.user == alice && room.member.role == Role::Owner));
        rooms.into_iter().map(|room| room.room).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(&ids[1]), 3).await, ids[2..5]);
    assert_eq!(page(Some(&ids[8]), 3).await, []);
    assert_eq!(store.rooms_of(&alicia, None, 100).await.unwrap().rows.len(), 10);
}

pub(crate) async fn one_room_of_a_user(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let node = Node::create(&store, group(&alice, &[&bob])).await;
    let room = store.user_room(&bob, node.id()).await.unwrap().unwrap();
    assert_eq!(room.room, *node.id());
    assert_eq!(Some(room.member.clone()), store.member(node.id(), &bob).await.unwrap());
    assert_eq!(store.rooms_of(&bob, None, 10).await.unwrap().rows, [room]);
}

pub(crate) async fn several_rooms_are_read_in_their_order(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut ids = Vec::new();
    for members in [&[][..], &[&bob], &[&bob]] {
        ids.push(Node::create(&store, group(&alice, members)).await.id().clone());
    }
    ids.swap(0, 2);
    ids.insert(1, RoomId::parse(&format!("{tag:016x}-none")).unwrap());
    let (rooms, rows) = (store.rooms(&ids).await, store.user_rooms(&bob, &ids).await);
    assert_eq!((rooms.len(), rows.len()), (4, 4));
    for (id, (room, row)) in ids.iter().zip(rooms.into_iter().zip(rows)) {
        assert_eq!(room, store.room(id).await);
        assert_eq!(row, store.user_room(&bob, id).await);
    }
    assert_eq!(store.rooms(&[]).await, []);
    assert_eq!(store.user_rooms(&bob, &[]).await, []);
}
