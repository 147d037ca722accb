use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Every operation.
pub const ANY: &str = "*";

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not carried out: throughput exceeded. Of a transaction: cancelled, for the
    /// same reason.
    Throttle,
    /// It is not carried out: internal server error (500).
    ServerError,
    /// It is not carried out: service unavailable (503).
    Unavailable,
    /// It is carried out, and the connection is cut before the answer.
    LoseAnswer,
    /// The connection is cut before it is carried out.
    Cut,
    /// It is carried out after this time, whether somebody still waits for it or not.
    Delay(Duration),
    /// It is not carried out: a transaction is under way on an item. Strikes writes, and
    /// transactions that read.
    Conflict,
    /// Half of a batch is done, the rest handed back. Strikes `BatchGetItem` of more than
    /// one key.
    PartialBatch,
}

impl Fault {
    /// The name that it is counted by.
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

/// What is to fail. Clones are the same plan.
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

    /// Strikes the next `count` requests of `operation` (`PutItem`, ..., or [`ANY`]).
    pub fn next(&self, operation: &str, count: u64, fault: Fault) {
        self.add(operation, fault, When::Left(count));
    }

    /// Strikes requests of `operation` with this `probability`, until the plan is cleared.
    pub fn often(&self, operation: &str, probability: f64, fault: Fault) {
        self.add(operation, fault, When::Probability(probability));
    }

    fn add(&self, operation: &str, fault: Fault, when: When) {
        self.rules().rules.push(Rule { operation: operation.to_owned(), fault, when });
    }

    /// Answers reads that do not ask for consistency from up to `age` ago; see the module.
    pub fn answer_from_the_past(&self, age: Duration) {
        self.rules().past = Some(age);
    }

    /// Has answers say that it is later than it is by this much.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        self.rules().clock_ahead = ahead;
    }

    /// By how much the clock of the service is ahead.
    pub(super) fn clock_ahead(&self) -> Duration {
        self.rules().clock_ahead
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        let mut rules = self.rules();
        rules.rules.clear();
        rules.past = None;
        rules.clock_ahead = Duration::ZERO;
    }

    /// Begins the sequence of chances anew.
    pub fn seed(&self, seed: u64) {
        self.rules().chance = seed;
    }

    /// How old answers may be that need not be consistent.
    pub(super) fn past(&self) -> Option<Duration> {
        self.rules().past
    }

    /// What happens to the next request of `operation`.
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
fn next_chance(state: &mut u64) -> f64 {
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
    fn the_next_ones_are_struck_and_no_more() {
        let plan = Plan::default();
        plan.next("PutItem", 2, Fault::Throttle);
        plan.next(ANY, 1, Fault::Cut);
        let struck: Vec<_> = ["Query", "PutItem", "PutItem", "PutItem"].map(|op| plan.strike(op)).into();
        assert_eq!(struck, [Some(Fault::Cut), Some(Fault::Throttle), Some(Fault::Throttle), None]);
    }

    #[test]
    fn chance_is_the_same_in_every_run() {
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
    fn a_fault_strikes_only_what_it_can_happen_to() {
        let plan = Plan::default();
        plan.often(ANY, 1.0, Fault::Conflict);
        assert_eq!(plan.strike("Query"), None);
        assert_eq!(plan.strike("TransactWriteItems"), Some(Fault::Conflict));
        plan.clear();
        assert_eq!(plan.strike("TransactWriteItems"), None);
    }
}
