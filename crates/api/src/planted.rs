//! Tests of a single node can fail: each planted bug that they are for fails one.
use std::process::{Command, Stdio};

use parlance_core::plant::Plant;

/// Runs `test` of this program again with the bug in it.
fn passes_with(bug: Plant, test: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    // As the server has it planted.
    command.args(["--exact", test]).env("PARLANCE_PLANT", bug.name()).env_remove("NEXTEST");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("running 1 test"), "{test} is not there: {said}");
    output.status.success()
}

#[test]
fn planted_bugs_fail_the_tests_that_are_for_them() {
    let tests = [
        (Plant::RereadPage, "tests::catch_up::a_session_has_all_rooms_although_its_user_is_added_to_others"),
        (Plant::CreateInCaller, "tests::rooms::members_learn_of_a_room_whose_creator_hangs_up"),
        (Plant::OneBadRoom, "tests::catch_up::an_unreadable_room_is_a_gap_and_is_opened_once_it_can_be_read"),
        (Plant::PresentForm, "tests::hub::a_missed_removal_ends_what_a_session_sees"),
    ];
    assert_eq!(tests.map(|(bug, _)| bug), Plant::SINGLE_NODE);
    for (bug, test) in tests {
        assert!(!passes_with(bug, test), "{} fails nothing", bug.name());
    }
}
