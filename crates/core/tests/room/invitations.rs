//! Who is invited becomes a member by accepting, and by nothing else.

use std::time::Duration;

use parlance_core::limits::{MAX_INVITATION_AGE, MAX_INVITATIONS, REINVITE_MS};
use parlance_core::{
    Action, Authority, Body, Chunk, Command, Invitations, Member, Reason, Refusal, Role, SettingsChange,
    Timestamp, UserId,
};

use crate::solo::Solo;
use crate::values::{add, command, remove, send, user};

const HOUR: Duration = Duration::from_secs(3600);

fn invite(users: &[&str]) -> Action {
    Action::Invite { users: users.iter().map(|id| user(id)).collect(), added: Vec::new(), lasts: HOUR }
}

fn revoke(id: &str) -> Action {
    Action::Revoke { user: user(id) }
}

fn ban(id: &str) -> Action {
    Action::Ban { user: user(id), lasts: None, reason: Reason::default() }
}

/// An answer to an invitation, which comes without a cursor.
fn answer(id: &str, request: &str, action: Action) -> Command {
    command(id, request, None, action)
}

fn answers(solo: &mut Solo, id: &str, action: Action) -> Result<u64, Refusal> {
    let request = format!("answer{}", solo.head());
    solo.ask(&answer(id, &request, action)).map(|outcome| outcome.first)
}

fn open(solo: &Solo) -> Vec<&str> {
    solo.store.invitations.open_at(Timestamp(solo.now)).map(|(user, _)| user.as_str()).collect()
}

fn listed(solo: &Solo) -> Vec<&str> {
    solo.store.invited.keys().map(UserId::as_str).collect()
}

fn body(solo: &Solo, seq: u64) -> &Body {
    &solo.store.event(seq).unwrap().body
}

#[test]
fn whoever_is_invited_becomes_a_member_by_accepting() {
    let mut solo = Solo::group();
    solo.now = 1_000;
    let invited = solo.does("ann", invite(&["dan"])).unwrap().first;
    let until = Timestamp(1_000 + 3_600_000);
    assert_eq!(body(&solo, invited), &Body::MemberInvited { user: user("dan"), until });
    let of = |solo: &Solo| solo.store.invitations.get(&user("dan")).cloned();
    let invitation = of(&solo).unwrap();
    assert_eq!((invitation.by, invitation.until, invitation.seq), (user("ann"), until, invited));
    assert_eq!((solo.store.members.get(&user("dan")), listed(&solo)), (None, vec!["dan"]));
    // It opens nothing.
    for action in [send("hello"), Action::Leave, Action::Join, invite(&["eve"]), remove("bob")] {
        assert!(solo.does("dan", action).is_err());
    }
    let accept = answer("dan", "accept", Action::Accept);
    let joined = solo.ask(&accept).unwrap().first;
    assert_eq!(body(&solo, joined), &Body::MemberAdded { user: user("dan"), role: Role::Member, link: None });
    assert_eq!(solo.store.members[&user("dan")], Member::joined(user("dan"), Role::Member, joined));
    assert_eq!((of(&solo), listed(&solo)), (None, Vec::new()));
    assert!(solo.ask(&accept).unwrap().is_repeat);
    // Once: whoever has left is no longer invited.
    solo.does("dan", Action::Leave).unwrap();
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
    assert!(solo.ask(&accept).unwrap().is_repeat);
}

#[test]
fn invitations_are_declined_and_revoked() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan", "eve"])).unwrap();
    let decline = answer("dan", "decline", Action::Decline);
    let declined = solo.ask(&decline).unwrap().first;
    assert_eq!(body(&solo, declined), &Body::InvitationEnded { user: user("dan") });
    assert_eq!((open(&solo), listed(&solo)), (vec!["eve"], vec!["eve"]));
    assert_eq!(solo.ask(&decline).unwrap().first, 0, "nothing is left to decline");
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
    // By another member than the one who invited.
    assert_eq!(solo.does("bob", revoke("eve")), Err(Refusal::NeedsRole("admin")));
    let revoked = solo.does("ann", revoke("eve")).unwrap().first;
    assert_eq!(solo.store.event(revoked).unwrap().actor, user("ann"));
    assert_eq!((open(&solo).len(), listed(&solo).len()), (0, 0));
    assert_eq!(solo.does("bob", revoke("eve")).unwrap().first, 0);
    // Invited again, a late repeat of the first answer ends nothing.
    solo.does("ann", invite(&["dan"])).unwrap();
    assert!(solo.ask(&decline).unwrap().is_repeat);
    assert_eq!(open(&solo), ["dan"]);
}

