//! The directory has channels that are listed, titled and not empty.

use parlance_core::{Action, Refusal, SettingsChange};

use crate::solo::Solo;
use crate::values::{rename, send};

fn list(listed: bool) -> Action {
    Action::Update(SettingsChange { listed: Some(listed), ..SettingsChange::default() })
}

/// The rows of the room.
fn rows(solo: &Solo) -> Vec<(&str, u64)> {
    solo.store.directory.iter().map(|(place, members)| (place.title.as_str(), *members)).collect()
}

#[test]
fn a_row_follows_title_members_and_setting() {
    let mut solo = Solo::channel();
    solo.does("ann", list(true)).unwrap();
    assert_eq!(rows(&solo), [], "it has no title");
    solo.does("ann", rename("  Big  News ")).unwrap();
    assert_eq!(rows(&solo), [("big news", 3)]);
    solo.does("dan", Action::Join).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    solo.does("cat", Action::Leave).unwrap();
    assert_eq!(rows(&solo), [("big news", 2)]);
    solo.does("ann", rename("BIG NEWS")).unwrap();
    assert_eq!(rows(&solo), [("big news", 2)]);
    solo.does("ann", rename("Small news")).unwrap();
    assert_eq!(rows(&solo), [("small news", 2)]);
    solo.does("ann", list(false)).unwrap();
    assert_eq!(rows(&solo), []);
    solo.does("ann", list(true)).unwrap();
    solo.does("ann", Action::DeleteRoom).unwrap();
    assert_eq!(rows(&solo), []);
}

#[test]
fn a_room_that_everybody_has_left_is_in_no_directory_until_somebody_is_back() {
    let mut solo = Solo::channel();
    solo.does("ann", rename("News")).unwrap();
    solo.does("ann", list(true)).unwrap();
    for user in ["bob", "cat", "ann"] {
        solo.does(user, Action::Leave).unwrap();
    }
    assert_eq!(rows(&solo), []);
    solo.does("bob", Action::Join).unwrap();
    assert_eq!(rows(&solo), [("news", 1)]);
}

#[test]
fn an_archived_room_is_in_no_directory() {
    let mut solo = Solo::channel();
    solo.does("ann", rename("News")).unwrap();
    solo.does("ann", list(true)).unwrap();
    let archive =
        |archived| Action::Update(SettingsChange { archived: Some(archived), ..SettingsChange::default() });
    solo.does("ann", archive(true)).unwrap();
    assert_eq!(rows(&solo), []);
    solo.does("ann", archive(false)).unwrap();
    assert_eq!(rows(&solo), [("news", 3)]);
}

#[test]
fn messages_write_no_row() {
    let mut solo = Solo::channel();
    solo.does("ann", rename("News")).unwrap();
    solo.does("ann", list(true)).unwrap();
    let head = solo.head();
    let said = crate::values::command("bob", "said", Some(head), send("hello"));
    let (_, append) = solo.append(&[said]).unwrap();
    assert_eq!(append.unwrap().listing, None);
}

#[test]
fn only_channels_are_listed_by_those_who_change_settings() {
    let mut channel = Solo::channel();
    assert_eq!(channel.does("bob", list(true)), Err(Refusal::NeedsRole("admin")));
    assert_eq!(channel.does("eve", list(true)), Err(Refusal::NotMember));
    channel.app("shop", list(true)).unwrap();
    let mut group = Solo::group();
    assert_eq!(group.does("ann", list(true)), Err(Refusal::NotListable));
    assert_eq!(group.does("ann", list(false)).unwrap().first, 0);
    assert_eq!(Solo::direct().app("shop", list(true)), Err(Refusal::DirectRoom));
}
