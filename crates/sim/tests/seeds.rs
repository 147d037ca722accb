//! A hundred runs without violations, and the same run twice. `make simulate` has as many as one likes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use parlance_sim::{Kind, run};

fn check(seeds: std::ops::Range<u64>, kind: Kind) {
    let mut pushed = 0;
    for seed in seeds {
        let report = run(seed, kind, false).unwrap();
        assert!(report.size.deliveries > 0, "seed {seed}: nothing happened");
        pushed += report.size.pushed;
        let kind = match kind {
            Kind::Everyday => "",
            Kind::Wide => " --wide",
            Kind::Growth => " --growth",
        };
        assert!(
            report.violations.is_empty(),
            "seed {seed}: {:#?}\ncargo run -p parlance-sim -- --from {seed} --seeds 1 --trace{kind}",
            report.violations
        );
    }
    assert!(pushed > 0, "nothing was pushed to connections past their sessions");
}

/// Seeds per test, so that the test runner can spread them over processors.
const EACH: u64 = 25;

macro_rules! seeds {
    ($($name:ident: $nth:literal;)*) => {
        $(#[test]
        fn $name() {
            check($nth * EACH..($nth + 1) * EACH, Kind::Everyday);
        })*
    };
}

seeds! {
    seeds_from_0: 0;
    seeds_from_25: 1;
    seeds_from_50: 2;
    seeds_from_75: 3;
}

#[test]
fn room_grows_past_the_publishing_thresholds() {
    check(0..5, Kind::Growth);
}

/// Wide runs check more, and take longer.
const EACH_WIDE: u64 = 10;

#[test]
fn wide_seeds_from_0() {
    check(0..EACH_WIDE, Kind::Wide);
}

#[test]
fn wide_seeds_from_10() {
    check(EACH_WIDE..2 * EACH_WIDE, Kind::Wide);
}

fn check_twice(seeds: std::ops::Range<u64>, kind: Kind) {
    for seed in seeds {
        let (first, second) = (run(seed, kind, true).unwrap(), run(seed, kind, true).unwrap());
        let differs = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

#[test]
fn seed_gives_the_same_run_each_time() {
    check_twice(0..8, Kind::Everyday);
    let hash = |seed| run(seed, Kind::Everyday, false).unwrap().hash;
    assert_ne!(hash(0), hash(1));
}

#[test]
fn wide_seed_gives_the_same_run_each_time() {
    check_twice(0..4, Kind::Wide);
}
