//! A request is carried out once, however often and to whichever node it is sent.

use parlance_core::limits::MAX_REPEAT_CHECK;
use parlance_core::{Action, Authority, Command, Need, Outcome, Reason, Refusal, Role};

use crate::solo::Solo;
use crate::values::{add, ban, command, edit, react, remove, rename, send, set_role, unreact, user};

/// Repeats a request that was answered with `first`, and expects the same answer.
pub(crate) fn check_repeat(solo: &mut Solo, command: &parlance_core::Command, first: Outcome) {
    let head = solo.head();
    assert_eq!(solo.ask(command), Ok(Outcome { is_repeat: true, ..first }));
    assert_eq!(solo.head(), head, "a repeat stores nothing");
}

#[test]
fn a_repeat_returns_the_first_answer() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    assert_eq!((first.first, first.last, first.message_count, first.is_repeat), (5, 5, 1, false));
    solo.now += 1_000;
    solo.does("bob", send("hi")).unwrap();
    check_repeat(&mut solo, &hello, first);
}

#[test]
fn a_repeat_of_several_events_names_all_of_them() {
    let mut solo = Solo::group();
    let invite = command("ann", "r1", Some(4), add(&["dan", "eve"]));
    let first = solo.ask(&invite).unwrap();
    assert_eq!((first.first, first.last), (5, 6));
    solo.does("bob", send("welcome")).unwrap();
    solo.reload();
    check_repeat(&mut solo, &invite, first);
}

#[test]
fn a_repeat_within_one_draft() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", None, send("hello"));
    let (outcomes, append) = solo.append(&[hello.clone(), hello]).unwrap();
    assert_eq!(outcomes[1], Outcome { is_repeat: true, ..outcomes[0] });
    assert_eq!(append.unwrap().chunk.events().len(), 1);
}

#[test]
fn a_repeat_is_found_chunk_by_chunk_below_the_tail() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    for _ in 0..4 {
        solo.does("bob", send("so")).unwrap();
    }
    solo.reload();
    check_repeat(&mut solo, &hello, first);
    // The tail is 9; pages are two chunks; the request is at 5.
    let older: Vec<_> = solo.needs.iter().filter(|need| matches!(need, Need::Older { .. })).collect();
    assert_eq!(older, [&Need::Older { before: 9 }, &Need::Older { before: 7 }]);
}

#[test]
fn search_ends_at_the_cursor() {
    let mut solo = Solo::group();
    for _ in 0..4 {
        solo.does("bob", send("so")).unwrap();
    }
    solo.reload();
    solo.ask(&command("ann", "r1", Some(7), send("hello"))).unwrap();
    assert!(!solo.needs.iter().any(|need| matches!(need, Need::Older { .. })));
}

#[test]
fn older_events_that_do_not_adjoin_are_no_memory() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    for _ in 0..4 {
        solo.does("bob", send("so")).unwrap();
    }
    solo.reload();
    solo.room.load_older(&solo.store.page_before(5, 1));
    solo.room.load_older(&[]);
    check_repeat(&mut solo, &hello, first);
}

#[test]
fn a_request_whose_events_were_loaded_in_two_parts() {
    let mut solo = Solo::group();
    let invite = command("ann", "r1", Some(4), add(&["dan", "eve"]));
    let first = solo.ask(&invite).unwrap();
    solo.does("bob", send("welcome")).unwrap();
    solo.reload();
    let events = solo.store.page_before(7, 1);
    solo.room.load_older(&events[1..]);
    solo.room.load_older(&events[..1]);
    check_repeat(&mut solo, &invite, first);
}

