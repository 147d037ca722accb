//! The permission matrix.

use parlance_core::{Action, Outcome, Refusal, Role};

use crate::solo::Solo;
use crate::values::{
    add, ban, delete, edit, mention_all, react, remove, rename, reply, send, set_role, unreact, user,
};

const NEEDS_ADMIN: Refusal = Refusal::NeedsRole("admin");
const NEEDS_OWNER: Refusal = Refusal::NeedsRole("owner");

/// Messages at 8, 9 and 10; and 5, from before dan was removed.
const OLD: u64 = 5;
const ANNS: u64 = 8;
const BOBS: u64 = 9;
const CATS: u64 = 10;

/// ann owns the room, bob is an admin, cat a member, dan was removed, and eve was
/// never a member.
fn people(mut solo: Solo) -> Solo {
    solo.does("cat", send("first")).unwrap();
    solo.does("ann", add(&["dan"])).unwrap();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    for user in ["ann", "bob", "cat"] {
        solo.does(user, send("hello")).unwrap();
    }
    solo.does("ann", remove("dan")).unwrap();
    solo
}

/// Runs one action as each of the five, each in a room of its own. `Ok` is the number
/// of resulting events.
fn check(action: Action, expected: [Result<u64, Refusal>; 5]) {
    check_in(Solo::group, action, expected);
}

fn check_in(room: fn() -> Solo, action: Action, expected: [Result<u64, Refusal>; 5]) {
    for (actor, expected) in crate::values::USERS.iter().zip(expected) {
        let mut solo = people(room());
        let head = solo.head();
        let events = |outcome: Outcome| if outcome.first == 0 { 0 } else { outcome.last - outcome.first + 1 };
        let got = solo.does(actor, action.clone()).map(events);
        assert_eq!(got, expected, "{actor}: {action:?}");
        assert_eq!(solo.head(), head + got.unwrap_or(0), "what is refused changes nothing");
    }
}

fn no() -> Result<u64, Refusal> {
    Err(Refusal::NotMember)
}

fn admin() -> Result<u64, Refusal> {
    Err(NEEDS_ADMIN)
}

fn owner() -> Result<u64, Refusal> {
    Err(NEEDS_OWNER)
}

#[test]
fn messages() {
    check(send("hi"), [Ok(1), Ok(1), Ok(1), no(), no()]);
    check(mention_all("hi all"), [Ok(1), Ok(1), admin(), no(), no()]);
    check(reply("hi", CATS), [Ok(1), Ok(1), Ok(1), no(), no()]);
    check(react(CATS, "👍"), [Ok(1), Ok(1), Ok(1), no(), no()]);
    check(unreact(CATS, "👍"), [Ok(0), Ok(0), Ok(0), no(), no()]);
}

#[test]
fn only_the_sender_edits() {
    let not = || Err(Refusal::NotSender);
    check(edit(ANNS, "hi"), [Ok(1), not(), not(), no(), no()]);
    check(edit(BOBS, "hi"), [not(), Ok(1), not(), no(), no()]);
    check(edit(CATS, "hi"), [not(), not(), Ok(1), no(), no()]);
}

#[test]
fn the_sender_and_admins_delete() {
    check(delete(ANNS), [Ok(1), Ok(1), admin(), no(), no()]);
    check(delete(BOBS), [Ok(1), Ok(1), admin(), no(), no()]);
    check(delete(CATS), [Ok(1), Ok(1), Ok(1), no(), no()]);
}

#[test]
fn events_that_are_not_messages() {
    for seq in [0, 1, 7, 11, 12, 99, u64::MAX] {
        let missing = || Err(Refusal::MessageNotFound(seq));
        for action in [reply("hi", seq), edit(seq, "hi"), delete(seq), react(seq, "👍"), unreact(seq, "👍")]
        {
            check(action, [missing(), missing(), missing(), no(), no()]);
        }
    }
}

#[test]
fn messages_before_joining_are_not_visible() {
    let mut solo = people(Solo::group());
    solo.does("ann", add(&["eve"])).unwrap();
    for seq in [OLD, CATS] {
        for action in [reply("hi", seq), edit(seq, "hi"), delete(seq), react(seq, "👍"), unreact(seq, "👍")]
        {
            assert_eq!(solo.does("eve", action), Err(Refusal::MessageNotFound(seq)));
        }
    }
}

