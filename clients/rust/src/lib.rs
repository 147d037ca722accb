//! The Rust client of Parlance.
//!
//! [`transport`] is one connection of the `Chat` stream, over gRPC or over WebSocket.
//! [`Session`] is what applications use: it stays connected, resumes where it was, hands
//! over every room's events in order and once, and repeats what was not answered.
//!
//! ```no_run
//! use parlance_client::transport::{Dialer, Door};
//! use parlance_client::{Config, Message, Session, Update, create_user};
//!
//! # async fn run() -> Result<(), parlance_client::ClientError> {
//! let token = create_user("127.0.0.1:8080", "alice", "Alice").await?;
//! let dialer = Dialer::new(Door::Grpc, "127.0.0.1:8080");
//! let (session, mut updates) = Session::start(Config::new(dialer, token));
//! tokio::spawn(async move {
//!     while let Some(update) = updates.recv().await {
//!         if let Update::Event(event) = update {
//!             // Show it.
//!             drop(event);
//!         }
//!     }
//! });
//! session.send_message(Message::to_user("bob", "hello")).await?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod accounts;
mod error;
mod random;
mod request;
mod session;
pub mod transport;

pub use accounts::create_user;
pub use error::ClientError;
pub use request::Request;
pub use session::{Config, Message, Session, Update, Violation};
