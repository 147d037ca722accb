//! Users ask to become members where a room is joined by request.

use std::time::Duration;

use parlance_core::limits::{JOIN_REQUEST_AGE, MAX_JOIN_REQUESTS, MAX_WITHDRAWALS, REJECTION_AGE};
use parlance_core::{
    Action, Body, JoinRequest, Joining, LinkHash, Reason, Refusal, Role, SettingsChange, Timestamp, UserId,
};

use crate::solo::Solo;
use crate::values::{add, command, remove, set_role, user};

fn open(joining: Joining) -> Action {
    Action::Update(SettingsChange { joining: Some(joining), ..SettingsChange::default() })
}

/// A room that is joined by request.
fn by_request(mut solo: Solo) -> Solo {
    solo.now = 1_000;
    solo.does("ann", open(Joining::ByRequest)).unwrap();
    solo
}

/// What a user does about becoming a member, without a cursor.
fn own(solo: &mut Solo, id: &str, action: Action) -> Result<u64, Refusal> {
    let request = format!("{id}{}", solo.head());
    solo.ask(&command(id, &request, None, action)).map(|outcome| outcome.first)
}

fn asks() -> Action {
    Action::Request { note: Reason::default() }
}

fn approve(id: &str) -> Action {
    Action::Approve { user: user(id) }
}

fn reject(id: &str) -> Action {
    Action::Reject { user: user(id) }
}

fn invite(id: &str) -> Action {
    let lasts = Duration::from_secs(3600);
    Action::Invite { users: vec![user(id)], added: Vec::new(), lasts }
}

fn asking(solo: &Solo) -> Vec<&str> {
    solo.store.invitations.requests_at(Timestamp(solo.now)).map(|(user, _)| user.as_str()).collect()
}

fn body(solo: &Solo, seq: u64) -> &Body {
    &solo.store.event(seq).unwrap().body
}

#[test]
fn a_request_is_approved_by_adding_or_inviting() {
    let mut solo = by_request(Solo::group());
    let asked = own(&mut solo, "dan", asks()).unwrap();
    let until = Timestamp(1_000 + JOIN_REQUEST_AGE.as_millis() as u64);
    assert_eq!(body(&solo, asked), &Body::JoinRequested { user: user("dan"), until });
    assert_eq!(solo.store.invited.keys().collect::<Vec<_>>(), [&user("dan")]);
    assert_eq!(own(&mut solo, "dan", asks()), Ok(0), "asking again changes nothing");
    own(&mut solo, "eve", asks()).unwrap();
    assert_eq!(asking(&solo), ["dan", "eve"]);
    assert_eq!(solo.does("bob", add(&["dan"])), Err(Refusal::NeedsRole("admin")));
    let added = solo.does("ann", add(&["dan"])).unwrap().first;
    assert_eq!(body(&solo, added), &Body::MemberAdded { user: user("dan"), role: Role::Member, link: None });
    // Who is invited has said already that they want to.
    let added = solo.does("ann", invite("eve")).unwrap().first;
    assert_eq!(body(&solo, added), &Body::MemberAdded { user: user("eve"), role: Role::Member, link: None });
    assert_eq!(asking(&solo), [""; 0]);
}

#[test]
fn a_request_is_approved_once() {
    let mut solo = by_request(Solo::group());
    assert_eq!(solo.does("ann", approve("dan")), Err(Refusal::NoJoinRequest(user("dan"))));
    own(&mut solo, "dan", asks()).unwrap();
    assert_eq!(solo.does("bob", approve("dan")), Err(Refusal::NeedsRole("admin")));
    let approved = solo.does("ann", approve("dan")).unwrap().first;
    let added = Body::MemberAdded { user: user("dan"), role: Role::Member, link: None };
    assert_eq!(body(&solo, approved), &added);
    assert_eq!(asking(&solo), [""; 0]);
    // Another admin answers at the same time.
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    assert_eq!(solo.does("bob", approve("dan")).unwrap().first, 0);
    assert_eq!(solo.does("bob", reject("dan")).unwrap().first, 0);
    own(&mut solo, "eve", asks()).unwrap();
    solo.does("bob", reject("eve")).unwrap();
    assert_eq!(solo.does("ann", approve("eve")), Err(Refusal::NoJoinRequest(user("eve"))));
    // A request that has expired, was withdrawn or ended with a ban is none.
    solo.does("ann", remove("cat")).unwrap();
    own(&mut solo, "cat", asks()).unwrap();
    let ban = Action::Ban { user: user("cat"), lasts: None, reason: Reason::default() };
    solo.does("ann", ban).unwrap();
    assert_eq!(solo.does("ann", approve("cat")), Err(Refusal::TargetBanned(user("cat"))));
    own(&mut solo, "fay", asks()).unwrap();
    own(&mut solo, "fay", Action::Withdraw).unwrap();
    assert_eq!(solo.does("ann", approve("fay")), Err(Refusal::NoJoinRequest(user("fay"))));
    own(&mut solo, "fay", asks()).unwrap();
    solo.now += JOIN_REQUEST_AGE.as_millis() as u64;
    assert_eq!(solo.does("ann", approve("fay")), Err(Refusal::NoJoinRequest(user("fay"))));
}

