//! Inputs and outputs of a session's core.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use crate::command::{CommandUpdate, Discarded, NewCommand, StorageState, StoreChange, StoredCommand};
use crate::{Encoding, Error, Violation};

/// Names a call, from its [`Input::Call`] to its [`Output::Answer`]. Ids are chosen by the
/// driver, each once, and rise in the order in which the calls are made.
pub type CallId = u64;

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The encoding of each address that can be connected to, tried in turn.
    pub addresses: Vec<Encoding>,
    /// Names this device among those of its user; may be empty.
    pub device_id: String,
    /// What the application has of each room already.
    pub cursors: Vec<v1::Cursor>,
    /// Calls that may be on the wire at once, at most what the server allows.
    pub max_in_flight: usize,
    /// There is a store for commands: they are read from it first, and written to it before they are sent.
    pub has_command_store: bool,
    /// Random bits, others for each session: ids of requests begin with them, and jitter
    /// follows from them.
    pub seed: [u64; 2],
}

impl Default for Options {
    /// One address that takes protobuf, nothing known, 32 calls in flight. The seed has to be set.
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

/// Where a session stands, see [`Core::connection_state`](crate::Core::connection_state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// It has not begun.
    Idle,
    /// It waits for a token to sign in with.
    AwaitingToken,
    /// It connects.
    Connecting,
    /// It is connected, and waits for the server's welcome.
    Greeting,
    /// It is open.
    Online,
    /// It is open, on a server that is about to end: the next connection follows by itself.
    Draining,
    /// It has no connection, and waits before the next try.
    Waiting,
    /// It is over, for good.
    Ended,
}

impl ConnectionState {
    /// Whether operations are sent and events arrive.
    pub fn is_online(self) -> bool {
        matches!(self, Self::Online | Self::Draining)
    }
}

/// What happened. What concerns a connection names it; news of an earlier one is ignored.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "each is moved once")]
pub enum Input {
    /// Begin.
    Start,
    /// The answer to [`Output::RequestToken`]: the token, or why there is none.
    Token(Result<String, String>),
    /// The connection is open, as far as the network goes.
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
    /// The connection could not be made, or is over.
    Lost {
        /// As in [`Output::Connect`].
        connection: u64,
        /// Why; `None` where the server ended it in good order.
        error: Option<Error>,
    },
    /// The application asks for an operation.
    Call {
        /// Names it.
        id: CallId,
        /// What to do.
        operation: Operation,
    },
    /// Nobody waits for the answer of this call any more. A command goes on without its caller.
    Cancel(CallId),
    /// The application asks for a change that is to be carried out whatever happens meanwhile.
    Submit {
        /// Names the caller, as for a call.
        id: CallId,
        /// What to do.
        command: NewCommand,
    },
    /// A command that was refused is tried again.
    Retry {
        /// Names the caller, as for a call.
        id: CallId,
        /// The command's id.
        command: String,
    },
    /// A command is withdrawn.
    Discard {
        /// Names the caller, as for a call.
        id: CallId,
        /// The command's id.
        command: String,
    },
    /// The answer to [`Output::Load`]: everything in the store, or why it cannot be read.
    Loaded(Result<Vec<StoredCommand>, String>),
    /// The answer to [`Output::Store`].
    Stored {
        /// As there.
        number: u64,
        /// Whether all of it is durable, or why it is not.
        result: Result<(), String>,
    },
    /// The driver stops reading frames, because the application is behind. Time limits of
    /// answers stand still.
    Pause,
    /// The driver reads again.
    Resume,
    /// The network is back, or the device was asleep: what waits is tried now, and an open
    /// connection is probed.
    Wake,
    /// The time of [`Core::timeout`](crate::Core::timeout) has come.
    Tick,
    /// End once every call is answered.
    Finish,
    /// End now. Calls that are not answered fail.
    Close,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "each is moved once")]
pub enum Output {
    /// Get a token and pass it in as [`Input::Token`].
    RequestToken {
        /// The last one was refused: a cached one is of no use.
        refused: bool,
    },
    /// Connect and report as [`Input::Connected`] or [`Input::Lost`].
    Connect {
        /// Names the connection.
        connection: u64,
        /// Which of [`Options::addresses`].
        address: usize,
        /// The token to sign in with.
        token: String,
    },
    /// Drop the connection, and any attempt to make one.
    Disconnect,
    /// Send a frame, behind those before it, in the encoding of the address. At most as
    /// many wait to be written as may be in flight, and two.
    Send(v1::ClientFrame),
    /// A call is answered; each is, once, unless it was cancelled.
    Answer {
        /// The call.
        id: CallId,
        /// What the server answered, or why nothing will be.
        result: Result<Answer, Error>,
    },
    /// A command is queued, and stored as far as the store answers in time.
    Accepted {
        /// The caller.
        id: CallId,
        /// The command's id: that of another one where that does the same.
        command: String,
    },
    /// A command is done with: each caller is told, once, unless it was cancelled.
    Settled {
        /// The caller.
        id: CallId,
        /// What the server answered; `None` where another command has made it needless. Or why it was not carried out.
        result: Result<Option<Answer>, Error>,
    },
    /// The answer to [`Input::Discard`].
    Discarded {
        /// The caller.
        id: CallId,
        /// What it has achieved.
        outcome: Discarded,
    },
    /// Read the store, and pass what is in it in as [`Input::Loaded`]. However long that takes: nothing else is
    /// asked of the store meanwhile.
    Load,
    /// Write to the store, all of it or nothing, and report as [`Input::Stored`] once it is durable, however long
    /// that takes.
    Store {
        /// Names the write.
        number: u64,
        /// What to write.
        changes: Vec<StoreChange>,
    },
    /// Hand this to the application.
    Update {
        /// What to hand over.
        update: Update,
        /// What the application has of the room once it has processed the update: to be
        /// stored then, and not before.
        cursor: Option<v1::Cursor>,
    },
}

/// What a session reports to its application.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The session is open, again or for the first time. Missed events follow.
    Connected(v1::Welcome),
    /// The next event of a room: in order, once.
    Event(v1::Event),
    /// Something of the moment.
    Signal(v1::Signal),
    /// Events that exist but are not pushed: to be paged, or not to be had.
    Gap(v1::Gap),
    /// The server sent what the protocol does not allow. The session goes on with it.
    Violation(Violation),
    /// Something has happened to a command.
    Command(CommandUpdate),
    /// The store of commands works, or has ceased to.
    Storage(StorageState),
    /// The connection is gone; the next try comes by itself.
    Disconnected {
        /// Why; `None` where the server ended it in good order.
        error: Option<Error>,
        /// How long until the next try.
        retry_in: Duration,
    },
    /// The session is over and this is the last update: it was closed, or its identity was
    /// refused and that of two fresh tokens too.
    Stopped(Error),
}
