use std::time::Duration;

/// Timeouts of the bridge.
#[derive(Debug, Clone)]
pub struct Options {
    /// Interval of pings on a WebSocket. Shorter than the minute after which common load
    /// balancers drop a silent connection.
    pub ping_every: Duration,
    /// Silence after which a WebSocket is closed: two unanswered pings, and slack for a
    /// slow network.
    pub idle_timeout: Duration,
    /// How long a WebSocket may have pending data that its peer does not accept, before
    /// it is dropped.
    pub write_timeout: Duration,
    /// How long the peer may take to answer a close.
    pub close_timeout: Duration,
    /// How long the backend may take to end its streams after shutdown.
    pub shutdown_grace: Duration,
    /// Timeout of a REST call, and of the backend's decision to accept a stream.
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
