//! Unread counts are arithmetic.

use parlance_core::{Body, Cursors, Event, Mark, Unread};
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::{add, command, delete, edit, remove, send, user};

fn check_unread(solo: &Solo, who: &str, expected: u64) {
    let read = solo.store.cursors[&user(who)].read;
    assert_eq!(solo.store.unread(read), expected, "{who} has read {read:?}");
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
fn a_deleted_message_is_not_unread() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("ann", send("two")).unwrap();
    solo.does("ann", edit(5, "edited")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    check_unread(&solo, "bob", 1);
    // Deleting it again changes nothing.
    assert_eq!(solo.does("ann", delete(5)).unwrap().first, 0);
    check_unread(&solo, "bob", 1);
    solo.does("ann", delete(6)).unwrap();
    check_unread(&solo, "bob", 0);
    assert_eq!(solo.room.head().deleted_count(), 2);
}

#[test]
fn deletions_below_the_mark_take_nothing_off() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("bob", send("two")).unwrap();
    solo.does("ann", send("three")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    check_unread(&solo, "bob", 1);
    // A mark behind the deletion: there is nothing to count.
    solo.does("bob", send("four")).unwrap();
    solo.does("ann", send("five")).unwrap();
    let read = solo.store.cursors[&user("bob")].read;
    assert_eq!(Unread::new(solo.room.head(), read).deleted_in(), None);
    check_unread(&solo, "bob", 1);
}

#[test]
fn a_mark_without_a_count_of_deletions_costs_a_count() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("bob", send("two")).unwrap();
    solo.does("ann", send("three")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    solo.does("ann", delete(7)).unwrap();
    let stored = Mark { deleted_count: 0, ..solo.store.cursors[&user("bob")].read };
    assert!(Unread::new(solo.room.head(), stored).deleted_in().is_some());
    assert_eq!(solo.store.unread(stored), 0);
}

#[test]
fn a_deletion_after_the_head_that_was_read_is_not_counted() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("ann", send("two")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    let (head, read) = (solo.room.head(), solo.store.cursors[&user("bob")].read);
    solo.does("ann", delete(6)).unwrap();
    let range = Unread::new(head, read).deleted_in().unwrap();
    assert_eq!(solo.store.count_deleted(range), 1);
}

#[test]
fn joining_starts_at_the_count_of_that_moment() {
    let mut solo = Solo::group();
    solo.does("ann", send("one")).unwrap();
    solo.does("ann", add(&["dan"])).unwrap();
    check_unread(&solo, "dan", 0);
    solo.does("ann", send("two")).unwrap();
    check_unread(&solo, "dan", 1);
    // And again after returning: messages sent in between are not visible to them.
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
    let mark = |seq, message_count| Mark { seq, message_count, deleted_count: 0 };
    assert_eq!(append.sent, [(user("ann"), mark(7, 3)), (user("bob"), mark(8, 4))]);
    check_unread(&solo, "ann", 1);
    check_unread(&solo, "bob", 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// For any sequence of sends and deletions, the arithmetic at every mark equals a count.
    #[test]
    fn unread_is_what_counting_gives(steps in proptest::collection::vec((0..3usize, 0..30u64), 1..40)) {
        let mut solo = Solo::group();
        for (n, (step, pick)) in steps.iter().enumerate() {
            let action = match step {
                0 => send(&format!("text {n}")),
                1 => edit(5 + pick, &format!("edit {n}")),
                _ => delete(5 + pick),
            };
            // Refused if there is no such message, or if it is deleted.
            let _ = solo.does("ann", action);
        }
        let events: Vec<Event> = solo.store.log.values().flat_map(|chunk| chunk.events().to_vec()).collect();
        let deleted = |seq| events.iter().any(|event| event.body == Body::MessageDeleted { target: seq });
        for event in &events {
            let kept = events[event.seq as usize..].iter();
            let kept = kept.filter(|later| matches!(later.body, Body::Message(_)) && !deleted(later.seq));
            prop_assert_eq!(solo.store.unread(Mark::at(event)), kept.count() as u64, "after {}", event.seq);
        }
    }

    /// Marks may arrive in any order and repeatedly: the furthest one wins.
    #[test]
    fn marks_only_move_forward(seqs in proptest::collection::vec((0..50u64, 0..50u64), 1..10)) {
        // Counts are a function of the seq, as in a log.
        let reached = |(delivered, seq): (u64, u64)| {
            Cursors { delivered, read: Mark { seq, message_count: seq / 3, deleted_count: seq / 7 } }
        };
        let mut cursors = Cursors::default();
        for (n, pair) in seqs.iter().enumerate() {
            cursors.advance(reached(*pair));
            let (delivered, read) = seqs[..=n].iter().fold((0, 0), |far, p| (far.0.max(p.0), far.1.max(p.1)));
            prop_assert_eq!(cursors, reached((delivered, read)));
        }
    }
}
