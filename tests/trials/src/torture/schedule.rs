//! The seeded schedule of faults. Longer than other files, since it lists every fault.

use std::hash::{Hash, Hasher};

use super::history::At;
use super::world::User;
use parlance_testbed::Seeded;

/// A fault. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// `kill -9` of a node, which is restarted after a while.
    Kill {
        node: u8,
        down: At,
    },
    /// `kill -9` of a node, after which nobody sends anything until the others must have found its
    /// writes. It is restarted later.
    KillInSilence {
        node: u8,
    },
    /// SIGTERM to each node in turn, each followed by its exit and restart.
    Rolling,
    /// SIGSTOP of a node, which resumes later without noticing.
    Pause {
        node: u8,
        length: At,
    },
    /// The TCP connections of a share of one node's clients are closed.
    CutClients {
        node: u8,
        share: u8,
    },
    /// A client stops reading.
    Stall {
        client: User,
        length: At,
    },
    /// A client disconnects and connects to another node.
    Move {
        client: User,
    },
    /// A client disconnects right after it has sent an operation.
    HangUp {
        client: User,
    },
    /// A client drops its state, like a new device.
    Fresh {
        client: User,
    },
    /// FLUSHALL.
    RedisFlush,
    RedisRestart {
        down: At,
    },
    /// SIGSTOP, then SIGCONT.
    RedisPause {
        length: At,
    },
    /// One node cannot reach Redis; its connections hang.
    RedisCutNode {
        node: u8,
        length: At,
    },
    /// No node can reach Redis.
    RedisCutAll {
        length: At,
    },
    /// Redis is slow: requests and answers are delayed by this much each way.
    RedisSlow {
        delay: At,
        length: At,
    },
    /// This many keys are lost, as if evicted.
    RedisKeysGone {
        count: u32,
    },
    /// Another fleet, with its own tables and rooms, uses the same Redis for a while.
    Stranger {
        length: At,
    },
    /// The Redis connections of one node are closed once.
    RedisReset {
        node: u8,
    },
    /// The next requests to the store are throttled.
    StoreThrottle {
        count: u32,
    },
    /// The next requests fail with a server error.
    StoreErrors {
        count: u32,
    },
    /// The next writes are carried out, but their answers are lost.
    StoreLost {
        count: u32,
    },
    /// Transactions conflict.
    StoreConflicts {
        count: u32,
    },
    /// Requests to the store are delayed by this much, for a while.
    StoreSlow {
        delay: At,
        length: At,
    },
    /// The next requests to the store hang for this long.
    StoreStall {
        delay: At,
        count: u32,
    },
}

/// Classes of faults, weighted against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Kill,
    KillInSilence,
    Rolling,
    Pause,
    CutClients,
    Stall,
    Move,
    HangUp,
    Fresh,
    RedisFlush,
    RedisRestart,
    RedisPause,
    RedisCutNode,
    RedisCutAll,
    RedisReset,
    RedisSlow,
    RedisKeysGone,
    Stranger,
    StoreThrottle,
    StoreErrors,
    StoreLost,
    StoreConflicts,
    StoreSlow,
    StoreStall,
}

impl Class {
    pub(super) fn is_redis(self) -> bool {
        matches!(
            self,
            Self::RedisFlush
                | Self::RedisRestart
                | Self::RedisPause
                | Self::RedisCutNode
                | Self::RedisCutAll
                | Self::RedisReset
                | Self::RedisSlow
                | Self::RedisKeysGone
        )
    }

    pub(super) fn is_store(self) -> bool {
        use Class::{StoreConflicts, StoreErrors, StoreLost, StoreSlow, StoreStall, StoreThrottle};
        matches!(self, StoreThrottle | StoreErrors | StoreLost | StoreConflicts | StoreSlow | StoreStall)
    }

    /// Whether hints between nodes, or the store, are impaired for a while.
    pub(super) fn delays_all(self) -> bool {
        self.is_redis() || self.is_store() || self == Self::Pause
    }

    fn is_node(self) -> bool {
        matches!(self, Self::Kill | Self::KillInSilence | Self::Rolling | Self::Pause)
    }
}

