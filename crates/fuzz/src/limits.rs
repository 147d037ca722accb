//! Sizes of a run.

use std::time::Duration;

/// Mutated inputs of the short run that is part of the tests.
pub(crate) const SHORT_RUN: u64 = 2_000;

/// Largest input, in bytes: small ones are mutated in more telling ways.
pub(crate) const MAX_INPUT: usize = 4 * 1024;

/// Inputs that are kept for further mutation, since their outcome was new.
pub(crate) const MAX_POOL: usize = 4_096;

/// Mutations of one input, at most.
pub(crate) const MAX_MUTATIONS: usize = 5;

/// Inputs between two looks at the clock.
pub(crate) const LOOK_EVERY: u64 = 64;

/// How often a long run reports.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(60);
