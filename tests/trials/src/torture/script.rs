//! What a client asks for, one thing after the other, out of the seed. Rooms and targets
//! are picks: what they stand for depends on what the client has then.

use std::hash::{Hash, Hasher};

use super::world::User;
use parlance_testbed::Seeded;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Step {
    /// Which of the client's rooms.
    pub(super) room: u16,
    /// Which message, member or size, whatever the action takes.
    pub(super) pick: u16,
    pub(super) action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Several messages at once.
    Send {
        burst: u8,
    },
    Edit,
    Delete,
    React,
    Unreact,
    MarkRead,
    Delivered,
    /// Leaves or joins; an owner removes or adds someone.
    Churn,
    /// Reads a page of the past.
    Page,
    /// Asks again what was answered already.
    Repeat,
    Typing,
}

/// How often each action comes, of their sum.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Weights {
    pub(super) send: u64,
    pub(super) change: u64,
    pub(super) mark: u64,
    pub(super) churn: u64,
    pub(super) page: u64,
    pub(super) repeat: u64,
    /// Messages in one burst, at most.
    pub(super) burst: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { send: 60, change: 12, mark: 12, churn: 2, page: 6, repeat: 5, burst: 8 }
    }
}

/// The steps of one client, without an end.
#[derive(Debug)]
pub(super) struct Script {
    seeded: Seeded,
    weights: Weights,
}

impl Script {
    pub(super) fn new(seed: u64, client: User, weights: Weights) -> Self {
        let own = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(client) << 40);
        Self { seeded: Seeded::new(own), weights }
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let Weights { send, change, mark, churn, page, repeat, burst } = self.weights;
        let typing = 1;
        let sum = send + change + mark + churn + page + repeat + typing;
        let mut at = self.seeded.below(sum);
        let mut is = |weight: u64| {
            let hit = at < weight;
            at = at.saturating_sub(weight);
            hit
        };
        let action = if is(send) {
            Action::Send { burst: 1 + self.seeded.below(burst) as u8 }
        } else if is(change) {
            match self.seeded.below(8) {
                0 => Action::Delete,
                1..4 => Action::Edit,
                4 => Action::Unreact,
                _ => Action::React,
            }
        } else if is(mark) {
            if self.seeded.below(2) == 0 { Action::MarkRead } else { Action::Delivered }
        } else if is(churn) {
            Action::Churn
        } else if is(page) {
            Action::Page
        } else if is(repeat) {
            Action::Repeat
        } else {
            Action::Typing
        };
        let (room, pick) = (self.seeded.below(1 << 16) as u16, self.seeded.below(1 << 16) as u16);
        Some(Step { room, pick, action })
    }
}

/// Steps of each client that go into the hash of a run.
const HASHED_STEPS: usize = 500;

/// Adds the scripts of all clients to `hash`.
pub(super) fn hash_all(seed: u64, clients: u16, weights: Weights, hash: &mut impl Hasher) {
    for client in 0..clients {
        for step in Script::new(seed, client, weights).take(HASHED_STEPS) {
            step.hash(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_repeat_with_their_seed_and_differ_between_clients() {
        let steps =
            |seed, client| Script::new(seed, client, Weights::default()).take(200).collect::<Vec<_>>();
        assert_eq!(steps(1, 2), steps(1, 2));
        assert_ne!(steps(1, 2), steps(1, 3));
        assert_ne!(steps(1, 2), steps(2, 2));
    }

    #[test]
    fn weights_decide_how_often() {
        let weights = Weights { send: 50, change: 0, mark: 0, churn: 0, page: 49, repeat: 0, burst: 1 };
        let steps: Vec<_> = Script::new(1, 0, weights).take(4_000).collect();
        let count = |wanted| steps.iter().filter(|step| step.action == wanted).count();
        assert!((1_800..2_200).contains(&count(Action::Send { burst: 1 })));
        assert!((1_800..2_200).contains(&count(Action::Page)));
        assert_eq!(count(Action::Churn), 0);
    }
}
