//! The simulation can fail: every planted bug shows within the first few hundred seeds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and says what it found"
)]

use std::sync::{Mutex, PoisonError};

use parlance_planted::{Plant, plant};
use parlance_sim::{Kind, run};

/// Seeds within which a bug has to show.
const SEEDS: u64 = 400;

/// Where bugs that take many seeds were found last: looked at first, then the others.
const FOUND: [(Plant, u64); 5] = [
    (Plant::TrustHints, 11),
    (Plant::IgnoreLostLease, 15),
    (Plant::LateRegistration, 16),
    (Plant::UncountedLoss, 38),
    (Plant::WaitForHoles, 61),
];

/// One at a time: a planted bug affects the whole process.
static PLANTED: Mutex<()> = Mutex::new(());

fn is_found(bug: Plant) {
    let _turn = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    plant(Some(bug));
    let first = FOUND.iter().find(|(of, _)| *of == bug).map(|(_, seed)| *seed);
    let shows = |kind: Kind| {
        let seed = first
            .into_iter()
            .chain(0..SEEDS)
            .find(|seed| !run(*seed, kind, false).unwrap().violations.is_empty())?;
        Some((kind, seed))
    };
    // Bugs that ordinary traffic does not reveal are revealed by tiny pages and callers that disconnect. Clocks are
    // only wrong in wide runs.
    let kinds = match bug {
        Plant::TrustClock => [Kind::Wide, Kind::Everyday],
        _ => [Kind::Everyday, Kind::Wide],
    };
    let found = kinds.into_iter().find_map(shows);
    plant(None);
    eprintln!("{}: {found:?}", bug.name());
    assert!(found.is_some(), "{} is not found", bug.name());
}

macro_rules! plants {
    ($($name:ident: $bug:ident;)*) => {
        $(#[test]
        fn $name() {
            is_found(Plant::$bug);
        })*

        #[test]
        fn every_planted_bug_has_a_test() {
            let known = Plant::ALL.into_iter().chain(Plant::EVENTS);
            assert_eq!(vec![$(Plant::$bug),*], known.collect::<Vec<_>>());
        }
    };
}

plants! {
    ack_before_commit_is_found: AckBeforeCommit;
    skip_fence_is_found: SkipFence;
    middle_of_chunk_is_found: MiddleOfChunk;
    drop_publish_is_found: DropPublish;
    ignore_lost_lease_is_found: IgnoreLostLease;
    ack_before_publish_is_found: AckBeforePublish;
    forget_repeat_check_is_found: ForgetRepeatCheck;
    read_past_head_is_found: ReadPastHead;
    trust_hints_is_found: TrustHints;
    late_registration_is_found: LateRegistration;
    uncounted_loss_is_found: UncountedLoss;
    from_the_future_is_found: FromTheFuture;
    trust_clock_is_found: TrustClock;
    trust_the_order_is_found: TrustTheOrder;
    wait_for_holes_is_found: WaitForHoles;
    start_at_the_record_is_found: StartAtTheRecord;
    pass_the_parked_is_found: PassTheParked;
    guard_on_seq_alone_is_found: GuardOnSeqAlone;
    checkpoint_the_highest_is_found: CheckpointTheHighest;
    checkpoint_before_the_effect_is_found: CheckpointBeforeTheEffect;
    checkpoint_apart_is_found: CheckpointApart;
    drop_on_error_is_found: DropOnError;
    skip_the_trimmed_is_found: SkipTheTrimmed;
}