impl Fault {
    pub(super) fn class(self) -> Class {
        match self {
            Self::Kill { .. } => Class::Kill,
            Self::KillInSilence { .. } => Class::KillInSilence,
            Self::Rolling => Class::Rolling,
            Self::Pause { .. } => Class::Pause,
            Self::CutClients { .. } => Class::CutClients,
            Self::Stall { .. } => Class::Stall,
            Self::Move { .. } => Class::Move,
            Self::HangUp { .. } => Class::HangUp,
            Self::Fresh { .. } => Class::Fresh,
            Self::RedisFlush => Class::RedisFlush,
            Self::RedisRestart { .. } => Class::RedisRestart,
            Self::RedisPause { .. } => Class::RedisPause,
            Self::RedisCutNode { .. } => Class::RedisCutNode,
            Self::RedisCutAll { .. } => Class::RedisCutAll,
            Self::RedisReset { .. } => Class::RedisReset,
            Self::RedisSlow { .. } => Class::RedisSlow,
            Self::RedisKeysGone { .. } => Class::RedisKeysGone,
            Self::Stranger { .. } => Class::Stranger,
            Self::StoreThrottle { .. } => Class::StoreThrottle,
            Self::StoreErrors { .. } => Class::StoreErrors,
            Self::StoreLost { .. } => Class::StoreLost,
            Self::StoreConflicts { .. } => Class::StoreConflicts,
            Self::StoreSlow { .. } => Class::StoreSlow,
            Self::StoreStall { .. } => Class::StoreStall,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self.class() {
            Class::Kill => "node killed",
            Class::KillInSilence => "node killed, then silence",
            Class::Rolling => "rolling restart",
            Class::Pause => "node paused",
            Class::CutClients => "client connections cut",
            Class::Stall => "client stops reading",
            Class::Move => "client moves to another node",
            Class::HangUp => "client hangs up between request and answer",
            Class::Fresh => "client starts without cursors",
            Class::RedisFlush => "Redis: FLUSHALL",
            Class::RedisRestart => "Redis: restart",
            Class::RedisPause => "Redis: paused",
            Class::RedisCutNode => "Redis: one node cut off",
            Class::RedisCutAll => "Redis: all nodes cut off",
            Class::RedisReset => "Redis: connections broken",
            Class::RedisSlow => "Redis: slow",
            Class::RedisKeysGone => "Redis: keys evicted",
            Class::Stranger => "Redis: claimed by another fleet",
            Class::StoreThrottle => "DynamoDB: throttled",
            Class::StoreErrors => "DynamoDB: server errors",
            Class::StoreLost => "DynamoDB: answers lost",
            Class::StoreConflicts => "DynamoDB: conflicts",
            Class::StoreSlow => "DynamoDB: slow",
            Class::StoreStall => "DynamoDB: requests hang",
        }
    }
}

/// Parameters of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Setting<'a> {
    pub(super) seed: u64,
    pub(super) duration: At,
    pub(super) nodes: u8,
    pub(super) clients: u16,
    /// The connections to each node are divided into this many shares that fail separately.
    pub(super) shares: u8,
    pub(super) weights: &'a [(Class, u64)],
    /// Average interval of faults.
    pub(super) every: At,
    /// End of fault injection.
    pub(super) until: At,
}

/// No faults before everyone is connected.
const QUIET_START: At = 1_000;

/// How long nobody sends anything: longer than nodes take to give up on another one.
pub(super) const SILENCE: At = 13_000;

/// During this first part of each period, Redis and the store are healthy: deliveries must be
/// prompt then, whatever happens to nodes and clients. In the rest they may fail.
const CALM_PERCENT: At = 55;
const PERIOD: At = 60_000;

