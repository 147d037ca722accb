//! Permissions, freezing, and the app's own data.

use std::collections::BTreeMap;

use parlance_core::limits::MAX_DATA_BYTES;
use parlance_core::{
    Action, Authority, Body, Command, Data, DataChange, DataTooLarge, DefaultPermissions, Entry, Message,
    MessageKind, Permission, Permissions, Refusal, Role, SettingsChange, Text,
};

use crate::solo::Solo;
use crate::values::{add, command, delete, edit, mention_all, react, rename, send, set_role, text, unreact};

const NEEDS_ADMIN: Refusal = Refusal::NeedsRole("admin");
const NEEDS_OWNER: Refusal = Refusal::NeedsRole("owner");

fn data(entries: &[(&str, &str)]) -> Data {
    let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
    Data::new(entries.iter().map(entry).collect()).unwrap()
}

fn set(entries: &[(&str, &str)]) -> DataChange {
    DataChange { set: data(entries), unset: Vec::new() }
}

fn permit(permissions: Permissions) -> Action {
    Action::Update(SettingsChange { permissions, ..SettingsChange::default() })
}

fn freeze(frozen: bool) -> Action {
    Action::Update(SettingsChange { frozen: Some(frozen), ..SettingsChange::default() })
}

fn card(entries: &[(&str, &str)]) -> Action {
    let kind = MessageKind::parse("custom:card").unwrap();
    Action::Send(Message { kind, data: data(entries), ..Message::plain(Text::empty()) })
}

#[test]
fn a_room_for_announcements_is_one_where_admins_post() {
    let mut solo = Solo::group();
    solo.does("bob", send("hello")).unwrap();
    let announcements = Permissions { post: Some(Role::Admin), ..Permissions::default() };
    assert_eq!(solo.does("bob", permit(announcements)), Err(NEEDS_ADMIN));
    solo.does("ann", permit(announcements)).unwrap();
    assert_eq!(solo.does("bob", send("and I?")), Err(NEEDS_ADMIN));
    assert_eq!(solo.does("bob", edit(5, "changed")), Err(NEEDS_ADMIN));
    solo.does("bob", react(5, "👍")).unwrap();
    solo.does("bob", delete(5)).unwrap();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("bob", send("now I may")).unwrap();
    assert_eq!(solo.does("bob", permit(announcements)), Err(NEEDS_OWNER), "not even to change nothing");
}

#[test]
fn a_permission_follows_the_default_again_once_it_is_unset() {
    let unset =
        |unset_permissions| Action::Update(SettingsChange { unset_permissions, ..SettingsChange::default() });
    let mut solo = Solo::group();
    let all = [
        Permission::Post,
        Permission::React,
        Permission::Invite,
        Permission::Edit,
        Permission::Delete,
        Permission::MentionAll,
    ];
    let strict = Permissions {
        post: Some(Role::Admin),
        invite: Some(Role::Member),
        mention_all: Some(Role::Member),
        ..Permissions::default()
    };
    solo.does("ann", permit(strict)).unwrap();
    assert_eq!(solo.does("bob", send("and I?")), Err(NEEDS_ADMIN));
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    assert_eq!(solo.does("bob", unset(vec![Permission::Post])), Err(NEEDS_OWNER));
    solo.does("ann", set_role("bob", Role::Member)).unwrap();
    solo.does("ann", unset(vec![Permission::Post])).unwrap();
    solo.does("bob", send("hello")).unwrap();
    solo.does("bob", add(&["dan"])).expect("another one stays as it is");
    solo.does("ann", unset(all.to_vec())).unwrap();
    assert_eq!(solo.room.info().settings.permissions, Permissions::default());
    assert_eq!(solo.does("ann", unset(all.to_vec())).unwrap().first, 0, "nothing changes");
    // In one request with others that are set.
    solo.does("ann", permit(strict)).unwrap();
    let change = SettingsChange {
        permissions: Permissions { react: Some(Role::Admin), ..Permissions::default() },
        unset_permissions: vec![Permission::Post],
        ..SettingsChange::default()
    };
    solo.does("ann", Action::Update(change)).unwrap();
    let expected = Permissions { post: None, react: Some(Role::Admin), ..strict };
    assert_eq!(solo.room.info().settings.permissions, expected);
}

