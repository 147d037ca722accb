use std::time::Duration;

/// Longer than any simulation.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a client is to do.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Ask this. Without `retry`, what becomes of it is not looked after.
    Ask { asked: usize, retry: bool },
    /// Lose the connection. The node may take a while to notice.
    Cut { half_open: Duration },
    /// Read this slowly from now on.
    Slow(Duration),
    /// Stay away for a while.
    Away(Duration),
    /// Forget how far it is.
    Forget,
    /// Go to this place from the next time on, or anywhere.
    Prefer(Option<usize>),
}
