use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::dice::{Dice, lock};
use crate::trace::Trace;

/// How often things go wrong by themselves, each in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The store refuses.
    pub store_fails: u64,
    /// The answer of the store is lost.
    pub answer_lost: u64,
    /// The store, or the way there, takes long.
    pub slow: u64,
    /// A payload is lost, and its receiver finds out that its link was.
    pub payload_lost: u64,
    /// A payload comes twice.
    pub payload_twice: u64,
    /// A payload comes much later than others.
    pub payload_late: u64,
    /// The registry does not answer.
    pub registry_fails: u64,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        store_fails: 0,
        answer_lost: 0,
        slow: 0,
        payload_lost: 0,
        payload_twice: 0,
        payload_late: 0,
        registry_fails: 0,
    };
}

/// What is shared by everything that may go wrong.
pub struct Weather {
    dice: Dice,
    trace: Arc<Trace>,
    faults: Mutex<Faults>,
}

impl Weather {
    /// Fine weather.
    pub fn new(dice: Dice, trace: Arc<Trace>) -> Self {
        Self { dice, trace, faults: Mutex::new(Faults::NONE) }
    }

    /// From now on this much goes wrong.
    pub fn set(&self, faults: Faults) {
        *lock(&self.faults) = faults;
    }

    /// How much goes wrong.
    pub fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    /// What decides.
    pub fn dice(&self) -> &Dice {
        &self.dice
    }

    /// Where it is told.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn store_fails(&self) -> bool {
        self.dice.chance(self.faults().store_fails)
    }

    pub(crate) fn answer_lost(&self) -> bool {
        self.dice.chance(self.faults().answer_lost)
    }

    /// Half of the way to the store and back.
    pub(crate) fn store_latency(&self) -> Duration {
        if self.dice.chance(self.faults().slow) { self.dice.millis(100, 1_500) } else { self.dice.millis(1, 6) }
    }

    /// The way to the registry and back.
    pub(crate) fn registry_latency(&self) -> Duration {
        if self.dice.chance(self.faults().slow) { self.dice.millis(50, 600) } else { self.dice.millis(1, 3) }
    }

    /// The way of a payload.
    pub(crate) fn payload_latency(&self) -> Duration {
        if self.dice.chance(self.faults().payload_late) {
            self.dice.millis(50, 1_200)
        } else {
            self.dice.millis(1, 12)
        }
    }
}
