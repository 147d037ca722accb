//! Limits of the Kafka sink, each with its reason.

use std::time::Duration;

/// Timeout of the brokers' answers about a topic: they take milliseconds, and an election of leaders seconds.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one look for a connected broker takes: a process that stops meanwhile waits for it.
pub(crate) const BROKER_LOOK: Duration = Duration::from_millis(500);

/// Retry interval while the producer's queue is full: brokers that keep up empty it sooner.
pub(crate) const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(200);

/// Maximum overhead of headers and key in addition to a value, bytes: ids of 256 bytes and fixed headers.
pub(crate) const RECORD_OVERHEAD: usize = 8 * 1024;

/// How long a failed check of the topic counts: rooms that waited for it share its result, and a room alone is retried
/// later than that from the second time on.
pub(crate) const FAILED_CHECK: Duration = Duration::from_secs(1);
