//! The seeded operations of a client, in order. Rooms and targets are picks, which are
//! resolved with the client's state at that time.

use std::hash::{Hash, Hasher};

use super::world::User;
use parlance_testbed::Seeded;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Step {
    /// Selects one of the client's rooms.
    pub(super) room: u16,
    /// Selects a message, member or size, depending on the action.
    pub(super) pick: u16,
    pub(super) action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Sends several messages at once.
    Send {
        burst: u8,
    },
    Edit,
    Delete,
    React,
    Unreact,
    MarkRead,
    Delivered,
    /// Leaves or joins; an owner removes or adds a member.
    Churn,
    /// Reads a page of history.
    Page,
    /// Repeats an answered operation.
    Repeat,
    Typing,
}

/// Relative frequency of each action.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Weights {
    pub(super) send: u64,
    pub(super) change: u64,
    pub(super) mark: u64,
    pub(super) churn: u64,
    pub(super) page: u64,
    pub(super) repeat: u64,
    /// Maximum number of messages in one burst.
    pub(super) burst: u64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { send: 60, change: 12, mark: 12, churn: 2, page: 6, repeat: 5, burst: 8 }
    }
}

/// The endless steps of one client.
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

/// Steps of each client included in the hash of a run.
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
