//! Limits of the registry on Redis.

use parlance_core::Backoff;
use std::time::Duration;

/// Delays between attempts to reach Redis: a restarting server is back within moments, and waiting nodes must not
/// prevent that.
pub(crate) const LINK_BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(3_200) };

/// A link that lasted this long was good: the delays are reset when it is lost.
pub(crate) const HELD_LONG: Duration = Duration::from_secs(10);

/// Buckets processed by one command: about a thousand users, a millisecond.
pub(crate) const BUCKETS_AT_ONCE: usize = 16;

/// Pause after each such command, for other clients of Redis.
pub(crate) const SWEEP_REST: Duration = Duration::from_millis(1);

/// Ended leases that are remembered. Forgetting one costs a question to Redis.
pub(crate) const REMEMBERED_NODES: usize = 4_096;

/// How often the eviction policy is queried: it can be changed at runtime.
pub(crate) const ASK_POLICY_EVERY: Duration = Duration::from_secs(60);

/// The same after a failure, such as a missing permission.
pub(crate) const ASK_POLICY_AGAIN: Duration = Duration::from_secs(600);

/// Messages queued between the client's task and ours, which only sorts them.
pub(crate) const WAITING_MESSAGES: usize = 16_384;

/// Maximum number of users or rooms per command.
pub(crate) const WRITE_BATCH: usize = 500;

/// Batches of one kind in flight at once; later changes are combined. Redis executes them one after the other: more
/// would only wait there, with those of all nodes after an outage.
pub(crate) const WRITES_UNDER_WAY: usize = 2;

/// Registrations refreshed together.
pub(crate) const REFRESH_BATCH: usize = 200;

/// After this time, a node that has started cleaning up without continuing is considered dead.
pub(crate) const SWEEP_PATIENCE_MS: i64 = 60_000;

/// Users looked up by one command: Redis answers it in about a millisecond, while it does nothing else.
pub(crate) const LOOKUP_BATCH: usize = 1_000;

/// Channels subscribed to by one command, for the same reason.
pub(crate) const CHANNELS_AT_ONCE: usize = 1_000;

/// How often the state of a client that connects is checked, since it announces success only to earlier listeners.
pub(crate) const LOOK_CONNECTED: Duration = Duration::from_millis(2);
