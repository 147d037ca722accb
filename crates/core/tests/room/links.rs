//! Whoever has the secret of a link joins by it, while it can be used.

use std::time::Duration;

use parlance_core::limits::MAX_LINKS;
use parlance_core::{
    Action, Body, Command, LinkHash, Permissions, Reason, Refusal, Role, SettingsChange, Timestamp,
};

use crate::solo::Solo;
use crate::values::{command, remove, set_role, user};

const HOUR: Duration = Duration::from_secs(3600);

fn hash(secret: u8) -> LinkHash {
    LinkHash::new([secret; LinkHash::BYTES])
}

fn make(secret: u8, max_uses: u32) -> Action {
    Action::CreateLink { hash: hash(secret), lasts: HOUR, max_uses }
}

fn by_link(id: &str, secret: u8) -> Command {
    command(id, &format!("{id}{secret}"), None, Action::JoinByLink { hash: hash(secret) })
}

fn joins(solo: &mut Solo, id: &str, secret: u8) -> Result<u64, Refusal> {
    solo.ask(&by_link(id, secret)).map(|outcome| outcome.first)
}

fn freeze(frozen: bool) -> Action {
    Action::Update(SettingsChange { frozen: Some(frozen), ..SettingsChange::default() })
}

#[test]
fn whoever_has_the_secret_joins_and_a_use_is_counted() {
    let mut solo = Solo::group();
    solo.now = 1_000;
    let link = solo.does("ann", make(1, 2)).unwrap().first;
    let made = solo.store.event(link).unwrap().body.clone();
    assert_eq!(made, Body::LinkCreated { until: Timestamp(1_000 + 3_600_000), max_uses: 2 });
    assert!(!format!("{:?}", solo.store.event(link)).contains("hash"), "events have no hash");
    let joined = joins(&mut solo, "dan", 1).unwrap();
    let added = Body::MemberAdded { user: user("dan"), role: Role::Member, link: Some(link) };
    assert_eq!(solo.store.event(joined).unwrap().body, added);
    assert_eq!(solo.store.invitations.link(link).unwrap().uses, 1);
    // A repeat uses nothing.
    let again = solo.ask(&by_link("dan", 1)).unwrap();
    assert!(again.is_repeat && again.first == joined);
    assert_eq!(joins(&mut solo, "bob", 1), Ok(0), "who is a member already");
    assert_eq!(solo.store.invitations.link(link).unwrap().uses, 1);
    joins(&mut solo, "eve", 1).unwrap();
    solo.does("eve", Action::Leave).unwrap();
    let late = command("eve", "late", None, Action::JoinByLink { hash: hash(1) });
    assert_eq!(solo.ask(&late), Err(Refusal::LinkInvalid), "it is used up");
}

#[test]
fn of_those_who_come_at_once_only_as_many_join_as_may() {
    let mut solo = Solo::group();
    solo.does("ann", make(1, 1)).unwrap();
    // In one draft.
    let both = [by_link("dan", 1), by_link("eve", 1)];
    assert_eq!(solo.append(&both).map(drop), Err(Refusal::LinkInvalid));
    // On two nodes: the second append is refused, and then decided again.
    let mut other = solo.room.clone();
    joins(&mut solo, "dan", 1).unwrap();
    let chunk = solo.store.tail().clone();
    other.apply(&chunk).unwrap();
    solo.room = other;
    assert_eq!(joins(&mut solo, "eve", 1), Err(Refusal::LinkInvalid));
}

#[test]
fn another_node_reads_links_from_the_store() {
    let mut solo = Solo::group();
    let mut other = solo.room.clone();
    let link = solo.does("ann", make(1, 0)).unwrap().first;
    other.apply(&solo.store.tail().clone()).unwrap();
    solo.room = other;
    joins(&mut solo, "dan", 1).unwrap();
    solo.reload();
    joins(&mut solo, "eve", 1).unwrap();
    assert_eq!(solo.store.invitations.link(link).unwrap().uses, 2);
}