#[test]
fn members_invite_and_revoke_their_own_where_the_room_permits() {
    let mut solo = Solo::group();
    assert_eq!(solo.does("bob", invite(&["dan"])), Err(Refusal::NeedsRole("admin")));
    assert_eq!(solo.does("eve", invite(&["dan"])), Err(Refusal::NotMember));
    let permissions = parlance_core::Permissions { invite: Some(Role::Member), ..Default::default() };
    let change = SettingsChange { permissions, ..Default::default() };
    solo.does("ann", Action::Update(change)).unwrap();
    solo.does("bob", invite(&["dan"])).unwrap();
    assert_eq!(solo.does("cat", revoke("dan")), Err(Refusal::NeedsRole("admin")));
    solo.does("bob", revoke("dan")).unwrap();
    solo.does("bob", invite(&["dan"])).unwrap();
    // Owner and admins revoke those of others.
    solo.does("ann", revoke("dan")).unwrap();
    assert_eq!(Solo::direct().does("ann", invite(&["dan"])), Err(Refusal::DirectRoom));
    assert_eq!(answers(&mut Solo::direct(), "dan", Action::Accept), Err(Refusal::NotMember));
    assert_eq!(answers(&mut Solo::direct(), "dan", Action::Decline), Err(Refusal::NotMember));
}

#[test]
fn an_invitation_expires_and_is_replaced_by_the_next() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan", "eve"])).unwrap();
    solo.now = 1_800_000;
    solo.does("ann", invite(&["dan"])).unwrap();
    solo.now = 3_600_000;
    assert_eq!(open(&solo), ["dan"]);
    assert_eq!(answers(&mut solo, "eve", Action::Accept), Err(Refusal::NotInvited));
    assert_eq!(answers(&mut solo, "eve", Action::Decline), Ok(0));
    assert_eq!(solo.does("ann", revoke("eve")).unwrap().first, 0);
    // What has expired is dropped with the next one.
    assert_eq!(solo.store.invitations.len(), 2);
    solo.does("ann", invite(&["fay"])).unwrap();
    assert_eq!(solo.store.invitations.len(), 2);
    answers(&mut solo, "dan", Action::Accept).unwrap();
    solo.now = 3_600_000 + 1_800_000;
    answers(&mut solo, "fay", Action::Accept).unwrap();
}

#[test]
fn being_added_and_being_banned_end_an_invitation() {
    let mut solo = Solo::group();
    solo.does("dan", Action::Leave).unwrap_err();
    solo.does("ann", remove("cat")).unwrap();
    solo.does("ann", invite(&["cat", "dan", "eve"])).unwrap();
    solo.does("ann", add(&["dan", "eve"])).unwrap();
    // The lists of those who are added by others are left as they were: they take more items than there are.
    assert_eq!((open(&solo), listed(&solo)), (vec!["cat"], vec!["cat", "dan", "eve"]));
    solo.does("ann", remove("dan")).unwrap();
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
    solo.does("ann", ban("cat")).unwrap();
    assert_eq!((open(&solo).len(), listed(&solo)), (0, vec!["dan", "eve"]));
    assert_eq!(answers(&mut solo, "cat", Action::Accept), Err(Refusal::NotInvited));
    assert_eq!(solo.does("ann", invite(&["cat"])), Err(Refusal::TargetBanned(user("cat"))));
    solo.does("ann", Action::Unban { user: user("cat") }).unwrap();
    assert_eq!(answers(&mut solo, "cat", Action::Accept), Err(Refusal::NotInvited));
    // Whoever was removed comes back by an invitation.
    solo.does("ann", invite(&["dan"])).unwrap();
    answers(&mut solo, "dan", Action::Accept).unwrap();
}

#[test]
fn joining_a_channel_ends_an_invitation_and_an_invitation_opens_it_to_who_was_removed() {
    let mut solo = Solo::channel();
    solo.does("ann", invite(&["dan"])).unwrap();
    solo.does("dan", Action::Join).unwrap();
    assert_eq!((open(&solo).len(), listed(&solo).len()), (0, 0));
    solo.does("ann", remove("dan")).unwrap();
    assert_eq!(solo.does("dan", Action::Join), Err(Refusal::Removed));
    solo.does("ann", invite(&["dan"])).unwrap();
    answers(&mut solo, "dan", Action::Accept).unwrap();
}

#[test]
fn frozen_deleted_and_abandoned_rooms_let_nobody_in() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan"])).unwrap();
    let frozen = |frozen| Action::Update(SettingsChange { frozen: Some(frozen), ..Default::default() });
    solo.app("backend", frozen(true)).unwrap();
    assert_eq!(solo.does("ann", invite(&["eve"])), Err(Refusal::Frozen));
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::Frozen));
    assert_eq!(answers(&mut solo, "eve", Action::Accept), Err(Refusal::NotInvited), "nothing about the room");
    solo.app("backend", frozen(false)).unwrap();
    answers(&mut solo, "dan", Action::Accept).unwrap();
    solo.does("ann", invite(&["eve"])).unwrap();
    solo.does("ann", Action::SetRole { user: user("bob"), role: Role::Owner }).unwrap();
    solo.does("bob", Action::DeleteRoom).unwrap();
    assert_eq!(answers(&mut solo, "eve", Action::Accept), Err(Refusal::NotInvited));
    assert_eq!(answers(&mut solo, "eve", Action::Decline), Ok(0));
}

