//! Unread counts are arithmetic.

use parlance_core::{Cursors, Mark, unread};
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::{add, command, delete, remove, send, user};

fn check_unread(solo: &Solo, who: &str, expected: u64) {
    let read = solo.store.cursors[&user(who)].read;
    assert_eq!(unread(solo.room.head().message_count(), read), expected, "{who} has read {read:?}");
}

#[test]
fn sending_reads_up_to_ones_own_message() {
    let mut solo = Solo::group();
    for words in ["one", "two"] {
        solo.does("ann", send(words)).unwrap();
    }
    check_unread(&solo, "bob", 2);
    solo.does("bob", send("three")).unwrap();
    check_unread(&solo, "ann", 1);
    check_unread(&solo, "bob", 0);
    check_unread(&solo, "cat", 3);
}

#[test]
fn a_deleted_message_stays_counted() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    check_unread(&solo, "bob", 1);
}

#[test]
fn joining_starts_at_the_count_of_that_moment() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("ann", add(&["dan"])).unwrap();
    check_unread(&solo, "dan", 0);
    solo.does("ann", send("two")).unwrap();
    check_unread(&solo, "dan", 1);
    // And again on coming back: what was said in between is not theirs.
    solo.does("ann", remove("dan")).unwrap();
    solo.does("ann", send("three")).unwrap();
    solo.does("ann", add(&["dan"])).unwrap();
    check_unread(&solo, "dan", 0);
}

#[test]
fn one_chunk_marks_each_senders_last_message() {
    let mut solo = Solo::group();
    let say = |who, id: &str| command(who, id, None, send(id));
    let commands = [say("ann", "a1"), say("bob", "b1"), say("ann", "a2"), say("bob", "b2")];
    let append = solo.append(&commands).unwrap().1.unwrap();
    let mark = |seq, message_count| Mark { seq, message_count };
    assert_eq!(append.sent, [(user("ann"), mark(7, 3)), (user("bob"), mark(8, 4))]);
    check_unread(&solo, "ann", 1);
    check_unread(&solo, "bob", 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order marks arrive, and however often: the furthest stands.
    #[test]
    fn marks_only_move_forward(seqs in proptest::collection::vec((0..50u64, 0..50u64), 1..10)) {
        // Counts belong to seqs, as they do in a log.
        let reached = |(delivered, seq): (u64, u64)| {
            Cursors { delivered, read: Mark { seq, message_count: seq / 3 } }
        };
        let mut cursors = Cursors::default();
        for (n, pair) in seqs.iter().enumerate() {
            cursors.advance(reached(*pair));
            let (delivered, read) = seqs[..=n].iter().fold((0, 0), |far, p| (far.0.max(p.0), far.1.max(p.1)));
            prop_assert_eq!(cursors, reached((delivered, read)));
        }
    }
}
