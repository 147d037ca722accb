//! Joining, leaving, and which history can be read.

use parlance_core::limits::MAX_INTERVALS;
use parlance_core::{
    Action, Body, Creation, Interval, Mark, Member, NewRoom, Refusal, Role, Room, RoomId, RoomKind, SeqRange,
    SettingsChange, Timestamp, Visibility, visible_ranges,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::{add, ban, command, remove, request, send, set_role, settings, user};

/// Checks what `who` may read now.
fn check_visible(solo: &Solo, who: &str, visibility: Visibility, expected: &[(u64, u64)]) {
    let ranges = visible_ranges(&solo.store.members[&user(who)], visibility, solo.head());
    let ranges: Vec<_> = ranges.iter().map(|range| (range.from, range.to)).collect();
    assert_eq!(ranges, expected, "{who}");
}

#[test]
fn member_who_rejoins_sees_two_ranges() {
    let mut solo = Solo::group();
    solo.does("ann", send("5: to all")).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    solo.does("ann", send("7: without bob")).unwrap();
    check_visible(&solo, "bob", Visibility::SinceJoined, &[(1, 6)]);
    solo.does("ann", add(&["bob"])).unwrap();
    solo.does("ann", send("9: to all")).unwrap();
    check_visible(&solo, "bob", Visibility::SinceJoined, &[(1, 6), (8, 9)]);
    check_visible(&solo, "bob", Visibility::All, &[(1, 9)]);
    // They can also reply to messages in those ranges, and to no others.
    assert!(solo.does("bob", crate::values::reply("yes", 5)).is_ok());
    assert_eq!(solo.does("bob", crate::values::reply("what?", 7)), Err(Refusal::MessageNotFound(7)));
}

#[test]
fn member_who_rejoins_is_a_plain_member() {
    let mut solo = Solo::group();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    solo.does("ann", add(&["bob"])).unwrap();
    assert_eq!(solo.store.members[&user("bob")].role, Role::Member);
}

#[test]
fn the_owner_hands_over_or_goes_last() {
    let mut solo = Solo::group();
    assert_eq!(solo.does("ann", set_role("ann", Role::Member)), Err(Refusal::OwnerLeaves));
    solo.does("ann", set_role("bob", Role::Owner)).unwrap();
    assert_eq!(solo.store.members[&user("ann")].role, Role::Admin);
    solo.does("ann", Action::Leave).unwrap();
    solo.does("cat", Action::Leave).unwrap();
    assert_eq!(solo.does("bob", Action::Leave).unwrap().first, solo.head());
    assert_eq!(solo.room.head().member_count(), 0);
}

/// Checks the successor when the owner leaves; the two events are consecutive.
fn check_successor(solo: &mut Solo, owner: &str, expected: &str) {
    let outcome = solo.does(owner, Action::Leave).unwrap();
    assert_eq!((outcome.first + 1, outcome.last), (solo.head(), solo.head()));
    let passes = Body::RoleChanged { user: user(expected), role: Role::Owner };
    assert_eq!(solo.store.event(outcome.first).unwrap().body, passes);
    let leaves = Body::MemberRemoved { user: user(owner) };
    assert_eq!(solo.store.event(outcome.last).unwrap().body, leaves);
    let owners = solo.store.members.values().filter(|row| row.is_active() && row.role == Role::Owner);
    assert_eq!(owners.map(|row| row.user.as_str()).collect::<Vec<_>>(), [expected]);
}

#[test]
fn the_app_makes_any_member_the_owner_without_being_one() {
    let mut solo = Solo::group();
    let choose = |who: &str| set_role(who, Role::Owner);
    let role = |solo: &Solo, who: &str| solo.store.members[&user(who)].role;
    let outcome = solo.app("backend", choose("bob")).unwrap();
    assert_eq!((outcome.first + 1, outcome.last), (solo.head(), solo.head()));
    assert_eq!((role(&solo, "bob"), role(&solo, "ann")), (Role::Owner, Role::Admin));
    assert_eq!(solo.app("backend", choose("bob")).unwrap().first, 0, "nothing to change");
    assert_eq!(solo.app("backend", choose("backend")), Err(Refusal::TargetNotMember(user("backend"))));
    // Works for a member and for a former member alike.
    for actor in ["cat", "cat"] {
        solo.app(actor, choose("ann")).unwrap();
        assert_eq!((role(&solo, "ann"), role(&solo, "bob")), (Role::Owner, Role::Admin));
        solo.does("ann", set_role("bob", Role::Owner)).unwrap();
        solo.does("cat", Action::Leave).unwrap();
    }
    solo.does("bob", remove("ann")).unwrap();
    assert_eq!(solo.app("backend", choose("ann")), Err(Refusal::TargetNotMember(user("ann"))));
}

#[test]
fn an_owner_who_leaves_is_followed_by_the_longest_standing_admin() {
    let mut solo = Solo::group();
    for newcomer in ["dan", "eve"] {
        solo.does("ann", add(&[newcomer])).unwrap();
    }
    // The time of becoming an admin does not matter.
    for admin in ["eve", "dan"] {
        solo.does("ann", set_role(admin, Role::Admin)).unwrap();
    }
    check_successor(&mut solo, "ann", "dan");
    check_successor(&mut solo, "dan", "eve");
    check_successor(&mut solo, "eve", "bob");
}

#[test]
fn without_admins_the_longest_standing_member_follows() {
    let mut solo = Solo::group();
    solo.does("ann", add(&["dan"])).unwrap();
    // Returning is joining again.
    solo.does("bob", Action::Leave).unwrap();
    solo.does("ann", add(&["bob"])).unwrap();
    check_successor(&mut solo, "ann", "cat");
    check_successor(&mut solo, "cat", "dan");
    check_successor(&mut solo, "dan", "bob");
}

#[test]
fn the_successor_is_chosen_as_the_same_append_leaves_the_room() {
    let mut solo = Solo::group();
    let head = Some(solo.head());
    let commands = [
        command("ann", "1", head, set_role("cat", Role::Admin)),
        command("ann", "2", head, add(&["dan"])),
        command("bob", "3", head, Action::Leave),
        command("ann", "4", head, Action::Leave),
        command("cat", "5", head, Action::Leave),
    ];
    solo.append(&commands).unwrap();
    assert_eq!(solo.store.members[&user("dan")].role, Role::Owner);
    assert!(solo.store.members[&user("dan")].is_active());
    assert_eq!(solo.room.head().member_count(), 1);
}

#[test]
fn an_empty_channel_belongs_to_the_first_who_comes_back() {
    let mut solo = Solo::channel();
    let hide = SettingsChange { visibility: Some(Visibility::SinceJoined), ..SettingsChange::default() };
    solo.does("ann", Action::Update(hide)).unwrap();
    for user in ["bob", "cat", "ann"] {
        solo.does(user, Action::Leave).unwrap();
    }
    for _ in 0..2 {
        let refused = solo.does("eve", Action::Join);
        assert_eq!(refused, Err(Refusal::NotJoinable), "its past is not a stranger's to open");
    }
    solo.does("cat", Action::Join).unwrap();
    solo.does("ann", Action::Join).unwrap();
    assert_eq!(solo.store.members[&user("cat")].role, Role::Owner);
    assert_eq!(solo.store.members[&user("ann")].role, Role::Member);
}

#[test]
fn an_empty_channel_whose_past_is_open_belongs_to_the_first_who_joins() {
    let mut solo = Solo::channel();
    let show = SettingsChange { visibility: Some(Visibility::All), ..SettingsChange::default() };
    solo.does("ann", Action::Update(show)).unwrap();
    for user in ["bob", "cat", "ann"] {
        solo.does(user, Action::Leave).unwrap();
    }
    solo.does("eve", Action::Join).unwrap();
    solo.does("ann", Action::Join).unwrap();
    assert_eq!(solo.store.members[&user("eve")].role, Role::Owner);
    assert_eq!(solo.store.members[&user("ann")].role, Role::Member);
}

#[test]
fn the_oldest_of_many_intervals_is_forgotten() {
    let mut solo = Solo::channel();
    let first = solo.store.members[&user("bob")].intervals[0].joined;
    for _ in 0..MAX_INTERVALS {
        solo.does("bob", Action::Leave).unwrap();
        solo.does("bob", Action::Join).unwrap();
    }
    let intervals = &solo.store.members[&user("bob")].intervals;
    assert_eq!(intervals.len(), MAX_INTERVALS);
    assert!(intervals[0].joined > first);
    assert!(solo.does("bob", send("still here")).is_ok());
}

#[test]
fn a_row_from_the_future_waits() {
    let mut solo = Solo::group();
    let mut behind = solo.room.clone();
    solo.does("ann", remove("bob")).unwrap();
    let row = solo.store.members[&user("bob")].clone();
    assert!(!behind.load_member(user("bob"), Some(row.clone())), "bob left after the room's head");
    assert!(behind.member(&user("bob")).unwrap().as_ref().unwrap().is_active(), "and nothing changed");
    behind.apply(solo.store.tail()).unwrap();
    assert!(behind.load_member(user("bob"), Some(row)));
}

#[test]
fn a_shared_room_begins_with_its_members() {
    let others = [user("bob"), user("ann"), user("bob")];
    let info = settings(Visibility::All);
    let (ann, request) = (user("ann"), request("r1"));
    let id = RoomId::created_unkeyed(&ann, &request);
    let kind = RoomKind::Group;
    let new = NewRoom {
        id,
        creator: &ann,
        service: None,
        owner: None,
        request: &request,
        kind,
        settings: info.clone(),
    };
    let creation = Creation::shared(new, &others, [7; 16], Timestamp(5));
    let seqs: Vec<_> = creation.append.chunk.events().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 2, 3], "each is added once");
    assert_eq!(creation.append.expected.seq(), 0);
    assert_eq!(creation.append.chunk.head().member_count(), 2);
    let mark = |seq| Mark { seq, ..Mark::default() };
    assert_eq!(creation.append.joins, [(user("ann"), mark(1)), (user("bob"), mark(1))]);
    let room = creation.into_room();
    assert_eq!(room.info().settings, info);
    let role = |who| room.member(&user(who)).unwrap().as_ref().unwrap().role;
    assert_eq!((role("ann"), role("bob")), (Role::Owner, Role::Member));
}