/// However the pages lie, and whoever asks.
#[test]
fn a_request_of_several_kinds_of_events_is_known_by_the_one_asked_for() {
    let mute = Action::Mute { user: user("bob"), lasts: None, reason: Reason::default() };
    let app = |action| Command {
        authority: Authority::App { moderates: true },
        ..command("ann", "r1", Some(6), action)
    };
    // The owner hands over to bob, who was muted as cat was, leaves, and is banned.
    for asked in [app(ban("ann")), app(remove("ann")), command("ann", "r1", Some(6), Action::Leave)] {
        for cut in 1..4 {
            let mut solo = Solo::group();
            solo.does("ann", mute.clone()).unwrap();
            let other = Action::Mute { user: user("cat"), lasts: None, reason: Reason::default() };
            solo.does("ann", other).unwrap();
            let first = solo.ask(&asked).unwrap();
            solo.does("bob", send("so")).unwrap();
            solo.reload();
            let events: Vec<_> =
                (first.first..=first.last).map(|seq| solo.store.event(seq).unwrap().clone()).collect();
            let cut = cut.min(events.len() - 1);
            solo.room.load_older(&events[cut..]);
            solo.room.load_older(&events[..cut]);
            check_repeat(&mut solo, &asked, first);
        }
    }
}

#[test]
fn request_id_reused_for_another_operation_is_refused() {
    let mut solo = Solo::group();
    solo.ask(&command("ann", "r1", Some(4), send("hello"))).unwrap();
    for action in [rename("red"), edit(5, "bye"), react(5, "👍"), remove("bob")] {
        let refused = solo.ask(&command("ann", "r1", Some(4), action));
        assert_eq!(refused, Err(Refusal::RequestIdReused));
    }
    // Another user's request id is a different one.
    assert!(!solo.ask(&command("bob", "r1", Some(4), send("hello"))).unwrap().is_repeat);
}

/// The target of a request is part of what its id identifies.
#[test]
fn one_id_for_two_operations_of_a_kind() {
    let unban = |id| Action::Unban { user: user(id) };
    let check = |prepare: &[Action], done: Action, others: &[Action]| {
        let mut solo = Solo::group();
        for action in prepare {
            solo.does("ann", action.clone()).unwrap();
        }
        let after = Some(solo.head());
        let first = solo.ask(&command("ann", "r1", after, done.clone())).unwrap();
        assert!(first.first > 0, "{done:?} changes nothing");
        solo.does("ann", send("so")).unwrap();
        for _ in 0..2 {
            check_repeat(&mut solo, &command("ann", "r1", after, done.clone()), first);
            for other in others {
                let refused = solo.ask(&command("ann", "r1", after, other.clone()));
                assert_eq!(refused, Err(Refusal::RequestIdReused), "{other:?} after {done:?}");
            }
            solo.reload();
        }
    };
    let ask = [send("hello")];
    check(
        &[],
        add(&["dan"]),
        &[add(&["dan", "eve"]), add(&["eve"]), ban("dan"), remove("dan"), Action::Join, rename("red")],
    );
    check(&[], add(&["bob", "dan", "eve"]), &[add(&["dan"]), add(&["bob"])]);
    check(&[], remove("bob"), &[remove("cat"), ban("bob"), add(&["bob"]), Action::Leave]);
    check(&[], ban("bob"), &[ban("cat"), remove("bob"), unban("bob")]);
    check(&[ban("bob")], unban("bob"), &[unban("cat"), ban("bob")]);
    let admin = |id| set_role(id, Role::Admin);
    check(&[], admin("bob"), &[admin("cat"), set_role("bob", Role::Member), Action::Leave]);
    check(&[], set_role("bob", Role::Owner), &[admin("ann"), admin("bob"), Action::Leave]);
    check(&ask, react(5, "👍"), &[react(5, "🎉"), unreact(5, "👍")]);
    check(&[], rename("red"), &[Action::Leave, add(&["dan"])]);
}

#[test]
fn an_owner_who_leaves_repeats_it() {
    for again in [Action::Leave, remove("ann")] {
        let mut solo = Solo::group();
        let first = solo.ask(&command("ann", "r1", Some(4), Action::Leave)).unwrap();
        assert_eq!((first.first, first.last), (5, 6), "the room passes on first");
        check_repeat(&mut solo, &command("ann", "r1", Some(4), again), first);
        let refused = solo.ask(&command("ann", "r1", Some(4), set_role("bob", Role::Owner)));
        assert_eq!(refused, Err(Refusal::RequestIdReused));
    }
}

