//! Requests of former members and strangers.

use parlance_core::limits::MAX_REPEAT_CHECK;
use parlance_core::{Action, Need, Outcome, Refusal, Role};
use proptest::prelude::*;

use crate::requests::check_repeat;
use crate::solo::Solo;
use crate::values::{add, ban, command, edit, react, remove, rename, send, set_role, unreact, user};

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
        ban("bob"),
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

#[test]
fn stranger_learns_nothing() {
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
fn removed_member_still_gets_their_own_answers() {
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
