use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Every operation.
pub const ANY: &str = "*";

/// A fault of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not executed: throughput exceeded. A transaction is cancelled for the same reason.
    Throttle,
    /// Not executed: internal server error (500).
    ServerError,
    /// Not executed: service unavailable (503).
    Unavailable,
    /// Executed, but the connection is closed before the answer.
    LoseAnswer,
    /// The connection is closed before execution.
    Cut,
    /// Executed after this time, whether or not the caller still waits.
    Delay(Duration),
    /// Not executed: another transaction is in progress on an item. Applies to writes, and to transactions that read.
    Conflict,
    /// Half of a batch is executed, the rest returned as unprocessed. Applies to `BatchGetItem` of more than one key.
    PartialBatch,
}

impl Fault {
    /// Its name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::LoseAnswer => "lose_answer",
            Self::Cut => "cut",
            Self::Delay(_) => "delay",
            Self::Conflict => "conflict",
            Self::PartialBatch => "partial_batch",
        }
    }

    fn fits(self, operation: &str) -> bool {
        match self {
            Self::Conflict => matches!(
                operation,
                "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" | "TransactGetItems"
            ),
            Self::PartialBatch => operation == "BatchGetItem",
            _ => true,
        }
    }
}

/// The faults to inject. Clones share the same plan.
#[derive(Debug, Clone, Default)]
pub struct Plan(Arc<Mutex<Rules>>);

#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    chance: u64,
    past: Option<Duration>,
    clock_ahead: Duration,
}

#[derive(Debug)]
struct Rule {
    operation: String,
    fault: Fault,
    when: When,
}

#[derive(Debug)]
enum When {
    Left(u64),
    Probability(f64),
}

impl Plan {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `fault` to the next `count` requests of `operation` (`PutItem`, ..., or [`ANY`]).
    pub fn next(&self, operation: &str, count: u64, fault: Fault) {
        self.add(operation, fault, When::Left(count));
    }

    /// Applies `fault` to requests of `operation` with this `probability`, until the plan is cleared.
    pub fn often(&self, operation: &str, probability: f64, fault: Fault) {
        self.add(operation, fault, When::Probability(probability));
    }

    fn add(&self, operation: &str, fault: Fault, when: When) {
        self.rules().rules.push(Rule { operation: operation.to_owned(), fault, when });
    }

    /// Answers inconsistent reads from up to `age` ago; see the module.
    pub fn answer_from_the_past(&self, age: Duration) {
        self.rules().past = Some(age);
    }

    /// Moves the dates of answers ahead by this much.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        self.rules().clock_ahead = ahead;
    }

    /// How far the clock of the service is ahead.
    pub(super) fn clock_ahead(&self) -> Duration {
        self.rules().clock_ahead
    }

    /// Removes all faults.
    pub fn clear(&self) {
        let mut rules = self.rules();
        rules.rules.clear();
        rules.past = None;
        rules.clock_ahead = Duration::ZERO;
    }

    /// Restarts the random sequence.
    pub fn seed(&self, seed: u64) {
        self.rules().chance = seed;
    }

    /// The maximum age of inconsistent reads.
    pub(super) fn past(&self) -> Option<Duration> {
        self.rules().past
    }

    /// The fault for the next request of `operation`.
    pub(super) fn strike(&self, operation: &str) -> Option<Fault> {
        let mut guard = self.rules();
        let Rules { rules, chance, .. } = &mut *guard;
        let fits = |rule: &&mut Rule| {
            (rule.operation == ANY || rule.operation == operation) && rule.fault.fits(operation)
        };
        for rule in rules.iter_mut().filter(fits) {
            match &mut rule.when {
                When::Left(0) => {}
                When::Left(count) => {
                    *count -= 1;
                    return Some(rule.fault);
                }
                When::Probability(probability) => {
                    if next_chance(chance) < *probability {
                        return Some(rule.fault);
                    }
                }
            }
        }
        None
    }
}

/// The next of a sequence of numbers below 1 (SplitMix64).
#[allow(clippy::cast_precision_loss, reason = "53 bits are kept, which fit")]
pub(super) fn next_chance(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_requests_fail() {
        let plan = Plan::default();
        plan.next("PutItem", 2, Fault::Throttle);
        plan.next(ANY, 1, Fault::Cut);
        let struck: Vec<_> = ["Query", "PutItem", "PutItem", "PutItem"].map(|op| plan.strike(op)).into();
        assert_eq!(struck, [Some(Fault::Cut), Some(Fault::Throttle), Some(Fault::Throttle), None]);
    }

    #[test]
    fn random_faults_are_reproducible() {
        let run = || {
            let plan = Plan::default();
            plan.seed(7);
            plan.often("Query", 0.25, Fault::ServerError);
            (0..4_000).map(|_| plan.strike("Query").is_some()).collect::<Vec<_>>()
        };
        let struck = run().iter().filter(|struck| **struck).count();
        assert_eq!(run(), run());
        assert!((900..1_100).contains(&struck), "{struck} of 4000");
    }

    #[test]
    fn fault_applies_only_to_matching_requests() {
        let plan = Plan::default();
        plan.often(ANY, 1.0, Fault::Conflict);
        assert_eq!(plan.strike("Query"), None);
        assert_eq!(plan.strike("TransactWriteItems"), Some(Fault::Conflict));
        plan.clear();
        assert_eq!(plan.strike("TransactWriteItems"), None);
    }
}
