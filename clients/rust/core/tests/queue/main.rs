//! Commands against a small model of a server and of a store, with lost connections, refusals, stores that fail or hang,
//! and restarts: each takes effect once, in order.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

mod restored;
mod server;
mod world;

use parlance_client_core::{Code, Discarded};
use proptest::prelude::*;

use world::{Fate, ROOMS, Step, World};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let passing =
        prop_oneof![Just(Code::Unavailable), Just(Code::DeadlineExceeded), Just(Code::ResourceExhausted)];
    let step = prop_oneof![
        8 => (0..ROOMS).prop_map(Step::Send),
        2 => (0..ROOMS).prop_map(Step::Mark),
        2 => (0..8_usize).prop_map(Step::Discard),
        1 => (0..8_usize).prop_map(Step::Retry),
        4 => (0..ROOMS).prop_map(Step::Speak),
        10 => Just(Step::Serve),
        10 => Just(Step::Deliver),
        6 => Just(Step::Network),
        2 => Just(Step::Lose),
        1 => passing.prop_map(Step::Refuse),
        1 => Just(Step::Refuse(Code::PermissionDenied)),
        10 => Just(Step::StoreAnswers),
        1 => Just(Step::StoreFails),
        2 => any::<bool>().prop_map(Step::Restart),
        4 => (1..12_000_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..200)
}

fn check(steps: Vec<Step>, seed: u64) {
    let mut world = World::new(seed);
    for step in steps {
        world.step(step);
    }
    world.heal();
    for (id, sent) in &world.sent {
        let copies = world.copies(sent.room, id);
        assert!(copies <= 1, "{id} is there {copies} times: {sent:?}");
        match sent.fate {
            Fate::Queued => assert!(copies == 1 || sent.may_be_lost, "{id} is lost: {sent:?}"),
            Fate::Answered => assert_eq!(copies, 1, "{id} was acknowledged and is not there"),
            Fate::Discarded(Discarded::Undone) => assert_eq!(copies, 0, "{id} was withdrawn"),
            Fate::Discarded(_) | Fate::Failed => {}
        }
    }
    for room in 0..ROOMS {
        let order: Vec<usize> = world.order(room);
        assert!(order.is_sorted(), "commands of room {room} changed their order: {order:?}");
        if let Some(mark) = world.marks_wanted[room] {
            assert!(world.marks[room] >= mark, "room {room} is marked up to {}", world.marks[room]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_command_takes_effect_once_in_order(steps in steps(), seed in any::<u64>()) {
        check(steps, seed);
    }
}

#[test]
fn stored_commands_are_sent_unchanged_after_a_restart() {
    let mut world = World::new(1);
    world.settle();
    world.step(Step::Send(0));
    world.settle_store();
    // It reaches the server, but the answer is lost with the process.
    world.step(Step::Serve);
    assert_eq!(world.copies(0, "c0"), 1);
    world.step(Step::Restart(true));
    world.heal();
    assert_eq!(world.copies(0, "c0"), 1);
}

#[test]
fn nothing_is_on_the_wire_before_it_is_stored() {
    let mut world = World::new(1);
    world.settle();
    world.step(Step::Send(0));
    assert!(!world.has_unserved());
    world.settle_store();
    assert!(world.has_unserved());
}

#[test]
fn a_store_that_hangs_stops_nothing_and_is_reported() {
    let mut world = World::new(1);
    world.settle();
    world.step(Step::Send(0));
    world.step(Step::Pass(1_600));
    assert!(world.has_unserved());
    assert!(world.is_storage_lost());
    world.heal();
    assert!(!world.is_storage_lost());
    assert_eq!(world.copies(0, "c0"), 1);
}
