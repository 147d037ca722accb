//! Configuration of a session.

use std::fmt;
use std::sync::Arc;

use parlance_proto::v1;

use super::cursors::CursorStore;
use super::store::CommandStore;
use super::tokens::{FixedToken, TokenProvider};
use crate::transport::Dialer;

/// Configuration of a session.
#[derive(Clone)]
pub struct Config {
    /// Addresses, tried in turn; must not be empty.
    pub dialers: Vec<Dialer>,
    /// Source of the tokens to sign in with.
    pub tokens: Arc<dyn TokenProvider>,
    /// Identifies this device among those of its user; may be empty.
    pub device_id: String,
    /// The application's positions from an earlier session.
    pub cursors: Vec<v1::Cursor>,
    /// Storage of cursors across restarts; those in it are added to `cursors`.
    pub cursor_store: Option<Arc<dyn CursorStore>>,
    /// Whether to acknowledge processed events to the server, every two seconds: a session without cursors then starts after
    /// them, and senders see that their messages were delivered.
    pub acknowledge: bool,
    /// Storage of commands across restarts, see [`Session::submit`](crate::Session::submit). Without one they live as long as the
    /// session.
    pub command_store: Option<Arc<dyn CommandStore>>,
    /// Queue length for the application's updates. While it is full, nothing is read from the connection, including replies, and
    /// the server holds the rest.
    pub update_queue: usize,
    /// Maximum number of unanswered operations, at most what the server allows; further calls wait.
    pub max_in_flight: usize,
}

impl Config {
    /// One address, a fixed token, no device name, no cursors, and queues for an interactive user.
    pub fn new(dialer: Dialer, token: impl Into<String>) -> Self {
        Self::with_tokens(dialer, FixedToken(token.into()))
    }

    /// Like [`Config::new`], with a token provider.
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