#[test]
fn a_note_stands_in_the_list_of_who_asks_alone() {
    let mut solo = by_request(Solo::group());
    let note = Reason::parse_new("from the choir").unwrap();
    let ask = || Action::Request { note: note.clone() };
    let note_of = |solo: &Solo, id: &str| {
        solo.store.invited.get(&user(id)).map(|listed| listed.note.as_str().to_owned())
    };
    let mut other = solo.room.clone();
    let asked = own(&mut solo, "dan", ask()).unwrap();
    assert!(!format!("{:?}", solo.store.event(asked)).contains("choir"), "no event has it");
    // Another node has only the event.
    other.apply(&solo.store.tail().clone()).unwrap();
    solo.room = other;
    own(&mut solo, "eve", ask()).unwrap();
    assert_eq!(note_of(&solo, "dan").as_deref(), Some("from the choir"));
    solo.does("ann", reject("dan")).unwrap();
    assert_eq!(note_of(&solo, "dan").as_deref(), Some(""));
    solo.now += JOIN_REQUEST_AGE.as_millis() as u64;
    own(&mut solo, "eve", Action::Withdraw).unwrap();
    assert_eq!(note_of(&solo, "eve"), None, "also one that has expired");
    own(&mut solo, "eve", ask()).unwrap();
    solo.does("ann", invite("fay")).unwrap();
    solo.does("ann", Action::DeleteRoom).unwrap();
    assert!(solo.store.invitations.is_empty());
}

/// Links and requests are stored apart: who joins by a link writes none of what strangers have asked for.
#[test]
fn a_change_says_which_rows_it_changes() {
    let mut solo = by_request(Solo::group());
    let hash = LinkHash::new([7; LinkHash::BYTES]);
    let make = Action::CreateLink { hash, lasts: Duration::from_secs(3600), max_uses: 0 };
    let mut rows = |id: &str, action: Action| {
        let request = format!("{id}{}", solo.head());
        let (_, append) = solo.append(&[command(id, &request, None, action)]).unwrap();
        append.unwrap().invitations.map(|change| (change.issued, change.requests))
    };
    assert_eq!(rows("ann", make), Some((true, false)));
    assert_eq!(rows("dan", asks()), Some((false, true)));
    assert_eq!(rows("eve", Action::JoinByLink { hash }), Some((true, false)));
    assert_eq!(rows("ann", approve("dan")), Some((false, true)));
    assert_eq!(rows("fay", asks()), Some((false, true)));
    assert_eq!(rows("fay", Action::JoinByLink { hash }), Some((true, true)));
    assert_eq!(rows("fay", Action::Leave), None);
}

/// Everyone in the room sees both events.
#[test]
fn who_withdraws_again_and_again_may_not_ask_for_a_day() {
    let mut solo = by_request(Solo::group());
    for _ in 0..MAX_WITHDRAWALS {
        own(&mut solo, "dan", asks()).unwrap();
        solo.now += 1;
        own(&mut solo, "dan", Action::Withdraw).unwrap();
        assert_eq!(own(&mut solo, "dan", Action::Withdraw), Ok(0), "nothing waits");
    }
    let until = Timestamp(solo.now + REJECTION_AGE.as_millis() as u64);
    assert_eq!(own(&mut solo, "dan", asks()), Err(Refusal::RequestWithdrawn { until }));
    assert_eq!((asking(&solo), solo.store.invited.len()), (Vec::new(), 0));
    assert_eq!(solo.does("ann", approve("dan")), Err(Refusal::NoJoinRequest(user("dan"))));
    own(&mut solo, "eve", asks()).unwrap();
    solo.reload();
    assert_eq!(own(&mut solo, "dan", asks()), Err(Refusal::RequestWithdrawn { until }));
    solo.now = until.0;
    own(&mut solo, "dan", asks()).unwrap();
    own(&mut solo, "dan", Action::Withdraw).unwrap();
    own(&mut solo, "dan", asks()).expect("it begins anew");
    // Members are not counted: they may leave and ask again.
    solo.does("ann", approve("dan")).unwrap();
}

