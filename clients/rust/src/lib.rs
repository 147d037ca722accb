//! The Rust client of Parlance.
//!
//! [`Session`] is the API for applications: it stays connected, resumes at its position, delivers every room's
//! events in order and once, and retries unanswered calls. Its reports arrive as a stream of [`Update`]s or
//! through a [`Listener`]. [`transport`] is a single connection of the `Chat` stream, over gRPC or over WebSocket.
//!
//! ```no_run
//! use parlance_client::transport::{Dialer, Door};
//! use parlance_client::{Config, Message, Session, Update, create_user};
//!
//! # async fn run() -> Result<(), parlance_client::ClientError> {
//! // A server in local mode gives tokens to anyone.
//! let token = create_user("127.0.0.1:8080", "alice", "Alice").await?;
//! let dialer = Dialer::new(Door::Grpc, "127.0.0.1:8080");
//! let (session, mut updates) = Session::start(Config::new(dialer, token));
//! tokio::spawn(async move {
//!     while let Some(update) = updates.recv().await {
//!         match update {
//!             Update::Event(event) => println!("{} {}: {:?}", event.room_id, event.seq, event.body),
//!             Update::Gap(gap) => println!("{} {} to {} were not pushed", gap.room_id, gap.from_seq, gap.to_seq),
//!             Update::Stopped(error) => println!("{error}"),
//!             _ => {}
//!         }
//!     }
//! });
//! session.send_message(Message::to_user("bob", "hello")).await?;
//! session.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A service with expiring tokens provides a [`TokenProvider`]; a session only ends if two fresh ones in a row are
//! refused. A [`CursorStore`] keeps the application's position in each room, so that a restart resumes there:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use parlance_client::transport::{Dialer, Door};
//! use parlance_client::{Config, CursorStore, Session, TokenProvider, async_trait, v1};
//!
//! struct Tokens;
//!
//! #[async_trait]
//! impl TokenProvider for Tokens {
//!     async fn token(&self, refused: bool) -> Result<String, String> {
//!         // From your sign-in service; after a refusal not from a cache.
//!         if refused { Ok("fresh".to_owned()) } else { Ok("cached".to_owned()) }
//!     }
//! }
//!
//! struct File;
//!
//! #[async_trait]
//! impl CursorStore for File {
//!     async fn load(&self) -> Vec<v1::Cursor> {
//!         Vec::new()
//!     }
//!     async fn save(&self, moved: Vec<v1::Cursor>) {
//!         drop(moved);
//!     }
//! }
//!
//! # async fn run() {
//! let dialer = Dialer::new(Door::WebSocketBinary, "https://chat.example.com");
//! let mut config = Config::with_tokens(dialer, Tokens);
//! config.cursor_store = Some(Arc::new(File));
//! let (session, updates) = Session::start(config);
//! # drop((session, updates));
//! # }
//! ```
//!
//! Sessions run on tokio. [`parlance_client_core`] is the same client without I/O, for other platforms.
#![warn(missing_docs)]

mod accounts;
mod error;
mod random;
mod session;
pub mod transport;

pub use async_trait::async_trait;
pub use parlance_client_core;
pub use parlance_client_core::{
    Change, Code, Command, CommandError, CommandKind, CommandState, CommandUpdate, Commands, ConnectionState,
    Discarded, Error as ClientError, Failure, Optimistic, Request, StorageState, StoreChange, StoredCommand,
    Update, Violation, optimistic,
};
pub use parlance_proto::v1;

pub use accounts::create_user;
pub use session::{
    AsUser, CommandStore, Config, CursorStore, FileCommandStore, Listener, MemoryCommandStore, Message,
    Session, Submitted, TokenProvider, Updates,
};