#[test]
fn each_permission_is_the_lowest_role_for_its_actions() {
    let lowest = |role| Permissions {
        post: Some(role),
        react: Some(role),
        invite: Some(role),
        edit: Some(role),
        delete: Some(role),
        mention_all: Some(role),
    };
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    solo.does("ann", permit(lowest(Role::Member))).unwrap();
    for action in [send("x"), mention_all("x"), react(5, "👍"), add(&["dan"]), rename("bob's"), delete(5)] {
        solo.does("bob", action.clone()).unwrap_or_else(|refusal| panic!("{action:?}: {refusal}"));
    }
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", permit(lowest(Role::Owner))).unwrap();
    for action in [send("x"), mention_all("x"), react(5, "👍"), add(&["dan"]), rename("bob's"), delete(5)] {
        assert_eq!(solo.does("bob", action.clone()), Err(NEEDS_OWNER), "{action:?}");
    }
    // One role is set, the others stay.
    solo.does("ann", permit(Permissions { post: Some(Role::Member), ..Permissions::default() })).unwrap();
    solo.does("bob", send("x")).unwrap();
    assert_eq!(solo.does("bob", rename("x")), Err(NEEDS_OWNER));
}

#[test]
fn defaults_of_the_kind_apply_where_a_room_has_set_nothing() {
    let channel = Permissions { post: Some(Role::Admin), react: Some(Role::Owner), ..Permissions::default() };
    let group =
        Permissions { invite: Some(Role::Member), mention_all: Some(Role::Member), ..Permissions::default() };
    let defaults = DefaultPermissions { group, channel };
    let mut solo = Solo::channel();
    solo.room = solo.room.permitting(&defaults);
    solo.does("ann", send("hello")).unwrap();
    assert_eq!(solo.does("bob", send("and I?")), Err(NEEDS_ADMIN));
    assert_eq!(solo.does("bob", react(5, "👍")), Err(NEEDS_OWNER));
    // Its own permissions go before.
    solo.does("ann", permit(Permissions { post: Some(Role::Member), ..Permissions::default() })).unwrap();
    solo.does("bob", send("now I may")).unwrap();
    assert_eq!(solo.does("bob", react(5, "👍")), Err(NEEDS_OWNER), "not set by the room");
    assert_eq!(solo.does("bob", add(&["dan"])), Err(NEEDS_ADMIN), "of groups only");
    assert_eq!(solo.does("bob", mention_all("hello")), Err(NEEDS_ADMIN), "of groups only");
    let mut solo = Solo::group();
    solo.room = solo.room.permitting(&defaults);
    solo.does("bob", add(&["dan"])).unwrap();
    solo.does("bob", mention_all("hello")).unwrap();
    let mut solo = Solo::direct();
    solo.room = solo.room.permitting(&defaults);
    solo.does("bob", send("hello")).unwrap();
    assert_eq!(solo.does("bob", mention_all("hello")), Err(NEEDS_ADMIN), "there is nobody else to mention");

    let own = Permissions { react: Some(Role::Admin), ..Permissions::default() };
    let in_force = own.in_force(&defaults.of(parlance_core::RoomKind::Channel));
    let expected = Permissions {
        post: Some(Role::Admin),
        react: Some(Role::Admin),
        invite: Some(Role::Admin),
        edit: Some(Role::Admin),
        delete: Some(Role::Admin),
        mention_all: Some(Role::Admin),
    };
    assert_eq!(in_force, expected);
}

#[test]
fn only_the_app_writes_to_a_frozen_room() {
    let mut solo = Solo::channel();
    solo.does("bob", send("hello")).unwrap();
    solo.does("bob", react(5, "👍")).unwrap();
    solo.does("ann", freeze(true)).unwrap();
    for action in [send("x"), edit(5, "x"), react(5, "🎉"), unreact(5, "👍"), add(&["dan"])] {
        assert_eq!(solo.does("bob", action.clone()), Err(Refusal::Frozen), "{action:?}");
    }
    assert_eq!(solo.does("ann", send("x")), Err(Refusal::Frozen), "whoever it is");
    assert_eq!(solo.does("eve", Action::Join), Err(Refusal::Frozen));
    assert_eq!(solo.does("eve", send("x")), Err(Refusal::NotMember), "to strangers it is not said");
    let authority = Authority::App { moderates: false };
    solo.ask(&Command { authority, ..command("backend", "1", None, send("closed for today")) }).unwrap();
    solo.does("bob", delete(5)).unwrap();
    solo.does("cat", Action::Leave).unwrap();
    solo.does("ann", freeze(false)).unwrap();
    solo.does("bob", send("again")).unwrap();
}

