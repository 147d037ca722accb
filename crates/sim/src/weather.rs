use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_registry::NodeId;

use crate::dice::{Dice, lock};
use crate::trace::Trace;

/// Longest stall of a call, in milliseconds.
const STALL_MS: u64 = 10_000;

/// Calls per thousand to a healthy store that take several times as long as others.
const TAIL: u64 = 60;

/// Probabilities of spontaneous faults, per mille.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The store returns an error.
    pub store_fails: u64,
    /// The answer of the store is lost.
    pub answer_lost: u64,
    /// The store, or the connection to it, is slow.
    pub slow: u64,
    /// A payload is lost silently.
    pub payload_lost: u64,
    /// A payload arrives twice.
    pub payload_twice: u64,
    /// A payload arrives much later than others.
    pub payload_late: u64,
    /// A chunk is followed by one that no node has written, as from a fleet on a copy of the store.
    pub payload_forged: u64,
    /// The registry does not answer.
    pub registry_fails: u64,
    /// A call to the store takes seconds.
    pub stall: u64,
    /// A command to the registry takes seconds.
    pub registry_stall: u64,
}

impl Faults {
    /// No faults.
    pub const NONE: Self = Self {
        store_fails: 0,
        answer_lost: 0,
        slow: 0,
        payload_lost: 0,
        payload_twice: 0,
        payload_late: 0,
        payload_forged: 0,
        registry_fails: 0,
        stall: 0,
        registry_stall: 0,
    };
}

/// Shared state of all fault injection.
pub struct Weather {
    dice: Dice,
    trace: Arc<Trace>,
    faults: Mutex<Faults>,
    /// Connections per thousand that end at any moment.
    hang_ups: AtomicU64,
    troubles: Mutex<Vec<Trouble>>,
}

/// A condition under which messages to a node may be late or lost.
struct Trouble {
    /// `None`: every node.
    node: Option<NodeId>,
    from: u64,
    /// `None`: ongoing.
    to: Option<u64>,
}

impl Weather {
    /// No faults yet.
    pub fn new(dice: Dice, trace: Arc<Trace>) -> Self {
        Self {
            dice,
            trace,
            faults: Mutex::new(Faults::NONE),
            hang_ups: AtomicU64::new(0),
            troubles: Mutex::default(),
        }
    }

    /// Sets the faults from now on.
    pub fn set(&self, faults: Faults) {
        let before = std::mem::replace(&mut *lock(&self.faults), faults);
        // Calls in flight still take their time.
        let now = self.trace.now() + if before.stall > 0 || before.registry_stall > 0 { STALL_MS } else { 0 };
        let mut troubles = lock(&self.troubles);
        for trouble in troubles.iter_mut().filter(|trouble| trouble.node.is_none()) {
            trouble.to.get_or_insert(now);
        }
        if faults != Faults::NONE {
            troubles.push(Trouble { node: None, from: self.trace.now(), to: None });
        }
    }

    /// Messages to a node, or to every node, may be lost for this long.
    pub fn trouble(&self, node: Option<&NodeId>, time: Duration) {
        let now = self.trace.now();
        let to = Some(now + time.as_millis() as u64);
        lock(&self.troubles).push(Trouble { node: node.cloned(), from: now, to });
    }

    /// Whether there was no trouble for `node` between two moments.
    pub fn was_fine(&self, node: &NodeId, from: u64, to: u64) -> bool {
        let troubles = lock(&self.troubles);
        let mut its =
            troubles.iter().filter(|trouble| trouble.node.as_ref().is_none_or(|other| other == node));
        !its.any(|trouble| trouble.from <= to && trouble.to.is_none_or(|end| end >= from))
    }

    /// The current faults.
    pub fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    /// The random generator of faults.
    pub fn dice(&self) -> &Dice {
        &self.dice
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn store_fails(&self) -> bool {
        self.dice.chance(self.faults().store_fails)
    }

    pub(crate) fn answer_lost(&self) -> bool {
        self.dice.chance(self.faults().answer_lost)
    }

    /// From now on this many of a thousand connections end at any moment.
    pub(crate) fn hang_up(&self, in_thousand: u64) {
        self.hang_ups.store(in_thousand, Ordering::Relaxed);
    }

    /// After how many polls of its stream a new connection ends, if it does.
    pub(crate) fn patience(&self) -> Option<u32> {
        let hangs_up = self.dice.chance(self.hang_ups.load(Ordering::Relaxed));
        hangs_up.then(|| self.dice.within(1, 24) as u32)
    }

    /// Half of the round trip to the store.
    pub(crate) fn store_latency(&self) -> Duration {
        if self.dice.chance(self.faults().stall) {
            return self.dice.millis(200, STALL_MS);
        }
        if self.dice.chance(self.faults().slow) {
            self.dice.millis(100, 1_500)
        } else if self.dice.chance(TAIL) {
            self.dice.millis(6, 50)
        } else {
            self.dice.millis(1, 6)
        }
    }

    /// The round trip to the registry.
    pub(crate) fn registry_latency(&self) -> Duration {
        if self.dice.chance(self.faults().registry_stall) {
            return self.dice.millis(200, STALL_MS);
        }
        if self.dice.chance(self.faults().slow) { self.dice.millis(50, 600) } else { self.dice.millis(1, 3) }
    }

    /// The latency of a payload.
    pub(crate) fn payload_latency(&self) -> Duration {
        self.dice.millis(1, 12)
    }
}
