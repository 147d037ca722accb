//! The simulation can fail: every planted bug shows within the first few hundred seeds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use parlance_core::plant::{Plant, plant};
use parlance_sim::{Kind, run};

/// Seeds within which a bug has to show.
const SEEDS: u64 = 400;

/// One after the other: what is planted is so in the whole process.
#[test]
fn planted_bugs_are_found() {
    let mut found = Vec::new();
    let mut missed = Vec::new();
    for bug in Plant::ALL {
        plant(Some(bug));
        let shows =
            |kind: Kind| (0..SEEDS).find(|seed| !run(*seed, kind, false).unwrap().violations.is_empty());
        // What everyday traffic does not bring out, tiny pages and callers who vanish do.
        match shows(Kind::Everyday).or_else(|| shows(Kind::Wide)) {
            Some(seed) => found.push((bug.name(), seed)),
            None => missed.push(bug.name()),
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not found: {missed:?}; found: {found:?}");
}
