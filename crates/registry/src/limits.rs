//! Bounds of the registry, each with its reason.

use std::time::Duration;

use parlance_core::Backoff;

/// Channels that one beat announces: some 60 kB in a fleet where each node writes to as many
/// large rooms within a second. With more they take turns: of 10,000 each is announced every 10
/// seconds.
pub(crate) const MAX_ANNOUNCED: usize = 1_000;

/// Numbers remembered beyond one that has not arrived. Envelopes of one node overtake each other
/// by a few at most; with more the missing one is taken for lost.
pub(crate) const MAX_AHEAD: usize = 4_096;

/// Beats, one a second, after which an unused stream or a node that has ended is forgotten: longer
/// than most nodes are cut off.
pub(crate) const IDLE_BEATS: u32 = 600;

/// Delays between tries to reach Redis: a server that restarts is back within moments, and nodes that wait
/// must not keep it from that.
pub(crate) const LINK_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(3_200) };

/// A link that has held for so long was a good one: the delays start over when it is lost.
pub(crate) const HELD_LONG: Duration = Duration::from_secs(10);

/// How many buckets one command goes through: about a thousand users, a millisecond.
pub(crate) const BUCKETS_AT_ONCE: usize = 16;

/// How long Redis is left to others after each.
pub(crate) const SWEEP_REST: Duration = Duration::from_millis(1);

/// How many leases that ended are remembered.
pub(crate) const REMEMBERED_NODES: usize = 4_096;

/// How often Redis is asked: it can be set anew while it runs.
pub(crate) const ASK_POLICY_EVERY: Duration = Duration::from_secs(60);

/// And after a failure, such as a permission that is missing, more rarely.
pub(crate) const ASK_POLICY_AGAIN: Duration = Duration::from_secs(600);

/// How many messages may wait between the client's task and ours, which only sorts them.
pub(crate) const WAITING_MESSAGES: usize = 16_384;

/// How many users or rooms one command is about at most.
pub(crate) const TELL_BATCH: usize = 500;

/// How many batches of one kind are under way at once; what comes meanwhile goes together.
/// Redis does one after the other: more would only have to wait there, with those of all
/// nodes when it was lost to all of them.
pub(crate) const TELLS_UNDER_WAY: usize = 2;

/// How many registrations are refreshed together.
pub(crate) const REFRESH_BATCH: usize = 200;
