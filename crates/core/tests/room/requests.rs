//! A request is carried out once, however often and to whichever node it is sent.

use parlance_core::limits::{MAX_REPEAT_CHECK, REPEAT_WINDOW_MS};
use parlance_core::{Action, Authority, Command, Need, Outcome, Refusal, Role};
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::{add, command, edit, react, remove, rename, send, set_role, unreact, user};

/// Repeats a request that was answered with `first`, and expects the same answer.
fn check_repeat(solo: &mut Solo, command: &parlance_core::Command, first: Outcome) {
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
fn nobody_looks_further_back_than_after() {
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

#[test]
fn one_id_for_two_things() {
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
    let (ban, unban) = (|id| Action::Ban { user: user(id) }, |id| Action::Unban { user: user(id) });
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
fn whoever_was_removed_pages_up_to_that_and_no_further() {
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

/// The answers to a former member by a node that has followed the room and by one that loads it.
fn answers(solo: &mut Solo, after: Option<u64>, action: &Action, request: &str) -> Vec<String> {
    let ask = |solo: &mut Solo| format!("{:?}", solo.ask(&command("cat", request, after, action.clone())));
    let warm = ask(solo);
    solo.reload();
    vec![warm, ask(solo)]
}

/// A group that cat wrote to and then left, with `before` messages of others in between.
fn left_by_cat(before: usize) -> (Solo, u64) {
    let mut solo = Solo::group();
    solo.ask(&command("cat", "r1", Some(4), send("hello"))).unwrap();
    solo.ask(&command("cat", "r2", None, react(5, "👍"))).unwrap();
    solo.fill(before);
    let left = solo.does("ann", remove("cat")).unwrap().last;
    (solo, left)
}

#[test]
fn former_member_is_answered_the_same_wherever_the_head_is() {
    let limit = MAX_REPEAT_CHECK as usize;
    let actions = [
        send("hello"),
        edit(5, "hullo"),
        Action::Delete { target: 5 },
        react(5, "👍"),
        unreact(5, "👍"),
        rename("red"),
        add(&["dan"]),
        remove("bob"),
        Action::Ban { user: user("bob") },
        Action::Unban { user: user("bob") },
        set_role("bob", Role::Admin),
        Action::Join,
        Action::Leave,
    ];
    for before in [0, 3, limit + 1] {
        let (mut solo, left) = left_by_cat(before);
        let afters =
            [None, Some(0), Some(4), Some(6), Some(left - 1), Some(left), Some(left + 1), Some(u64::MAX)];
        let all = |solo: &mut Solo| {
            let mut all = Vec::new();
            for after in afters {
                for action in &actions {
                    for request in ["r1", "r2", "new"] {
                        for answer in answers(solo, after, action, request) {
                            all.push((after, action.clone(), request, answer));
                        }
                    }
                }
            }
            all
        };
        let at_once = all(&mut solo);
        for (after, action, request, answers) in at_once.chunks(2).map(|pair| {
            let (after, action, request, _) = &pair[0];
            (after, action, request, [&pair[0].3, &pair[1].3])
        }) {
            assert_eq!(answers[0], answers[1], "{before}: {request} {action:?} after {after:?}, loaded anew");
        }
        for more in [1, 3, limit] {
            solo.fill(more);
            for (now, then) in all(&mut solo).into_iter().zip(&at_once) {
                assert_eq!(now, *then, "{before} messages before, {more} more after");
            }
        }
    }
}

#[test]
fn former_member_still_learns_what_they_did_long_ago() {
    let (mut solo, _) = left_by_cat(3);
    solo.fill(MAX_REPEAT_CHECK as usize + 10);
    for _ in 0..2 {
        solo.reload();
        for after in [None, Some(4)] {
            let hello = solo.ask(&command("cat", "r1", after, send("hello"))).unwrap();
            assert_eq!((hello.first, hello.last, hello.message_count, hello.is_repeat), (5, 5, 1, true));
            let other = solo.ask(&command("cat", "r1", after, rename("red")));
            assert_eq!(other, Err(Refusal::RequestIdReused));
        }
        assert_eq!(solo.ask(&command("cat", "r2", None, react(5, "👍"))).unwrap().first, 6);
    }
    // Nothing between the end of the membership and what the node remembers was read.
    let needs = &solo.needs;
    assert!(needs.iter().all(|need| !matches!(need, Need::Older { .. })), "{needs:?}");
}

#[test]
fn former_member_does_not_learn_how_far_the_log_was_cut() {
    let mut solo = Solo::group();
    let left = solo.does("ann", remove("cat")).unwrap().last;
    solo.fill(3);
    solo.now += 1;
    solo.does("bob", send("hi")).unwrap();
    solo.store.retire(parlance_core::Timestamp(1));
    solo.reload();
    let refused = solo.ask(&command("cat", "r1", Some(0), send("hello?")));
    assert_eq!(refused, Err(Refusal::OutcomeUnknown { floor: left + 1 }));
    assert_eq!(solo.ask(&command("cat", "r1", None, send("hello?"))), Err(Refusal::NotMember));
}

/// A user whose removal is in the same append as the decision of their next command.
#[test]
fn former_member_of_the_same_draft() {
    let mut solo = Solo::group();
    let hello = command("cat", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    solo.fill(3);
    solo.reload();
    let again = Outcome { is_repeat: true, ..first };
    let (outcomes, _) = solo.append(&[command("ann", "r1", Some(5), remove("cat")), hello.clone()]).unwrap();
    assert_eq!(outcomes[1], again);
    assert_eq!(solo.ask(&hello), Ok(again));
}

/// Retries without `after` on another node, `ms` after the first try.
fn check_window(ms: u64, is_repeat: bool) {
    let mut solo = Solo::group();
    solo.now = REPEAT_WINDOW_MS;
    let hello = command("ann", "r1", None, send("hello"));
    solo.ask(&hello).unwrap();
    for _ in 0..3 {
        solo.now += ms / 3;
        solo.does("bob", send("so")).unwrap();
    }
    solo.reload();
    assert_eq!(solo.ask(&hello).unwrap().is_repeat, is_repeat, "after {ms} ms");
}

#[test]
fn without_after_there_are_15_minutes() {
    check_window(0, true);
    check_window(REPEAT_WINDOW_MS - 3, true);
    check_window(2 * REPEAT_WINDOW_MS, false);
}

/// Retries immediately on a node whose clock is ahead by `decides`; three messages came in between
/// from a node that is ahead by `stamps`.
fn check_clocks(decides: u64, stamps: u64) {
    let mut solo = Solo::group();
    let begin = 10 * REPEAT_WINDOW_MS;
    solo.now = begin;
    let hello = command("ann", "r1", None, send("hello"));
    solo.ask(&hello).unwrap();
    solo.does("bob", send("so")).unwrap();
    // Remembers from here on, like a node that opens the room now.
    solo.reload();
    for _ in 0..2 {
        solo.does("bob", send("so")).unwrap();
        solo.now = begin + stamps;
    }
    solo.now = begin + decides;
    let repeat = solo.ask(&hello).unwrap();
    assert!(repeat.is_repeat, "decides {decides} ms ahead, stamped {stamps} ms ahead: {repeat:?}");
}

#[test]
fn clock_that_is_ahead_does_not_shorten_the_repeat_window() {
    let twenty_minutes = 20 * 60 * 1000;
    check_clocks(0, 0);
    check_clocks(twenty_minutes, 0);
    check_clocks(0, twenty_minutes);
}

#[test]
fn without_after_the_number_is_bounded() {
    let mut solo = Solo::group();
    let hello = command("ann", "r1", None, send("hello"));
    let first = solo.ask(&hello).unwrap();
    solo.fill(MAX_REPEAT_CHECK as usize - 1);
    check_repeat(&mut solo, &hello, first);
    solo.fill(1);
    assert!(!solo.ask(&hello).unwrap().is_repeat);
}

#[test]
fn who_never_was_a_member_learns_nothing() {
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    for after in [None, Some(0), Some(5), Some(999)] {
        for action in [send("hi"), react(5, "👍"), Action::Leave, Action::Join] {
            // The id is one that ann did use; the cursor may be ahead.
            let refused = solo.ask(&command("eve", "solo1", after, action));
            assert_eq!(refused, Err(Refusal::NotMember));
        }
    }
}

#[test]
fn who_was_removed_still_learns_what_they_did() {
    let mut solo = Solo::group();
    let hello = command("bob", "r1", Some(4), send("hello"));
    let first = solo.ask(&hello).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    check_repeat(&mut solo, &hello, first);
    assert_eq!(solo.does("bob", send("hello?")), Err(Refusal::NotMember));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the log is cut into chunks, a node that has only its tail finds every request in it,
    /// at the right seqs.
    #[test]
    fn any_request_is_found_from_any_tail(
        chunks in proptest::collection::vec(proptest::collection::vec(0..3usize, 1..6), 1..10),
        with_after: bool,
    ) {
        let mut solo = Solo::group();
        let mut done = Vec::new();
        for (chunk, kinds) in chunks.iter().enumerate() {
            let head = solo.head();
            let commands: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| {
                let action = match kind {
                    0 => send("so"),
                    1 => add(&["dan", "eve"]),
                    _ => remove("dan"),
                };
                command("ann", &format!("r{chunk}.{n}"), with_after.then_some(head), action)
            }).collect();
            let (outcomes, _) = solo.append(&commands).unwrap();
            done.extend(commands.into_iter().zip(outcomes));
        }
        for (command, first) in done.into_iter().filter(|(_, outcome)| outcome.first > 0) {
            solo.reload();
            let again = solo.ask(&command);
            prop_assert_eq!(again, Ok(Outcome { is_repeat: true, ..first }));
        }
    }
}
