//! The checks can fail: with a planted fault, some script breaks a promise.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::model::{Cluster, Fault, Script, scripts, scripts_with_invitations};

/// Runs scripts until one breaks a promise, and expects it to be one of `expected`.
fn check(fault: Fault, expected: &[&str]) {
    check_with(scripts(), fault, expected);
}

fn check_with(scripts: impl Strategy<Value = Script>, fault: Fault, expected: &[&str]) {
    let mut runner = TestRunner::deterministic();
    let found = (0..2_000).find_map(|_| {
        let script = scripts.new_tree(&mut runner).unwrap().current();
        Cluster::run(&script, fault).err()
    });
    let found = found.unwrap_or_else(|| panic!("nobody noticed {fault:?}"));
    assert!(expected.iter().any(|part| found.contains(part)), "{fault:?} was noticed as: {found}");
}

#[test]
fn a_store_without_the_fence() {
    check(Fault::NoFence, &["is not in the log", "the log has", "follows"]);
}

#[test]
fn overlays_written_apart_from_the_log() {
    check(Fault::OverlaysApart, &["overlay"]);
}

#[test]
fn members_written_apart_from_the_log() {
    check(Fault::MembersApart, &["rows"]);
}

#[test]
fn invitations_written_apart_from_the_log() {
    check_with(scripts_with_invitations(), Fault::InvitationsApart, &["invitations", "links", "requests"]);
}

#[test]
fn a_row_in_the_directory_written_apart_from_the_log() {
    check(Fault::ListingApart, &["directory"]);
}

#[test]
fn marks_that_move_back() {
    check(Fault::MarksMoveBack, &["went back from"]);
}

#[test]
fn a_floor_written_with_the_settings() {
    check(Fault::FloorFromWriter, &["the floor went back"]);
}

#[test]
fn an_answer_before_the_write_is_durable() {
    check(Fault::AnswersEarly, &["is not in the log", "was done 2 times"]);
}

#[test]
fn a_nonce_not_compared() {
    check(Fault::IgnoresNonce, &["is not in the log", "the log has", "was done 2 times"]);
}

#[test]
fn a_refusal_by_a_node_that_is_behind() {
    check(Fault::RefusesStale, &["was done, then refused", "was refused"]);
}

#[test]
fn a_retry_under_another_request_id() {
    check(Fault::NewRequestIds, &["is there twice"]);
}

#[test]
fn settings_read_before_the_tail() {
    check(Fault::LoadsTailLast, &["other settings"]);
}

/// Why the time between deciding and appending must be shorter than the retention
/// period: once the chunk at the key is trimmed, the fence is gone.
#[test]
fn a_write_that_lands_after_retention() {
    check(Fault::LandsAnyTime, &["follows"]);
}