/// Anyone could otherwise leave invitations behind that nobody sees, and that count.
#[test]
fn the_last_member_who_leaves_ends_all_invitations() {
    let everyone = ["ann", "bob", "cat"];
    for is_loaded_again in [false, true] {
        let mut solo = Solo::group();
        solo.does("ann", invite(&["dan", "eve"])).unwrap();
        for id in everyone {
            assert_eq!(open(&solo), ["dan", "eve"]);
            solo.does(id, Action::Leave).unwrap();
        }
        assert!(open(&solo).is_empty());
        if is_loaded_again {
            solo.reload();
        }
        assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
        // Nor does one from before come back with new members.
        solo.app("backend", add(&["bob"])).unwrap();
        assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
        assert_eq!(answers(&mut solo, "dan", Action::Decline), Ok(0));
        solo.does("bob", invite(&["dan"])).unwrap();
        answers(&mut solo, "dan", Action::Accept).unwrap();
    }
}

/// Another node follows the log: the room gets its next member in the same chunk in which it was empty.
#[test]
fn a_node_that_follows_the_log_ends_them_too() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan"])).unwrap();
    let mut follower = solo.room.clone();
    assert!(follower.load_invitations(solo.store.invitations.clone()));
    let before = solo.head();
    for id in ["ann", "bob", "cat"] {
        solo.does(id, Action::Leave).unwrap();
    }
    solo.app("backend", add(&["bob"])).unwrap();
    let events: Vec<_> =
        (before + 1..=solo.head()).map(|seq| solo.store.event(seq).unwrap().clone()).collect();
    let count = events.last().unwrap().message_count;
    follower.apply(&Chunk::new([9; 16], events, count, 1).unwrap()).unwrap();
    let mut draft = follower.draft();
    let late = answer("dan", "late", Action::Accept);
    draft.room_mut().load_member(user("dan"), None);
    assert_eq!(draft.decide(&late, Timestamp(solo.now)), Err(Refusal::NotInvited));
}

/// Only the app invites to a room without members. Who is invited is rid of it all the same.
#[test]
fn an_invitation_to_a_room_without_members_is_declined_and_revoked() {
    let mut solo = Solo::group();
    for id in ["ann", "bob", "cat"] {
        solo.does(id, Action::Leave).unwrap();
    }
    solo.app("backend", invite(&["cat", "dan", "eve"])).unwrap();
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
    for id in ["cat", "dan"] {
        let ended = answers(&mut solo, id, Action::Decline).unwrap();
        assert_eq!(body(&solo, ended), &Body::InvitationEnded { user: user(id) });
    }
    solo.app("backend", revoke("eve")).unwrap();
    assert_eq!((open(&solo).len(), listed(&solo).len()), (0, 0));
}

#[test]
fn inviting_the_same_again_at_once_changes_nothing() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan"])).unwrap();
    let until = solo.store.invitations.get(&user("dan")).unwrap().until;
    solo.now += REINVITE_MS - 1;
    assert_eq!(solo.does("ann", invite(&["dan"])).unwrap().first, 0);
    assert_eq!(solo.store.invitations.get(&user("dan")).unwrap().until, until);
    // Together with somebody new it is a new request, and its repeat one of the same users.
    let both = command("ann", "both", None, invite(&["dan", "eve"]));
    let first = solo.ask(&both).unwrap();
    assert_eq!(first.last - first.first, 1);
    assert!(solo.ask(&both).unwrap().is_repeat);
    // By somebody else, and later, it replaces the other one.
    assert_ne!(solo.app("backend", invite(&["dan"])).unwrap().first, 0);
    solo.now += REINVITE_MS;
    assert_ne!(solo.app("backend", invite(&["dan"])).unwrap().first, 0);
    // Whoever has declined, or was let go, may be invited again.
    answers(&mut solo, "dan", Action::Decline).unwrap();
    assert_ne!(solo.app("backend", invite(&["dan"])).unwrap().first, 0);
}