#[test]
fn admins_add() {
    check(add(&["dan"]), [Ok(1), Ok(1), admin(), no(), no()]);
    check(add(&["dan", "eve", "eve", "cat"]), [Ok(2), Ok(2), admin(), no(), no()]);
    check(add(&["cat"]), [Ok(0), Ok(0), admin(), no(), no()]);
}

#[test]
fn members_remove_only_lower_roles() {
    // Removing oneself is leaving.
    check(remove("ann"), [Ok(2), owner(), admin(), no(), no()]);
    check(remove("bob"), [Ok(1), Ok(1), admin(), no(), no()]);
    check(remove("cat"), [Ok(1), Ok(1), Ok(1), no(), no()]);
    check(remove("eve"), [Ok(0), Ok(0), admin(), no(), no()]);

    let mut solo = people(Solo::group());
    solo.does("ann", set_role("cat", Role::Admin)).unwrap();
    assert_eq!(solo.does("bob", remove("cat")), Err(NEEDS_OWNER), "admins do not remove each other");
}

#[test]
fn the_owner_gives_roles() {
    check(set_role("cat", Role::Admin), [Ok(1), owner(), owner(), no(), no()]);
    check(set_role("cat", Role::Member), [Ok(0), owner(), owner(), no(), no()]);
    check(set_role("bob", Role::Member), [Ok(1), owner(), owner(), no(), no()]);
    // Handing the room over takes two events: the new owner, and the old owner's new
    // role.
    check(set_role("bob", Role::Owner), [Ok(2), owner(), owner(), no(), no()]);
    let stays = Err(Refusal::OwnerLeaves);
    check(set_role("ann", Role::Member), [stays, owner(), owner(), no(), no()]);
    let missing = Err(Refusal::TargetNotMember(crate::values::user("dan")));
    check(set_role("dan", Role::Admin), [missing, owner(), owner(), no(), no()]);
}

#[test]
fn admins_change_settings() {
    check(rename("red"), [Ok(1), Ok(1), admin(), no(), no()]);
    check(rename(""), [Ok(0), Ok(0), admin(), no(), no()]);
}

#[test]
fn leaving() {
    check(Action::Leave, [Ok(2), Ok(1), Ok(1), Ok(0), no()]);
}

#[test]
fn banning() {
    check(ban("cat"), [Ok(2), Ok(2), admin(), no(), no()]);
    check(ban("bob"), [Ok(2), owner(), admin(), no(), no()]);
    check(ban("dan"), [Ok(1), Ok(1), admin(), no(), no()]);
    check(Action::Unban { user: user("dan") }, [Ok(0), Ok(0), admin(), no(), no()]);
}

#[test]
fn joining() {
    let closed = Err(Refusal::NotJoinable);
    check(Action::Join, [Ok(0), Ok(0), Ok(0), closed, no()]);
    check_in(Solo::channel, Action::Join, [Ok(0), Ok(0), Ok(0), Err(Refusal::Removed), Ok(1)]);
}

#[test]
fn a_direct_room_stays_as_it_is() {
    let mut solo = Solo::direct();
    let actions = [
        add(&["cat"]),
        remove("bob"),
        remove("ann"),
        set_role("bob", Role::Owner),
        set_role("ann", Role::Admin),
        rename("red"),
        Action::Join,
        Action::Leave,
    ];
    for action in actions {
        for actor in ["ann", "bob"] {
            assert_eq!(solo.does(actor, action.clone()), Err(Refusal::DirectRoom), "{actor}: {action:?}");
        }
        assert_eq!(solo.does("cat", action.clone()), Err(Refusal::NotMember), "{action:?}");
    }
    for actor in ["ann", "bob", "app"] {
        let choose = set_role("bob", Role::Owner);
        assert_eq!(solo.app(actor, choose), Err(Refusal::DirectRoom), "{actor}");
    }
    let sent = solo.does("ann", send("hello")).unwrap().first;
    assert_eq!(solo.does("bob", delete(sent)), Err(NEEDS_ADMIN));
    assert!(solo.does("bob", react(sent, "👍")).is_ok());
}
