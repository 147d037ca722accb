//! Bounds of calls to DynamoDB, each with its reason.

use std::time::Duration;

/// One try of a call to DynamoDB. The service answers in milliseconds, a page of a megabyte in tens of them.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