/// The faults of a run, in ascending order of time.
pub(super) fn schedule(setting: &Setting<'_>) -> Vec<(At, Fault)> {
    let mut seeded = Seeded::new(setting.seed ^ 0x6661_756c_7473);
    let mut faults = Vec::new();
    let mut at = QUIET_START;
    // At most one node is down at a time, and Redis has one failure at a time: these are the
    // earliest times of the next ones.
    let (mut nodes_free, mut redis_free) = (0, 0);
    let period = PERIOD.min(setting.duration);
    let between = |seeded: &mut Seeded, from: At, to: At| from + seeded.below((to - from).into()) as At;
    loop {
        at += between(&mut seeded, 1, 2 * setting.every);
        if at >= setting.duration.min(setting.until) {
            return faults;
        }
        let stormy = at % period >= period / 100 * CALM_PERCENT;
        let allowed: Vec<_> = setting
            .weights
            .iter()
            .filter(|(class, _)| {
                (!class.is_node() || at >= nodes_free)
                    && (!class.is_redis() || (stormy && at >= redis_free))
                    && (!(class.is_store() || *class == Class::Pause) || stormy)
            })
            .collect();
        let mut pick = seeded.below(allowed.iter().map(|(_, weight)| weight).sum());
        let hit = allowed.iter().find(|(_, weight)| {
            let hit = pick < *weight;
            pick = pick.saturating_sub(*weight);
            hit
        });
        let Some((class, _)) = hit else { continue };
        let node = seeded.below(setting.nodes.into()) as u8;
        let client = seeded.below(setting.clients.into()) as User;
        let fault = match class {
            Class::Kill => Fault::Kill { node, down: between(&mut seeded, 200, 4_000) },
            Class::KillInSilence => Fault::KillInSilence { node },
            Class::Rolling => Fault::Rolling,
            Class::Pause => Fault::Pause { node, length: between(&mut seeded, 1_000, 14_000) },
            Class::CutClients => Fault::CutClients { node, share: seeded.below(setting.shares.into()) as u8 },
            Class::Stall => Fault::Stall { client, length: between(&mut seeded, 1_000, 8_000) },
            Class::Move => Fault::Move { client },
            Class::HangUp => Fault::HangUp { client },
            Class::Fresh => Fault::Fresh { client },
            Class::RedisFlush => Fault::RedisFlush,
            Class::RedisRestart => Fault::RedisRestart { down: between(&mut seeded, 100, 3_000) },
            Class::RedisPause => Fault::RedisPause { length: between(&mut seeded, 3_000, 10_000) },
            Class::RedisCutNode => Fault::RedisCutNode { node, length: between(&mut seeded, 2_000, 12_000) },
            Class::RedisCutAll => Fault::RedisCutAll { length: between(&mut seeded, 2_000, 8_000) },
            Class::RedisReset => Fault::RedisReset { node },
            Class::RedisSlow => Fault::RedisSlow {
                delay: between(&mut seeded, 100, 5_000),
                length: between(&mut seeded, 2_000, 8_000),
            },
            Class::RedisKeysGone => Fault::RedisKeysGone { count: between(&mut seeded, 1, 20) },
            Class::Stranger => Fault::Stranger { length: between(&mut seeded, 3_000, 8_000) },
            Class::StoreThrottle => Fault::StoreThrottle { count: between(&mut seeded, 5, 60) },
            Class::StoreErrors => Fault::StoreErrors { count: between(&mut seeded, 2, 30) },
            Class::StoreLost => Fault::StoreLost { count: between(&mut seeded, 1, 20) },
            Class::StoreConflicts => Fault::StoreConflicts { count: between(&mut seeded, 2, 20) },
            Class::StoreSlow => Fault::StoreSlow {
                delay: between(&mut seeded, 20, 400),
                length: between(&mut seeded, 500, 4_000),
            },
            Class::StoreStall => Fault::StoreStall {
                delay: between(&mut seeded, 200, 10_000),
                count: between(&mut seeded, 1, 12),
            },
        };
        match fault {
            Fault::Kill { down, .. } | Fault::Pause { length: down, .. } => nodes_free = at + down + 4_000,
            // Long enough for the reaction to one loss to end before the next.
            Fault::KillInSilence { .. } => nodes_free = at + SILENCE + 12_000,
            Fault::Rolling => nodes_free = at + 15_000 * At::from(setting.nodes),
            // The last request is answered that much later.
            Fault::RedisSlow { delay, length } => redis_free = at + length + 2 * delay + 2_000,
            Fault::RedisRestart { down: length }
            | Fault::RedisPause { length }
            | Fault::RedisCutNode { length, .. }
            | Fault::RedisCutAll { length } => redis_free = at + length + 2_000,
            _ => {}
        }
        faults.push((at, fault));
    }
}

pub(super) fn hash(schedule: &[(At, Fault)], hash: &mut impl Hasher) {
    schedule.hash(hash);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[(Class, u64)] = &[
        (Class::Kill, 2),
        (Class::Rolling, 1),
        (Class::Move, 5),
        (Class::RedisPause, 3),
        (Class::RedisFlush, 3),
        (Class::StoreLost, 3),
    ];

    fn setting(seed: u64) -> Setting<'static> {
        Setting {
            seed,
            duration: 300_000,
            nodes: 3,
            clients: 20,
            shares: 2,
            weights: ALL,
            every: 700,
            until: At::MAX,
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_schedule() {
        assert_eq!(schedule(&setting(5)), schedule(&setting(5)));
        assert_ne!(schedule(&setting(5)), schedule(&setting(6)));
    }

    #[test]
    fn faults_come_as_often_as_asked_and_some_time_is_free_of_redis() {
        let faults = schedule(&setting(5));
        assert!(faults.len() >= 300, "{}", faults.len());
        assert!(faults.is_sorted_by_key(|(at, _)| *at));
        for (class, _) in ALL {
            assert!(faults.iter().any(|(_, fault)| fault.class() == *class), "{class:?}");
        }
        let in_calm = |(at, fault): &&(At, Fault)| {
            at % PERIOD < PERIOD / 100 * CALM_PERCENT
                && (fault.class().is_redis() || fault.class().is_store())
        };
        assert_eq!(faults.iter().filter(in_calm).count(), 0);
    }

    #[test]
    fn one_node_is_down_at_a_time() {
        let mut free = 0;
        for (at, fault) in schedule(&setting(9)) {
            if let Fault::Kill { down, .. } = fault {
                assert!(at >= free);
                free = at + down;
            }
        }
    }
}
