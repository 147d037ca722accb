use std::time::Duration;

/// Longer than any simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// An order for a client.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Send this operation. Without `retry`, its outcome does not matter.
    Ask { asked: usize, retry: bool },
    /// Lose the connection. The node may take a while to notice.
    Cut { half_open: Duration },
    /// Read this slowly from now on.
    Slow(Duration),
    /// Stay disconnected for a while.
    Away(Duration),
    /// Forget all cursors.
    Forget,
    /// Connect to this place from the next time on, or to any.
    Prefer(Option<usize>),
}
