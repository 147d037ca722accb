use std::time::Duration;

/// How long the bridge waits for what.
#[derive(Debug, Clone)]
pub struct Options {
    /// Between pings on a WebSocket. Shorter than the minute after which the common load
    /// balancers drop a silent connection.
    pub ping_every: Duration,
    /// A WebSocket on which nothing at all was heard for so long is closed: two pings
    /// unanswered and a slow network.
    pub idle_timeout: Duration,
    /// A WebSocket whose peer takes nothing of what waits for it for so long is dropped.
    pub write_timeout: Duration,
    /// For the peer to answer a close.
    pub close_timeout: Duration,
    /// After shutdown, for the backend to end its streams by itself.
    pub shutdown_grace: Duration,
    /// For a REST call, and for the backend to accept or refuse a stream.
    pub request_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
        }
    }
}