#[test]
fn a_link_ends_by_time_by_being_taken_back_and_with_the_room() {
    let mut solo = Solo::group();
    solo.now = 1_000;
    let permissions = Permissions { invite: Some(Role::Member), ..Permissions::default() };
    solo.does("ann", Action::Update(SettingsChange { permissions, ..SettingsChange::default() })).unwrap();
    let of_bob = solo.does("bob", make(1, 0)).unwrap().first;
    let of_ann = solo.does("ann", make(2, 0)).unwrap().first;
    assert_eq!(solo.does("bob", Action::RevokeLink { link: of_ann }), Err(Refusal::NeedsRole("admin")));
    assert_eq!(solo.does("bob", Action::RevokeLink { link: 1 }).unwrap().first, 0);
    let revoked = solo.does("bob", Action::RevokeLink { link: of_bob }).unwrap().first;
    assert_eq!(solo.store.event(revoked).unwrap().body, Body::LinkRevoked { link: of_bob });
    assert_eq!(joins(&mut solo, "dan", 1), Err(Refusal::LinkInvalid));
    solo.now += 3_600_000 - 1;
    joins(&mut solo, "dan", 2).unwrap();
    solo.now += 1;
    assert_eq!(joins(&mut solo, "eve", 2), Err(Refusal::LinkInvalid));
    solo.does("ann", make(3, 0)).unwrap();
    assert_eq!(joins(&mut solo, "eve", 4), Err(Refusal::LinkInvalid), "another secret");
    for id in ["bob", "cat", "dan", "ann"] {
        solo.does(id, Action::Leave).unwrap();
    }
    assert_eq!(joins(&mut solo, "eve", 3), Err(Refusal::LinkInvalid), "nobody is there");
    let mut deleted = Solo::group();
    deleted.does("ann", make(1, 0)).unwrap();
    deleted.does("ann", Action::DeleteRoom).unwrap();
    assert!(deleted.store.invitations.is_empty());
    assert_eq!(joins(&mut deleted, "eve", 1), Err(Refusal::LinkInvalid));
    let mut direct = Solo::direct();
    assert_eq!(direct.does("ann", make(1, 0)), Err(Refusal::DirectRoom));
    assert_eq!(joins(&mut direct, "eve", 1), Err(Refusal::LinkInvalid));
}

#[test]
fn who_was_removed_or_banned_stays_out_and_a_frozen_room_is_closed() {
    let mut solo = Solo::group();
    assert_eq!(solo.does("bob", make(1, 0)), Err(Refusal::NeedsRole("admin")));
    solo.does("ann", make(1, 0)).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    assert_eq!(joins(&mut solo, "bob", 1), Err(Refusal::Removed));
    let ban = Action::Ban { user: user("cat"), lasts: None, reason: Reason::default() };
    solo.does("ann", ban).unwrap();
    assert_eq!(joins(&mut solo, "cat", 1), Err(Refusal::Banned { until: None }));
    solo.does("ann", freeze(true)).unwrap();
    assert_eq!(joins(&mut solo, "dan", 1), Err(Refusal::Frozen));
    assert_eq!(
        joins(&mut solo, "dan", 2),
        Err(Refusal::LinkInvalid),
        "without the secret one learns nothing"
    );
    assert_eq!(solo.does("ann", make(2, 0)), Err(Refusal::Frozen));
    solo.does("ann", freeze(false)).unwrap();
    solo.app("shop", make(2, 0)).unwrap();
    joins(&mut solo, "dan", 2).unwrap();
    joins(&mut solo, "eve", 1).unwrap();
}

#[test]
fn a_link_is_worth_what_its_maker_may_do() {
    let mut solo = Solo::group();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("bob", make(1, 0)).unwrap();
    solo.does("ann", set_role("bob", Role::Member)).unwrap();
    assert_eq!(joins(&mut solo, "dan", 1), Err(Refusal::LinkInvalid));
    let permissions = Permissions { invite: Some(Role::Member), ..Permissions::default() };
    solo.does("ann", Action::Update(SettingsChange { permissions, ..SettingsChange::default() })).unwrap();
    joins(&mut solo, "dan", 1).unwrap();
    solo.reload();
    joins(&mut solo, "fay", 1).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    assert_eq!(joins(&mut solo, "eve", 1), Err(Refusal::LinkInvalid));
    assert_eq!(joins(&mut solo, "bob", 1), Err(Refusal::LinkInvalid), "also by who has left");
    // The app may always invite.
    solo.app("shop", make(2, 0)).unwrap();
    joins(&mut solo, "eve", 2).unwrap();
}

#[test]
fn the_number_of_links_is_bounded_without_those_that_have_ended() {
    let mut solo = Solo::group();
    solo.now = 1_000;
    for number in 0..MAX_LINKS as u8 {
        solo.does("ann", make(number, 1)).unwrap();
    }
    assert_eq!(solo.does("ann", make(100, 1)), Err(Refusal::TooManyLinks(MAX_LINKS)));
    joins(&mut solo, "dan", 3).unwrap();
    solo.does("ann", make(100, 1)).unwrap();
    assert_eq!(solo.store.invitations.links().count(), MAX_LINKS, "the one that is used up is gone");
    solo.now += 3_600_000;
    solo.does("ann", make(101, 1)).unwrap();
    assert_eq!(solo.store.invitations.links().count(), 1);
}

#[test]
fn joining_by_a_link_ends_an_invitation() {
    let mut solo = Solo::group();
    let invite = Action::Invite { users: vec![user("dan")], added: Vec::new(), lasts: HOUR };
    solo.does("ann", invite).unwrap();
    solo.does("ann", make(1, 0)).unwrap();
    joins(&mut solo, "dan", 1).unwrap();
    assert!(solo.store.invitations.get(&user("dan")).is_none() && solo.store.invited.is_empty());
}
