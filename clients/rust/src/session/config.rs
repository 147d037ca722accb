//! What a session is started with.

use std::fmt;
use std::sync::Arc;

use parlance_proto::v1;

use super::cursors::CursorStore;
use super::store::CommandStore;
use super::tokens::{FixedToken, TokenProvider};
use crate::transport::Dialer;

/// How a session connects and how much it holds.
#[derive(Clone)]
pub struct Config {
    /// Where to connect, tried in turn; must not be empty.
    pub dialers: Vec<Dialer>,
    /// Where the token to sign in with comes from.
    pub tokens: Arc<dyn TokenProvider>,
    /// Names this device among those of its user; may be empty.
    pub device_id: String,
    /// What the application has of each room already, from an earlier session.
    pub cursors: Vec<v1::Cursor>,
    /// Where cursors are kept over restarts; those that it holds are added to `cursors`.
    pub cursor_store: Option<Arc<dyn CursorStore>>,
    /// Acknowledge to the server what was processed, every two seconds: a session without cursors then begins behind
    /// it, and the senders see that it was delivered.
    pub acknowledge: bool,
    /// Where commands are kept over restarts, see [`Session::submit`](crate::Session::submit). Without one they live as long as the session.
    pub command_store: Option<Arc<dyn CommandStore>>,
    /// Updates that wait for the application. While the queue is full nothing is read
    /// from the connection, replies included, and the server holds the rest.
    pub update_queue: usize,
    /// Operations that may be unanswered at once, at most what the server allows;
    /// further calls wait.
    pub max_in_flight: usize,
}

impl Config {
    /// One address, a token that stays as it is, no device name, no cursors, and queues
    /// for a person who chats.
    pub fn new(dialer: Dialer, token: impl Into<String>) -> Self {
        Self::with_tokens(dialer, FixedToken(token.into()))
    }

    /// As [`Config::new`], with tokens that are asked for.
    pub fn with_tokens(dialer: Dialer, tokens: impl TokenProvider) -> Self {
        Self {
            dialers: vec![dialer],
            tokens: Arc::new(tokens),
            device_id: String::new(),
            cursors: Vec::new(),
            cursor_store: None,
            acknowledge: false,
            command_store: None,
            update_queue: 256,
            max_in_flight: 32,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the token.
        f.debug_struct("Config")
            .field("dialers", &self.dialers)
            .field("device_id", &self.device_id)
            .field("cursors", &self.cursors.len())
            .field("has_cursor_store", &self.cursor_store.is_some())
            .field("has_command_store", &self.command_store.is_some())
            .field("update_queue", &self.update_queue)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Door;

    #[test]
    fn a_config_does_not_print_its_token() {
        let config = Config::new(Dialer::new(Door::Grpc, "localhost:1"), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