/// Otherwise somebody who left learns that the room was closed since.
#[test]
fn who_may_not_enter_anyway_does_not_learn_that_the_room_is_closed() {
    let mut solo = by_request(Solo::group());
    let hash = LinkHash::new([7; LinkHash::BYTES]);
    let make = Action::CreateLink { hash, lasts: Duration::from_secs(3600), max_uses: 0 };
    solo.does("ann", make).unwrap();
    let ban = Action::Ban { user: user("cat"), lasts: None, reason: Reason::default() };
    solo.does("ann", ban).unwrap();
    own(&mut solo, "bob", Action::Leave).unwrap();
    let by_link = |byte| Action::JoinByLink { hash: LinkHash::new([byte; LinkHash::BYTES]) };
    let set = |solo: &mut Solo, frozen, archived, joining| {
        let (frozen, archived, joining) = (Some(frozen), Some(archived), Some(joining));
        let change = SettingsChange { frozen, archived, joining, ..SettingsChange::default() };
        solo.does("ann", Action::Update(change)).unwrap();
    };
    for (frozen, closed) in [(true, Refusal::Frozen), (false, Refusal::Archived)] {
        set(&mut solo, frozen, !frozen, Joining::ByRequest);
        assert_eq!(own(&mut solo, "bob", by_link(8)), Err(Refusal::LinkInvalid));
        assert_eq!(own(&mut solo, "bob", by_link(7)), Err(closed.clone()));
        assert_eq!(own(&mut solo, "bob", asks()), Err(closed));
        assert_eq!(own(&mut solo, "cat", by_link(8)), Err(Refusal::LinkInvalid));
        assert_eq!(own(&mut solo, "cat", by_link(7)), Err(Refusal::Banned { until: None }));
        assert_eq!(own(&mut solo, "cat", asks()), Err(Refusal::Banned { until: None }));
        set(&mut solo, false, false, Joining::ByInvitation);
        set(&mut solo, frozen, !frozen, Joining::ByInvitation);
        assert_eq!(own(&mut solo, "bob", asks()), Err(Refusal::NotMember), "the group takes no requests");
        set(&mut solo, false, false, Joining::ByRequest);
    }
}

#[test]
fn an_invitation_and_a_rejection_end_each_by_itself() {
    let mut solo = by_request(Solo::group());
    own(&mut solo, "dan", asks()).unwrap();
    solo.does("ann", reject("dan")).unwrap();
    solo.does("ann", invite("dan")).unwrap();
    own(&mut solo, "dan", Action::Decline).unwrap();
    let invitations = &solo.store.invitations;
    assert!(invitations.get(&user("dan")).is_none());
    assert!(invitations.request_of(&user("dan")).is_some_and(JoinRequest::is_rejected));
    assert!(solo.store.invited.contains_key(&user("dan")), "they find it in their list");
}

#[test]
fn what_waits_ends_with_the_last_member() {
    let mut solo = by_request(Solo::group());
    own(&mut solo, "dan", asks()).unwrap();
    for id in ["bob", "cat", "ann"] {
        solo.does(id, Action::Leave).unwrap();
    }
    assert!(solo.store.invitations.is_empty());
    assert_eq!(own(&mut solo, "eve", asks()), Err(Refusal::NotMember));
}

#[test]
fn a_repeat_of_a_request_finds_it() {
    let mut solo = by_request(Solo::group());
    let repeated = command("dan", "r1", None, asks());
    let first = solo.ask(&repeated).unwrap();
    let again = solo.ask(&repeated).unwrap();
    assert!(again.is_repeat && again.first == first.first);
    solo.reload();
    assert!(solo.ask(&repeated).unwrap().is_repeat);
}

#[test]
fn who_is_invited_becomes_a_member_by_asking() {
    let mut solo = by_request(Solo::group());
    solo.does("ann", invite("dan")).unwrap();
    let joined = own(&mut solo, "dan", asks()).unwrap();
    assert_eq!(body(&solo, joined), &Body::MemberAdded { user: user("dan"), role: Role::Member, link: None });
    solo.does("ann", open(Joining::Usual)).unwrap();
    solo.does("ann", invite("eve")).unwrap();
    own(&mut solo, "eve", asks()).unwrap();
}

