//! What users who are blocked by others may not do.

use parlance_core::{Action, Authority, Command, Need, Refusal};

use crate::solo::Solo;
use crate::values::{add, command, delete, edit, react, send, user};

fn block(solo: &mut Solo, by: &str, of: &str) {
    solo.store.blocks.insert((user(by), user(of)));
}

fn not_accepted(by: &str) -> Refusal {
    Refusal::NotAccepted(user(by))
}

#[test]
fn whoever_is_blocked_says_nothing_in_the_direct_room() {
    let mut solo = Solo::direct();
    let said = command("bob", "said", None, send("before"));
    let first = solo.ask(&said).unwrap();
    block(&mut solo, "ann", "bob");
    for action in [send("after"), edit(first.first, "after"), react(first.first, "👍")] {
        assert_eq!(solo.does("bob", action), Err(not_accepted("ann")));
    }
    // What was said before is repeated, and may be taken back; the other one may still write.
    assert!(solo.ask(&said).unwrap().is_repeat);
    solo.does("bob", delete(first.first)).unwrap();
    solo.does("ann", send("goodbye")).unwrap();
    let as_bob = Command {
        authority: Authority::OnBehalf { service: user("backend") },
        ..command("bob", "as-bob", None, send("after"))
    };
    assert_eq!(solo.ask(&as_bob), Err(not_accepted("ann")));
    solo.app("backend", send("from the app")).unwrap();
    solo.store.blocks.clear();
    solo.does("bob", send("again")).unwrap();
}

#[test]
fn blocks_are_read_once_for_each_draft_of_a_direct_room_and_for_no_other() {
    let mut solo = Solo::direct();
    let two = ["1", "2"].map(|id| command("bob", id, None, send(id)));
    solo.append(&two).unwrap();
    let of_bob = Need::Blocks { by: vec![user("ann")], of: user("bob") };
    assert_eq!(solo.needs.iter().filter(|need| **need == of_bob).count(), 1, "{:?}", solo.needs);
    let mut solo = Solo::group();
    solo.does("bob", send("1")).unwrap();
    assert!(!solo.needs.iter().any(|need| matches!(need, Need::Blocks { .. })), "{:?}", solo.needs);
}

#[test]
fn whoever_is_blocked_adds_nobody_who_blocks_them() {
    let mut solo = Solo::group();
    block(&mut solo, "eve", "ann");
    let request = command("ann", "add", None, add(&["dan", "eve"]));
    assert_eq!(solo.ask(&request), Err(not_accepted("eve")));
    solo.does("ann", add(&["dan"])).unwrap();
    // Whoever is there already is not added.
    solo.app("backend", add(&["eve"])).unwrap();
    solo.does("ann", add(&["dan", "eve"])).unwrap();
    // A repeat after a block is still one.
    let added = command("ann", "first", None, add(&["fay"]));
    solo.ask(&added).unwrap();
    block(&mut solo, "fay", "ann");
    solo.does("fay", Action::Leave).unwrap();
    assert!(solo.ask(&added).unwrap().is_repeat);
    assert_eq!(solo.does("ann", add(&["fay"])), Err(not_accepted("fay")));
}