#[test]
fn data_of_a_room_is_merged() {
    let mut solo = Solo::group();
    let update = |data| Action::Update(SettingsChange { data, ..SettingsChange::default() });
    solo.does("ann", update(set(&[("a", "1"), ("b", "2")]))).unwrap();
    let change = DataChange { set: data(&[("b", "3")]), unset: vec!["a".to_owned()] };
    solo.does("ann", update(change)).unwrap();
    assert_eq!(solo.store.info.settings.data, data(&[("b", "3")]));
    let head = solo.head();
    solo.does("ann", update(set(&[("b", "3")]))).unwrap();
    assert_eq!(solo.head(), head, "nothing has changed");
    let half = "x".repeat(MAX_DATA_BYTES / 2);
    solo.does("ann", update(set(&[("c", &half)]))).unwrap();
    assert_eq!(solo.does("ann", update(set(&[("d", &half)]))), Err(DataTooLarge.into()));
}

/// The message at 5 as history shows it.
fn shown(solo: &Solo) -> Message {
    let overlay = solo.store.overlays.get(&5).cloned();
    let entry = Entry::merge(solo.store.event(5).unwrap().clone(), overlay);
    let Body::Message(message) = entry.event.body else { panic!("a message") };
    message
}

#[test]
fn data_is_part_of_a_messages_content() {
    let mut solo = Solo::group();
    solo.does("bob", card(&[("state", "open"), ("price", "5")])).unwrap();
    let change = DataChange { set: data(&[("state", "paid")]), unset: vec!["price".to_owned()] };
    let target = 5;
    // On another node, which has to read it.
    solo.reload();
    solo.does("bob", Action::Edit { target, text: Text::empty(), data: change }).unwrap();
    assert_eq!(shown(&solo).data, data(&[("state", "paid")]));
    // Text edits leave the data unchanged.
    solo.reload();
    solo.does("bob", edit(target, "a card")).unwrap();
    assert_eq!((shown(&solo).data, shown(&solo).text), (data(&[("state", "paid")]), text("a card")));
    let edited = solo.store.event(solo.head()).unwrap();
    assert!(matches!(edited.body, Body::MessageEdited { data: None, .. }), "{edited:?}");
    // A reader who may not see the message does not get its data either.
    let first = solo.store.event(6).unwrap().without_content().unwrap();
    assert!(matches!(first.body, Body::MessageEdited { data: None, .. }), "{first:?}");
    solo.does("bob", delete(target)).unwrap();
    assert_eq!(shown(&solo).data, Data::default());
    assert_eq!(solo.store.overlays[&5].data, None);
    let first = Entry::merge(solo.store.event(6).unwrap().clone(), solo.store.overlays.get(&5).cloned());
    assert!(matches!(first.event.body, Body::MessageEdited { data: None, .. }), "{first:?}");
}

#[test]
fn an_edit_and_a_deletion_leave_the_mention_of_all() {
    let mut solo = Solo::group();
    solo.does("ann", mention_all("hi all")).unwrap();
    solo.reload();
    solo.does("ann", edit(5, "never mind")).unwrap();
    assert_eq!((shown(&solo).mentions_all, shown(&solo).text), (true, text("never mind")));
    solo.does("ann", delete(5)).unwrap();
    assert!(shown(&solo).mentions_all);
}

#[test]
fn only_messages_of_other_kinds_may_have_no_text() {
    let mut solo = Solo::group();
    solo.does("bob", send("hello")).unwrap();
    let edit = Action::Edit { target: 5, text: Text::empty(), data: set(&[("a", "1")]) };
    assert_eq!(solo.does("bob", edit), Err(Refusal::BlankText));
    let large: BTreeMap<_, _> = [("a".to_owned(), vec![0; MAX_DATA_BYTES + 1])].into();
    let change = DataChange { set: Data::stored(large), unset: Vec::new() };
    let edit = Action::Edit { target: 5, text: text("x"), data: change };
    assert_eq!(solo.does("bob", edit), Err(DataTooLarge.into()));
}
