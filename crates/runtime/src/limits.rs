//! Limits of the process services, each with its reason.

use std::time::Duration;

/// How long a caller waits for a lookup: resolvers ask a second name server after five seconds.
pub(crate) const LOOKUP_WITHIN: Duration = Duration::from_secs(10);

/// How long a result is shared: connections that are made together, and attempts that follow each other while a name
/// cannot be resolved.
pub(crate) const LOOKUP_KEPT: Duration = Duration::from_secs(2);
