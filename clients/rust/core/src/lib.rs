//! The Parlance client without I/O.
//!
//! [`Core`] decides everything a session does: when to connect and with which token, what
//! to send and when to retry, the application's position in each room, and when a
//! connection is dead. It opens no socket, reads no clock and spawns no task. A driver
//! passes it [`Input`]s with their times, executes the [`Output`]s, and calls it again at
//! [`Core::timeout`]. The same inputs give the same outputs, so a session can be replayed,
//! tested without sleeping, and wrapped for other platforms.
//!
//! `parlance-client` drives it with tokio.
//!
//! ```
//! use std::time::Duration;
//!
//! use parlance_client_core::{Core, Input, Options, Output};
//!
//! let mut core = Core::new(Options::default());
//! let second = Duration::from_secs(1);
//! let outputs = core.handle(second, Input::Start);
//! assert_eq!(outputs, [Output::RequestToken { refused: false }]);
//! let outputs = core.handle(second, Input::Token(Ok("secret".to_owned())));
//! let Some(Output::Connect { connection, .. }) = outputs.first() else { panic!() };
//! // The driver connects; then the core says hello.
//! let outputs = core.handle(second, Input::Connected { connection: *connection });
//! assert!(matches!(&outputs[..], [Output::Send(_)]));
//! ```
#![warn(missing_docs)]

mod backoff;
mod code;
mod command;
mod encoding;
mod error;
mod examination;
mod machine;
mod outbox;
mod queue;
mod random;
mod request;
mod rooms;
mod session;
pub mod state;

pub use code::Code;
pub use command::{
    Command, CommandError, CommandKind, CommandState, CommandUpdate, Discarded, NewCommand, StorageState,
    StoreChange, StoredCommand,
};
pub use encoding::Encoding;
pub use error::{Error, Failure};
pub use machine::Core;
pub use queue::{
    Commands, Optimistic, OptimisticMessage, PendingChange, Progress, ROOM_RESTORED, optimistic,
};
pub use request::{Change, Request};
pub use rooms::Violation;
pub use session::{CallId, ConnectionState, Input, Options, Output, Update};
