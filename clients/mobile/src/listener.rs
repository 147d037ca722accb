//! Interfaces implemented by the app.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{CommandUpdate, ConnectionState, Event, Gap, ListenerError, Signal, TokenError};

/// Where tokens come from.
#[uniffi::trait_interface]
#[async_trait]
pub trait TokenProvider: Send + Sync {
    /// A token to sign in with.
    async fn token(&self, rejected: bool) -> Result<String, TokenError>;
}

/// Callbacks of the app.
#[uniffi::trait_interface]
pub trait Listener: Send + Sync {
    /// The next event of a room: in order, once a session.
    fn on_event(&self, event: Event) -> Result<(), ListenerError>;
    /// Events that are not pushed.
    fn on_gap(&self, gap: Gap) -> Result<(), ListenerError>;
    /// Something that is in no log.
    fn on_signal(&self, signal: Signal);
    /// The connection has changed.
    fn on_connection(&self, state: ConnectionState);
    /// A queued command has changed.
    fn on_command(&self, update: CommandUpdate);
    /// The database fails, or works again.
    fn on_storage(&self, error: Option<String>);
}

/// The app's callbacks, released when the client is closed: the app's runtime may end afterwards.
pub(crate) struct App(Mutex<Option<Callbacks>>);

#[derive(Clone)]
struct Callbacks {
    tokens: Arc<dyn TokenProvider>,
    listener: Arc<dyn Listener>,
}

impl App {
    pub(crate) fn new(tokens: Arc<dyn TokenProvider>, listener: Arc<dyn Listener>) -> Self {
        Self(Mutex::new(Some(Callbacks { tokens, listener })))
    }

    pub(crate) fn release(&self) {
        let callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Outside of the lock: this calls the app's runtime.
        drop(callbacks);
    }

    pub(crate) fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.callbacks().map(|callbacks| callbacks.listener)
    }

    fn callbacks(&self) -> Option<Callbacks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The app's tokens, for the Rust client.
pub(crate) struct Tokens(pub(crate) Arc<App>);

#[async_trait]
impl parlance_client::TokenProvider for Tokens {
    async fn token(&self, refused: bool) -> Result<String, String> {
        let Some(Callbacks { tokens, .. }) = self.0.callbacks() else {
            return Err("the client is closed".to_owned());
        };
        tokens.token(refused).await.map_err(|error| error.to_string())
    }
}
