//! The workload of a run: the size of the world, the clients' actions, the faults. Everything at
//! once, or one focus that reveals a certain kind of bug.

use parlance_planted::Plant;

use super::history::At;
use super::schedule::Class;
use super::script::Weights;
use super::world::Size;

#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) size: Size,
    pub(super) weights: Weights,
    pub(super) faults: Vec<(Class, u64)>,
    /// Average interval of faults, milliseconds.
    pub(super) every: At,
    /// End of fault injection, milliseconds since the beginning.
    pub(super) until: At,
    /// Messages per second, as far as the nodes keep up.
    pub(super) rate: u64,
    /// Maximum number of unanswered operations per client.
    pub(super) in_flight: usize,
    /// Default duration in seconds.
    pub(super) duration: u64,
}

/// Messages per second that are asked for, without and with optimisations. Three nodes on a small machine take 60 to 90
/// without: then everything waits, and promptness is hardly checked.
const RATE: u64 = if cfg!(debug_assertions) { 250 } else { 1_800 };

/// Only messages, one after the other.
const JUST_SENDS: Weights = Weights { send: 50, change: 0, mark: 0, churn: 0, page: 0, repeat: 0, burst: 1 };

impl Profile {
    /// Everything at once.
    pub(super) fn everything() -> Self {
        Self {
            size: Size { clients: 48, rooms: 30, members: 8, groups_only: false },
            weights: Weights::default(),
            faults: vec![
                (Class::Kill, 4),
                (Class::Rolling, 1),
                (Class::Pause, 2),
                (Class::CutClients, 10),
                (Class::Stall, 12),
                (Class::Move, 14),
                (Class::Fresh, 8),
                (Class::RedisFlush, 3),
                (Class::RedisRestart, 2),
                (Class::RedisPause, 2),
                (Class::RedisCutNode, 3),
                (Class::RedisCutAll, 1),
                (Class::RedisReset, 3),
                (Class::StoreThrottle, 4),
                (Class::StoreErrors, 4),
                (Class::StoreLost, 4),
                (Class::StoreConflicts, 3),
                (Class::StoreSlow, 3),
            ],
            every: 700,
            until: At::MAX,
            rate: RATE,
            in_flight: 24,
            duration: 60,
        }
    }

    /// Adds clients that disconnect early, a Redis that is slow, loses single keys or is claimed by
    /// another fleet, and a store that hangs.
    pub(super) fn widen(&mut self) {
        self.faults.extend([
            (Class::HangUp, 14),
            (Class::RedisSlow, 6),
            (Class::RedisKeysGone, 4),
            (Class::Stranger, 1),
            (Class::StoreStall, 3),
        ]);
    }

    /// A workload that reveals a planted bug; without the bug it passes.
    pub(super) fn aimed_at(plant: Plant) -> Self {
        let mut profile = Self::everything();
        profile.duration = 40;
        let clients_only =
            vec![(Class::CutClients, 3), (Class::Move, 4), (Class::Stall, 2), (Class::Fresh, 1)];
        match plant {
            // Acknowledged but unwritten messages are lost with their node, or with a failing
            // write.
            Plant::AckBeforeCommit => {
                profile.faults = vec![(Class::Kill, 3), (Class::StoreErrors, 2), (Class::StoreThrottle, 2)];
                profile.faults.extend(clients_only);
            }
            // Few rooms and many writers: nodes race for every seq.
            Plant::SkipFence | Plant::MiddleOfChunk => {
                profile.size = Size { clients: 36, rooms: 4, members: 20, groups_only: true };
                profile.faults = clients_only;
                profile.weights.churn = 0;
            }
            // No faults, so everything has to be prompt; rooms so quiet that no later message
            // reveals a missing one.
            Plant::DropPublish => {
                profile.size = Size { clients: 40, rooms: 100, members: 4, groups_only: true };
                profile.faults = vec![(Class::Stall, 1)];
                profile.every = 3_000;
                profile.rate = 20;
                profile.weights = JUST_SENDS;
            }
            // Wipes, and then nothing that would register users again, for longer than nodes keep
            // looking after a lost one.
            Plant::IgnoreLostLease => {
                profile.size = Size { clients: 48, rooms: 60, members: 5, groups_only: true };
                profile.faults = vec![(Class::RedisFlush, 1)];
                profile.every = 6_000;
                // Redis fails only in the second half of a minute.
                profile.until = 45_000;
                profile.rate = 40;
                profile.duration = 135;
                profile.weights = JUST_SENDS;
            }
            // Nodes are killed with acknowledged but unpublished messages, and nobody sends
            // anything after them.
            Plant::AckBeforePublish => {
                profile.size = Size { clients: 30, rooms: 60, members: 4, groups_only: true };
                profile.faults = vec![(Class::KillInSilence, 1)];
                profile.every = 8_000;
                profile.rate = 40;
                profile.duration = 60;
                profile.weights = JUST_SENDS;
            }
            // Former and later members request what they may not see.
            Plant::ReadPastHead => {
                profile.size = Size { clients: 36, rooms: 12, members: 10, groups_only: false };
                profile.faults = clients_only;
                profile.weights.churn = 10;
                profile.weights.page = 40;
            }
            Plant::ForgetRepeatCheck => {
                profile.faults = clients_only;
                profile.weights.repeat = 20;
            }
            // A node is killed while sinks fail, and no later message of a room has it looked at again.
            Plant::CheckpointTheHighest | Plant::CheckpointBeforeTheEffect | Plant::CheckpointApart => {
                profile.size = Size { clients: 30, rooms: 120, members: 4, groups_only: true };
                profile.faults = vec![(Class::KillInSilence, 1)];
                profile.every = 6_000;
                profile.rate = 60;
                profile.weights = JUST_SENDS;
                profile.duration = 60;
            }
            // Those only possible in the simulation, see `Plant::REAL`, and other ones of consumers.
            _ => {}
        }
        profile
    }

    /// Average interval of a client's steps, microseconds.
    pub(super) fn pace_micros(&self) -> u64 {
        let Weights { send, change, mark, churn, page, repeat, burst } = self.weights;
        let steps = send + change + mark + churn + page + repeat + 1;
        // Average number of messages in a burst, in halves.
        let twice = burst + 1;
        u64::from(self.size.clients) * 1_000_000 * send * twice / (2 * steps * self.rate.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::torture::run::Plan;

    #[test]
    fn every_fault_of_a_workload_happens() {
        for plant in Plant::REAL.into_iter().chain(Plant::REAL_EVENTS) {
            let profile = Profile::aimed_at(plant);
            let duration = Duration::from_secs(profile.duration);
            let schedules = (1..=20).map(|seed| Plan::new(seed, duration, 3, profile.clone()).schedule);
            let schedules: Vec<_> = schedules.collect();
            assert!(schedules.iter().all(|schedule| !schedule.is_empty()), "{plant:?}");
            for (class, _) in &profile.faults {
                let happens = schedules.iter().flatten().any(|(_, fault)| fault.class() == *class);
                assert!(happens, "{plant:?}: {class:?}");
            }
        }
    }

    #[test]
    fn the_pace_makes_the_rate() {
        let mut profile = Profile::everything();
        profile.weights = Weights { send: 99, change: 0, mark: 0, churn: 0, page: 0, repeat: 0, burst: 3 };
        (profile.size.clients, profile.rate) = (10, 100);
        // Ten clients with two messages per step: five steps per second each, or slightly more.
        assert_eq!(profile.pace_micros(), 198_000);
    }
}