#[test]
fn an_owner_that_the_app_chose_is_chosen_once() {
    let choose = |id| Command {
        authority: Authority::App { moderates: false },
        ..command("app", "r1", Some(4), set_role(id, Role::Owner))
    };
    let mut solo = Solo::group();
    let first = solo.ask(&choose("bob")).unwrap();
    assert_eq!((first.first, first.last), (5, 6));
    check_repeat(&mut solo, &choose("bob"), first);
    let refused = solo.ask(&choose("cat"));
    assert_eq!(refused, Err(Refusal::RequestIdReused));
}

#[test]
fn the_id_that_created_the_room_stands_for_that() {
    let mut solo = Solo::group();
    for action in [rename("red"), add(&["dan"]), remove("bob"), send("hello")] {
        let refused = solo.ask(&command("ann", "create", None, action));
        assert_eq!(refused, Err(Refusal::RequestIdReused));
    }
}

#[test]
fn a_cursor_ahead_of_the_room() {
    let mut solo = Solo::group();
    let refused = solo.ask(&command("ann", "r1", Some(5), send("hello")));
    assert_eq!(refused, Err(Refusal::CursorAhead { after: 5, head: 4 }));
}

#[test]
fn too_far_behind_to_look() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    solo.fill(MAX_REPEAT_CHECK as usize - 1);
    check_repeat(&mut solo, &hello, first);
    // A node that remembers nothing still searches up to the limit.
    solo.reload();
    check_repeat(&mut solo, &hello, first);

    // One more, and that node has dropped it; another would not even search.
    solo.fill(1);
    let head = solo.head();
    for _ in 0..2 {
        assert_eq!(solo.ask(&hello), Err(Refusal::CatchUpFirst { head }));
        solo.reload();
    }
    // The client pages up to 6, searches for its message, and retries with that cursor.
    let moved = command("ann", "r2", Some(6), send("hello again"));
    assert!(!solo.ask(&moved).unwrap().is_repeat);
}

#[test]
fn removed_member_pages_up_to_the_removal() {
    let mut solo = Solo::group();
    let hello = command("cat", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    solo.does("ann", remove("cat")).unwrap();
    check_repeat(&mut solo, &hello, first);
    solo.does("ann", add(&["cat"])).unwrap();
    solo.fill(MAX_REPEAT_CHECK as usize);
    let left = solo.does("ann", remove("cat")).unwrap().last;
    solo.fill(MAX_REPEAT_CHECK as usize);
    let ask = |solo: &mut Solo, after| solo.ask(&command("cat", "r2", Some(after), send("hello?")));
    for _ in 0..2 {
        let most = left - MAX_REPEAT_CHECK;
        assert_eq!(ask(&mut solo, most - 1), Err(Refusal::CatchUpFirst { head: left }));
        assert_eq!(ask(&mut solo, most), Err(Refusal::NotMember), "it is looked for as far as that");
        // They have seen everything that they may see: a later cursor will never arrive.
        assert_eq!(ask(&mut solo, left), Err(Refusal::NotMember));
        assert_eq!(ask(&mut solo, u64::MAX), Err(Refusal::NotMember), "the head is not theirs to know");
        solo.reload();
    }
    // A member who returned is not a former member.
    solo.does("ann", add(&["cat"])).unwrap();
    solo.reload();
    let head = solo.head();
    assert_eq!(ask(&mut solo, left), Err(Refusal::CatchUpFirst { head }));
}

#[test]
fn below_the_floor_absence_proves_nothing() {
    let mut solo = Solo::group();
    solo.ask(&command("ann", "r1", Some(4), send("hello"))).unwrap();
    solo.now += 1;
    solo.does("bob", send("hi")).unwrap();
    solo.store.retire(parlance_core::Timestamp(1));
    solo.reload();
    let ask = |solo: &mut Solo, after| solo.ask(&command("ann", "r1", Some(after), send("hello")));
    assert_eq!(ask(&mut solo, 4), Err(Refusal::OutcomeUnknown { floor: 6 }));
    // Everything after 5 is kept, and does not contain it.
    assert!(!ask(&mut solo, 5).unwrap().is_repeat);
}
