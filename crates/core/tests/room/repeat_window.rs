//! Repeats without `after`.

use parlance_core::limits::{MAX_REPEAT_CHECK, REPEAT_WINDOW_MS};

use crate::requests::check_repeat;
use crate::solo::Solo;
use crate::values::{command, send};

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
