use std::path::PathBuf;
use std::time::Duration;

/// How much to do.
#[derive(Debug, Clone)]
pub(super) struct Effort {
    pub(super) server: PathBuf,
    pub(super) rounds: usize,
    /// Of one round in which as much is done as can be.
    pub(super) duration: Duration,
    pub(super) listeners: usize,
    /// Messages of one round of deliveries.
    pub(super) messages: u64,
    pub(super) idle_connections: usize,
    /// Messages of the room whose history is read.
    pub(super) history: u64,
    /// The same for one on DynamoDB.
    pub(super) history_on_dynamodb: u64,
    /// Sockets that are held for a while, and how long.
    pub(super) soak_sockets: usize,
    pub(super) soak: Duration,
    /// Clients whose node dies.
    pub(super) storm: usize,
    /// A divisor of what else there is.
    pub(super) less: usize,
    /// Where other servers are installed.
    pub(super) peers: Option<PathBuf>,
}

/// Text of every message: 200 bytes, a long sentence.
const TEXT_BYTES: usize = 200;

/// Says on stderr what is being done: a round takes seconds, all of them minutes.
pub(super) fn progress(what: &str, round: usize, rounds: usize) {
    eprintln!("{what}: round {} of {rounds}", round + 1);
}

/// The text of every message.
pub(crate) fn text() -> String {
    "0123456789".repeat(TEXT_BYTES / 10)
}
