use std::path::PathBuf;
use std::time::Duration;

/// The amount of work.
#[derive(Debug, Clone)]
pub(super) struct Effort {
    pub(super) server: PathBuf,
    pub(super) rounds: usize,
    /// Duration of one round at maximum load.
    pub(super) duration: Duration,
    pub(super) listeners: usize,
    /// Messages of one round of deliveries.
    pub(super) messages: u64,
    pub(super) idle_connections: usize,
    /// Messages in the room whose history is read.
    pub(super) history: u64,
    /// Likewise on DynamoDB.
    pub(super) history_on_dynamodb: u64,
    /// Sockets held open for a while, and for how long.
    pub(super) soak_sockets: usize,
    pub(super) soak: Duration,
    /// Clients of the node that is killed.
    pub(super) storm: usize,
    /// Divisor for all other loads.
    pub(super) less: usize,
    /// Where other servers are installed.
    pub(super) peers: Option<PathBuf>,
}

/// Text of every message: 200 bytes, a long sentence.
const TEXT_BYTES: usize = 200;

/// Reports progress on stderr: a round takes seconds, all of them minutes.
pub(super) fn progress(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}

/// The text of every message.
pub(crate) fn text() -> String {
    "0123456789".repeat(TEXT_BYTES / 10)
}