/// Older versions end no invitation by adding somebody.
#[test]
fn whoever_was_added_and_removed_by_an_older_version_is_rid_of_the_invitation() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan"])).unwrap();
    let kept = solo.store.invitations.clone();
    solo.does("ann", add(&["dan"])).unwrap();
    solo.does("ann", remove("dan")).unwrap();
    solo.store.invitations =
        Invitations::new(solo.head(), kept.iter().map(|(u, i)| (u.clone(), i.clone())).collect());
    solo.reload();
    assert_eq!(answers(&mut solo, "dan", Action::Accept), Err(Refusal::NotInvited));
    assert_ne!(answers(&mut solo, "dan", Action::Decline), Ok(0));
    assert!(open(&solo).is_empty());
}

#[test]
fn whoever_is_blocked_invites_nobody_who_blocks_them() {
    let mut solo = Solo::group();
    solo.store.blocks.insert((user("eve"), user("ann")));
    assert_eq!(solo.does("ann", invite(&["dan", "eve"])), Err(Refusal::NotAccepted(user("eve"))));
    assert!(open(&solo).is_empty());
    solo.app("backend", invite(&["eve"])).unwrap();
}

#[test]
fn the_number_of_invitations_is_bounded() {
    let mut solo = Solo::group();
    let ids: Vec<String> = (0..=MAX_INVITATIONS).map(|number| format!("u{number}")).collect();
    for ids in ids[..MAX_INVITATIONS].chunks(40) {
        let users: Vec<&str> = ids.iter().map(String::as_str).collect();
        solo.does("ann", invite(&users)).unwrap();
    }
    let full = Err(Refusal::TooManyInvitations(MAX_INVITATIONS));
    assert_eq!(solo.does("ann", invite(&[&ids[MAX_INVITATIONS]])), full);
    // Who is invited already takes no more room.
    solo.does("ann", invite(&[&ids[3]])).unwrap();
    answers(&mut solo, &ids[3], Action::Decline).unwrap();
    solo.does("ann", invite(&[&ids[MAX_INVITATIONS]])).unwrap();
    solo.now = u64::try_from(MAX_INVITATION_AGE.as_millis()).unwrap();
    solo.does("ann", invite(&["dan"])).unwrap();
    assert_eq!(solo.store.invitations.len(), 1);
}

#[test]
fn one_request_adds_some_and_invites_others_and_is_repeated_as_a_whole() {
    let mut solo = Solo::group();
    let mixed = |users: &[&str], added: &[&str]| {
        let ids = |ids: &[&str]| ids.iter().map(|id| user(id)).collect();
        command("ann", "mixed", None, Action::Invite { users: ids(users), added: ids(added), lasts: HOUR })
    };
    let first = solo.ask(&mixed(&["eve"], &["dan", "bob"])).unwrap();
    assert_eq!((first.last - first.first, open(&solo)), (1, vec!["eve"]));
    assert!(solo.store.members[&user("dan")].is_active());
    answers(&mut solo, "eve", Action::Accept).unwrap();
    // By then nobody may be a stranger any more.
    let all = command("ann", "mixed", None, add(&["bob", "dan", "eve"]));
    for repeat in [mixed(&["eve"], &["dan", "bob"]), mixed(&[], &["dan", "bob", "eve"]), all] {
        let outcome = solo.ask(&repeat).unwrap();
        assert_eq!((outcome.first, outcome.last, outcome.is_repeat), (first.first, first.last, true));
    }
    for other in [mixed(&["eve", "fay"], &["dan", "bob"]), mixed(&["eve"], &["bob"])] {
        assert_eq!(solo.ask(&other), Err(Refusal::RequestIdReused));
    }
}

#[test]
fn a_node_that_loads_the_room_decides_the_same() {
    let mut solo = Solo::group();
    solo.does("ann", invite(&["dan"])).unwrap();
    solo.does("ann", send("later")).unwrap();
    solo.reload();
    answers(&mut solo, "dan", Action::Accept).unwrap();
    assert_eq!(solo.store.invitations.len(), 0);
    // Rows that are newer than the room are not usable.
    let mut room = solo.room.clone();
    solo.does("ann", invite(&["eve"])).unwrap();
    assert!(!room.load_invitations(solo.store.invitations.clone()));
    assert!(room.load_invitations(Invitations::default()));
}

#[test]
fn the_app_answers_as_anyone_and_invites_anywhere() {
    let mut solo = Solo::group();
    solo.app("backend", invite(&["backend", "dan"])).unwrap();
    assert_eq!(solo.app("other", Action::Accept), Err(Refusal::NotInvited));
    solo.app("backend", Action::Accept).unwrap();
    let on_behalf = Authority::OnBehalf { service: user("backend") };
    let accept = Command { authority: on_behalf, ..answer("dan", "accept", Action::Accept) };
    solo.ask(&accept).unwrap();
    solo.app("backend", invite(&["eve"])).unwrap();
    solo.app("backend", revoke("eve")).unwrap();
    assert!(open(&solo).is_empty());
}
