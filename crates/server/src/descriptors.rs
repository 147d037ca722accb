//! File descriptors: the limit of this process, and its use.

use std::path::Path;

use crate::limits::{LEAST_DESCRIPTOR_RESERVE, MAX_CONNECTIONS, MOST_DESCRIPTOR_RESERVE};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The file descriptor limit of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    limit: usize,
}

impl Descriptors {
    /// Raises the limit as far as allowed: a shell's 1,024 is for programs that use `select`.
    pub(crate) fn raised() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current < maximum {
            // If this fails, the old limit applies.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        let limit =
            getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { limit: limit.unwrap_or(usize::MAX) }
    }

    /// The number reserved from clients.
    pub(crate) fn reserve(self) -> usize {
        (self.limit / 4).clamp(LEAST_DESCRIPTOR_RESERVE, MOST_DESCRIPTOR_RESERVE)
    }

    /// Files that the store keeps open for reading, or its connections to the service.
    pub(crate) fn of_store(self) -> usize {
        self.reserve() / 2
    }

    /// Client connections for which there are descriptors. A bridge has few others, to its nodes.
    pub(crate) fn connections(self) -> usize {
        self.limit.saturating_sub(self.reserve()).clamp(1, MAX_CONNECTIONS)
    }

    /// `wanted` connections, as far as there are descriptors for them.
    pub(crate) fn capped(self, wanted: usize) -> usize {
        let possible = self.limit.saturating_sub(self.reserve()).max(1);
        if wanted > possible {
            let limit = self.limit;
            tracing::warn!(
                wanted,
                possible,
                limit,
                "too few descriptors for max-connections; raise ulimit -n"
            );
        }
        wanted.min(possible)
    }

    /// The number in use. `None` if the system does not report it.
    pub(crate) fn used() -> Option<usize> {
        Some(Path::new("/proc/self/fd").read_dir().ok()?.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: usize, wanted: Option<usize>, expected: usize) {
        let descriptors = Descriptors { limit };
        let wanted = wanted.unwrap_or(descriptors.connections());
        assert_eq!(descriptors.capped(wanted), expected, "{limit} {wanted:?}");
    }

    #[test]
    fn reserve_is_kept_from_clients() {
        check(256, None, 128);
        check(1_024, None, 768);
        check(1_024, Some(100), 100);
        check(1_024, Some(5_000), 768);
        check(20_000, None, 18_976);
        check(1_000_000, None, MAX_CONNECTIONS);
        check(1_000_000, Some(200_000), 200_000);
        check(usize::MAX, None, MAX_CONNECTIONS);
        check(10, None, 1);
    }
}
