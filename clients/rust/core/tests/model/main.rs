//! A session against a small model of a server, over a network that randomly loses, delays
//! and refuses: every call is answered once and carried out once, and the application gets
//! every event of a room in order, or a gap.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

mod server;
mod world;

use std::collections::BTreeMap;

use parlance_client_core::{CallId, Code, Error, Failure};
use proptest::prelude::*;

use world::{ROOMS, Step, USER, World};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let passing =
        prop_oneof![Just(Code::Unavailable), Just(Code::DeadlineExceeded), Just(Code::ResourceExhausted)];
    let refusing = prop_oneof![
        Just(Code::Unauthenticated),
        Just(Code::PermissionDenied),
        Just(Code::NotFound),
        Just(Code::Unimplemented),
        Just(Code::Internal),
        Just(Code::Unavailable),
        Just(Code::InvalidArgument),
    ];
    let hang_up = prop_oneof![Just(Code::Internal), Just(Code::Unavailable), Just(Code::PermissionDenied)];
    let step = prop_oneof![
        6 => (0..ROOMS).prop_map(Step::Send),
        1 => (0..8_usize).prop_map(Step::Cancel),
        4 => (0..ROOMS).prop_map(Step::Speak),
        8 => Just(Step::Serve),
        8 => Just(Step::Deliver),
        6 => Just(Step::Network),
        1 => Just(Step::NetworkFails),
        2 => Just(Step::Lose),
        1 => passing.prop_map(Step::Refuse),
        1 => refusing.prop_map(Step::RefuseHello),
        1 => hang_up.prop_map(Step::HangUp),
        1 => Just(Step::Drain),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Wake),
        4 => (1..12_000_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..160)
}

fn check(steps: Vec<Step>, seed: u64) {
    let mut world = World::new(seed);
    for step in steps {
        // A token that is refused twice legitimately ends the session.
        if matches!(step, Step::RefuseHello(Code::Unauthenticated)) && world.refuse_hello.is_some() {
            continue;
        }
        world.step(step);
        if world.core.is_ended() {
            return;
        }
    }
    world.heal();
    for (id, answer) in &world.answers {
        let (room, sent) = (world.rooms_of[id], &world.ids[id].client_message_id);
        assert_eq!(world.logs[room][answer.seq as usize - 1], (USER.to_owned(), sent.clone()));
    }
    for id in 0..world.next_call {
        let sent = world.ids.get(&id).map(|message| &message.client_message_id);
        let copies = world.logs[world.rooms_of[&id]].iter().filter(|(_, it)| Some(it) == sent).count();
        assert!(copies == 1 || copies == 0 && world.cancelled.contains(&id), "{id}: {copies} copies");
        assert!(world.answers.contains_key(&id) != world.cancelled.contains(&id));
    }
    if !world.has_refused {
        let calls: BTreeMap<&str, CallId> =
            world.ids.iter().map(|(id, message)| (message.client_message_id.as_str(), *id)).collect();
        for log in &world.logs {
            let own: Vec<_> =
                log.iter().filter(|(actor, _)| actor == USER).map(|(_, id)| calls[id.as_str()]).collect();
            assert!(own.is_sorted(), "messages change their order: {own:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in steps(), seed in any::<u64>()) {
        check(steps, seed);
    }
}

#[test]
fn a_third_refusal_of_the_identity_ends_it_and_no_other_does() {
    let mut world = World::new(1);
    let go = |world: &mut World| {
        for step in [Step::Network, Step::Network, Step::Serve, Step::Deliver, Step::Deliver] {
            world.step(step);
        }
    };
    let refusals = [
        Code::NotFound,
        Code::Internal,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unauthenticated,
    ];
    for code in refusals {
        world.step(Step::RefuseHello(code));
        go(&mut world);
        assert!(!world.core.is_ended());
        world.step(Step::Pass(10_000));
    }
    world.step(Step::RefuseHello(Code::Unauthenticated));
    go(&mut world);
    assert!(world.core.is_ended());
    let failure = Failure::new(Code::Unauthenticated, "because", "");
    assert!(Error::from(failure).refuses_identity());
}
