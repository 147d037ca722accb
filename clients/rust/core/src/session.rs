//! Inputs and outputs of a session's core.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use crate::command::{CommandUpdate, Discarded, NewCommand, StorageState, StoreChange, StoredCommand};
use crate::{Encoding, Error, Violation};

/// Identifies a call, from its [`Input::Call`] to its [`Output::Answer`]. Ids are chosen by the driver, unique, and
/// ascending in the order of the calls.
pub type CallId = u64;

/// Options of a session.
#[derive(Debug, Clone)]
pub struct Options {
    /// The encoding of each available address, tried in turn.
    pub addresses: Vec<Encoding>,
    /// Identifies this device among those of its user; may be empty.
    pub device_id: String,
    /// The application's positions in its rooms.
    pub cursors: Vec<v1::Cursor>,
    /// Maximum number of calls in flight, at most what the server allows.
    pub max_in_flight: usize,
    /// Whether there is a command store: commands are read from it first, and written to it before they are sent.
    pub has_command_store: bool,
    /// Random bits, different for each session: the prefix of request ids, and the seed of jitter.
    pub seed: [u64; 2],
}

impl Default for Options {
    /// One protobuf address, no cursors, 32 calls in flight. The seed has to be set.
    fn default() -> Self {
        Self {
            addresses: vec![Encoding::Protobuf],
            device_id: String::new(),
            cursors: Vec::new(),
            max_in_flight: 32,
            has_command_store: false,
            seed: [0; 2],
        }
    }
}

/// The state of a session, see [`Core::connection_state`](crate::Core::connection_state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Not started.
    Idle,
    /// Waiting for a token.
    AwaitingToken,
    /// Connecting.
    Connecting,
    /// Connected, waiting for the welcome.
    Greeting,
    /// Open.
    Online,
    /// Open on a draining server: the session reconnects by itself.
    Draining,
    /// Disconnected, waiting for the next attempt.
    Waiting,
    /// Ended permanently.
    Ended,
}

impl ConnectionState {
    /// Whether operations are sent and events arrive.
    pub fn is_online(self) -> bool {
        matches!(self, Self::Online | Self::Draining)
    }
}

/// An input of a session. Inputs about a connection name it; those of an earlier one are ignored.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "each is moved once")]
pub enum Input {
    /// Start.
    Start,
    /// The answer to [`Output::RequestToken`]: the token, or the error.
    Token(Result<String, String>),
    /// The connection is open at the transport level.
    Connected {
        /// As in [`Output::Connect`].
        connection: u64,
    },
    /// A frame arrived.
    Received {
        /// As in [`Output::Connect`].
        connection: u64,
        /// The frame, see [`Encoding::decode`].
        frame: v1::ServerFrame,
    },
    /// The connection failed or has ended.
    Lost {
        /// As in [`Output::Connect`].
        connection: u64,
        /// The error; `None` if the server ended it normally.
        error: Option<Error>,
    },
    /// The application calls an operation.
    Call {
        /// Identifies the call.
        id: CallId,
        /// The operation.
        operation: Operation,
        /// The user that an app's backend acts as; empty if none.
        as_user: String,
    },
    /// The caller of this call no longer waits. A command continues without its caller.
    Cancel(CallId),
    /// The application submits a change that has to survive failures.
    Submit {
        /// Identifies the caller, as for a call.
        id: CallId,
        /// The change.
        command: NewCommand,
    },
    /// Retries a refused command.
    Retry {
        /// Identifies the caller, as for a call.
        id: CallId,
        /// The command's id.
        command: String,
    },
    /// Discards a command.
    Discard {
        /// Identifies the caller, as for a call.
        id: CallId,
        /// The command's id.
        command: String,
    },
    /// The answer to [`Output::Load`]: the contents of the store, or the error.
    Loaded(Result<Vec<StoredCommand>, String>),
    /// The answer to [`Output::Store`].
    Stored {
        /// The number in [`Output::Store`].
        number: u64,
        /// Whether all of it is durable, or the error.
        result: Result<(), String>,
    },
    /// The driver stops reading frames because the application is behind. Timeouts of answers are suspended.
    Pause,
    /// The driver reads again.
    Resume,
    /// The network is back, or the device was asleep: pending attempts are made now, and an open connection is probed.
    Wake,
    /// The time of [`Core::timeout`](crate::Core::timeout) has been reached.
    Tick,
    /// End once every call is answered.
    Finish,
    /// End now. Unanswered calls fail.
    Close,
}

/// An action for the driver, to be executed in order.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "each is moved once")]
pub enum Output {
    /// Get a token and pass it in with [`Input::Token`].
    RequestToken {
        /// Whether the last one was refused or is about to expire: a cached one is useless then.
        refused: bool,
    },
    /// Connect, and report with [`Input::Connected`] or [`Input::Lost`].
    Connect {
        /// Identifies the connection.
        connection: u64,
        /// Index into [`Options::addresses`].
        address: usize,
        /// The token to sign in with.
        token: String,
    },
    /// Drop the connection, and any attempt to connect.
    Disconnect,
    /// Send a frame, after earlier ones, in the encoding of the address. At most the number of calls in flight plus
    /// three are queued.
    Send(v1::ClientFrame),
    /// A call is answered, exactly once unless it was cancelled.
    Answer {
        /// The call.
        id: CallId,
        /// The server's answer, or why there is none.
        result: Result<Answer, Error>,
    },
    /// A command is queued, and stored if the store answers in time.
    Accepted {
        /// The caller.
        id: CallId,
        /// The command's id: that of another one if it has the same effect.
        command: String,
    },
    /// A command is finished: reported to each caller once, unless it was cancelled.
    Settled {
        /// The caller.
        id: CallId,
        /// The server's answer, `None` if another command has made it obsolete, or why it was not carried out.
        result: Result<Option<Answer>, Error>,
    },
    /// The answer to [`Input::Discard`].
    Discarded {
        /// The caller.
        id: CallId,
        /// The result.
        outcome: Discarded,
    },
    /// Read the store, and pass its contents in with [`Input::Loaded`]. No other request is made to the store
    /// meanwhile.
    Load,
    /// Write to the store atomically, and report with [`Input::Stored`] once it is durable.
    Store {
        /// Identifies the write.
        number: u64,
        /// The changes.
        changes: Vec<StoreChange>,
    },
    /// Deliver this to the application.
    Update {
        /// The update.
        update: Update,
        /// The application's position in the room once it has processed the update: to be stored then, not before.
        cursor: Option<v1::Cursor>,
    },
}

/// An update of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The session is open, for the first time or again. Missed events follow.
    Connected(v1::Welcome),
    /// The next event of a room: in order, exactly once.
    Event(v1::Event),
    /// A transient signal.
    Signal(v1::Signal),
    /// Events that exist but are not pushed: to be paged, or unavailable.
    Gap(v1::Gap),
    /// The server violated the protocol. The session continues.
    Violation(Violation),
    /// An update about a command.
    Command(CommandUpdate),
    /// The command store started or stopped working.
    Storage(StorageState),
    /// The connection was lost; the session reconnects by itself.
    Disconnected {
        /// The error; `None` if the server ended it normally.
        error: Option<Error>,
        /// The delay until the next attempt.
        retry_in: Duration,
    },
    /// The session has ended and this is the last update: it was closed, or its identity was refused, as well as those
    /// of two fresh tokens.
    Stopped(Error),
}