#[test]
fn direct_room_is_the_same_for_both_users() {
    let create = |a, b| {
        let settings = settings(Visibility::SinceJoined);
        Creation::direct(&user(a), None, &user(b), settings, [0; 16], Timestamp(0))
    };
    let (ann, bob) = (create("ann", "bob"), create("bob", "ann"));
    assert_eq!(ann.info.id, bob.info.id);
    assert_eq!(ann.info.direct_pair, bob.info.direct_pair);
    // The first message may have any request id, including that of the creation.
    let mut solo = Solo::direct();
    let first = command("ann", "r1", Some(3), send("hello"));
    assert!(!solo.ask(&first).unwrap().is_repeat);
}

/// A history of memberships, as alternating lengths of being in and out.
fn comings() -> impl Strategy<Value = Member> {
    (1..5u64, vec(1..5u64, 1..10)).prop_map(|(start, lengths)| {
        let mut member = Member::joined(user("ann"), Role::Member, start);
        member.intervals.clear();
        let mut at = start;
        for (turn, length) in lengths.into_iter().enumerate() {
            match member.intervals.last_mut().filter(|_| turn % 2 == 1) {
                Some(interval) => interval.left = Some(at),
                None => member.intervals.push(Interval::starting_at(at)),
            }
            at += length;
        }
        member
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compares seq by seq: visible is what lies in an interval or, if the whole
    /// history is open, everything before the last interval ended.
    #[test]
    fn ranges_are_the_intervals(member in comings(), head in 0..50u64, all: bool) {
        let visibility = if all { Visibility::All } else { Visibility::SinceJoined };
        let ranges = visible_ranges(&member, visibility, head);
        for seq in 0..60 {
            let held = seq >= 1 && seq <= head && member.intervals.iter().any(|interval| {
                (all || interval.joined <= seq) && interval.left.is_none_or(|left| seq <= left)
            });
            prop_assert_eq!(ranges.iter().any(|range| range.contains(seq)), held, "{}", seq);
        }
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].to + 1 < pair[1].from, "apart and rising: {:?}", ranges);
        }
    }

    #[test]
    fn an_intersection_is_what_both_hold(a in (0..9u64, 0..9u64), b in (0..9u64, 0..9u64)) {
        let (a, b) = (SeqRange { from: a.0, to: a.1 }, SeqRange { from: b.0, to: b.1 });
        let both = a.intersect(b);
        for seq in 0..10 {
            prop_assert_eq!(both.is_some_and(|range| range.contains(seq)), a.contains(seq) && b.contains(seq));
        }
    }
}