#[test]
fn a_request_is_withdrawn_or_rejected() {
    let mut solo = by_request(Solo::channel());
    own(&mut solo, "dan", asks()).unwrap();
    let ended = own(&mut solo, "dan", Action::Withdraw).unwrap();
    assert_eq!(body(&solo, ended), &Body::JoinRequestEnded { user: user("dan") });
    assert!(solo.store.invited.is_empty());
    assert_eq!(own(&mut solo, "dan", Action::Withdraw), Ok(0));
    own(&mut solo, "dan", asks()).unwrap();
    assert_eq!(solo.does("bob", reject("dan")), Err(Refusal::NeedsRole("admin")));
    let rejected = solo.does("ann", reject("dan")).unwrap().first;
    assert_eq!(body(&solo, rejected), &Body::JoinRequestEnded { user: user("dan") });
    assert_eq!(solo.does("ann", reject("dan")).unwrap().first, 0);
    assert_eq!(asking(&solo), [""; 0]);
    assert!(solo.store.invited.contains_key(&user("dan")), "they find it in their list");
    let until = Timestamp(1_000 + REJECTION_AGE.as_millis() as u64);
    assert_eq!(own(&mut solo, "dan", asks()), Err(Refusal::RequestRejected { until }));
    assert_eq!(own(&mut solo, "dan", Action::Withdraw), Ok(0), "which does not lift it");
    solo.now = until.0;
    own(&mut solo, "dan", asks()).unwrap();
    solo.now += JOIN_REQUEST_AGE.as_millis() as u64;
    assert_eq!(asking(&solo), [""; 0]);
    own(&mut solo, "dan", asks()).unwrap();
    // Who was rejected can be added.
    solo.does("ann", reject("dan")).unwrap();
    solo.does("ann", add(&["dan"])).unwrap();
}

#[test]
fn rooms_say_how_they_are_joined() {
    let mut channel = by_request(Solo::channel());
    assert_eq!(own(&mut channel, "dan", Action::Join), Err(Refusal::ByRequest));
    channel.does("ann", open(Joining::ByInvitation)).unwrap();
    assert_eq!(own(&mut channel, "dan", Action::Join), Err(Refusal::NotJoinable));
    assert_eq!(own(&mut channel, "dan", asks()), Err(Refusal::NotByRequest));
    channel.does("ann", open(Joining::Usual)).unwrap();
    assert_eq!(own(&mut channel, "dan", asks()), Err(Refusal::NotByRequest));
    own(&mut channel, "dan", Action::Join).unwrap();
    channel.does("ann", open(Joining::Open)).unwrap();
    own(&mut channel, "eve", Action::Join).unwrap();

    let mut group = Solo::group();
    assert_eq!(own(&mut group, "dan", asks()), Err(Refusal::NotMember), "they learn nothing of it");
    assert_eq!(own(&mut group, "dan", Action::Withdraw), Ok(0));
    assert_eq!(group.does("ann", open(Joining::Open)), Err(Refusal::NotOpen));
    assert_eq!(group.does("bob", open(Joining::ByRequest)), Err(Refusal::NeedsRole("admin")));
    let mut group = by_request(group);
    assert_eq!(own(&mut group, "dan", Action::Join), Err(Refusal::NotMember));
    assert_eq!(own(&mut Solo::direct(), "dan", asks()), Err(Refusal::NotMember));
    assert_eq!(own(&mut Solo::direct(), "dan", Action::Withdraw), Err(Refusal::NotMember));
}

#[test]
fn who_was_removed_may_ask_and_who_is_banned_may_not() {
    let mut solo = by_request(Solo::group());
    solo.does("ann", remove("bob")).unwrap();
    own(&mut solo, "bob", asks()).unwrap();
    solo.does("ann", remove("cat")).unwrap();
    let ban = |id: &str| Action::Ban { user: user(id), lasts: None, reason: Reason::default() };
    solo.does("ann", ban("cat")).unwrap();
    assert_eq!(own(&mut solo, "cat", asks()), Err(Refusal::Banned { until: None }));
    solo.does("ann", ban("bob")).unwrap();
    assert_eq!(asking(&solo), [""; 0], "a ban ends a request");
    let frozen = SettingsChange { frozen: Some(true), ..SettingsChange::default() };
    solo.does("ann", Action::Update(frozen)).unwrap();
    assert_eq!(own(&mut solo, "dan", asks()), Err(Refusal::Frozen));
}

#[test]
fn requests_that_wait_and_rejections_are_bounded() {
    let mut solo = by_request(Solo::group());
    let id = |number: usize| format!("u{number:03}");
    for number in 0..MAX_JOIN_REQUESTS {
        own(&mut solo, &id(number), asks()).unwrap();
    }
    assert_eq!(own(&mut solo, "dan", asks()), Err(Refusal::TooManyJoinRequests(MAX_JOIN_REQUESTS)));
    for number in 0..MAX_JOIN_REQUESTS {
        solo.now += 1;
        solo.does("ann", reject(&id(number))).unwrap();
    }
    own(&mut solo, "dan", asks()).unwrap();
    solo.now += 1;
    solo.does("ann", reject("dan")).unwrap();
    assert_eq!(solo.store.invitations.requests().count(), MAX_JOIN_REQUESTS);
    let first: UserId = user(&id(0));
    assert!(solo.store.invitations.request_of(&first).is_none(), "the one that ends first is forgotten");
}
