//! Bounds of calls to DynamoDB, each with its reason.

use std::time::Duration;

use parlance_core::limits::MAX_CLOCK_OFFSET_MS;

/// One try of a call to DynamoDB. The service answers in milliseconds, a page of a megabyte in tens of them.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How long a request that was given up may still be carried out: DynamoDB refuses one whose signature is
/// older than five minutes, by its own clock.
pub(crate) const LATE_REQUEST: Duration =
    Duration::from_secs(5 * 60).saturating_add(Duration::from_millis(MAX_CLOCK_OFFSET_MS));