#[test]
fn a_node_that_was_away_takes_chunks_in_order_only() {
    let mut solo = Solo::group();
    let mut behind: Room = solo.room.clone();
    for words in ["five", "six"] {
        solo.does("ann", send(words)).unwrap();
    }
    let (five, six) = (&solo.store.log[&5], &solo.store.log[&6]);
    let hole = behind.apply(six).unwrap_err();
    assert_eq!((hole.head, hole.first), (4, 6));
    assert_eq!(behind.head().seq(), 4, "the room is as it was");
    for chunk in [five, six, five, six] {
        behind.apply(chunk).unwrap();
    }
    assert_eq!(behind.head(), solo.room.head());
}

#[test]
fn removal_and_ban_are_distinct() {
    let mut solo = Solo::channel();
    let unban = |id: &str| Action::Unban { user: user(id) };
    solo.does("bob", Action::Leave).unwrap();
    solo.does("bob", Action::Join).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Removed));
    // Not even on a node that has only the rows.
    solo.reload();
    assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Removed));
    solo.does("ann", add(&["bob"])).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    solo.does("bob", Action::Join).unwrap();

    assert_eq!(solo.does("bob", ban("cat")), Err(Refusal::NeedsRole("admin")));
    assert_eq!(solo.does("ann", ban("eve")), Err(Refusal::TargetNotMember(user("eve"))));
    let banned = solo.does("ann", ban("bob")).unwrap();
    assert_eq!(banned.last, banned.first + 1);
    assert_eq!(solo.room.head().member_count(), 2);
    solo.reload();
    assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Banned { until: None }));
    assert_eq!(solo.does("ann", add(&["cat", "bob"])), Err(Refusal::TargetBanned(user("bob"))));
    assert_eq!(solo.does("ann", unban("cat")).unwrap().first, 0);
    solo.does("ann", unban("bob")).unwrap();
    solo.does("bob", Action::Join).unwrap();
    // A former member can be banned, too.
    solo.does("bob", Action::Leave).unwrap();
    let banned = solo.does("ann", ban("bob")).unwrap();
    assert_eq!((banned.first, solo.does("ann", ban("bob")).unwrap().first), (banned.last, 0));
    assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Banned { until: None }));
}

#[test]
fn an_admin_bans_members_and_not_admins() {
    let mut solo = Solo::group();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    assert_eq!(solo.does("bob", ban("ann")), Err(Refusal::NeedsRole("owner")));
    assert_eq!(solo.does("bob", ban("bob")), Err(Refusal::NeedsRole("owner")));
    solo.does("bob", ban("cat")).unwrap();
    assert_eq!(Solo::direct().does("ann", ban("bob")), Err(Refusal::DirectRoom));
}

#[test]
fn leaving_keeps_the_settings_of_then() {
    let mut solo = Solo::group();
    solo.does("ann", crate::values::rename("then")).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    solo.does("ann", crate::values::rename("now")).unwrap();
    let row = &solo.store.members[&user("bob")];
    assert_eq!(row.left_with.as_ref().unwrap().title.as_str(), "then");
    solo.does("ann", add(&["bob"])).unwrap();
    assert_eq!(solo.store.members[&user("bob")].left_with, None);
}
