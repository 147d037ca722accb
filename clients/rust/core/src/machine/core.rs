//! The state of a session, without its behaviour.

use std::time::Duration;

use parlance_proto::v1::reply::Result as Answer;

use super::token::Token;
use crate::Error;
use crate::command::StorageState;
use crate::outbox::{Origin, Outbox};
use crate::queue::{Commands, Queue, Surroundings};
use crate::random::Random;
use crate::rooms::Rooms;
use crate::session::{Options, Output, Update};

/// Maximum frame size before the welcome announces it: the servers' default.
const DEFAULT_FRAME_BYTES: usize = 128 * 1024;

/// A session without I/O; see the crate's documentation.
#[derive(Debug)]
pub struct Core {
    pub(super) options: Options,
    pub(super) random: Random,
    pub(super) rooms: Rooms,
    pub(super) outbox: Outbox,
    pub(super) queue: Queue,
    pub(super) link: Link,
    /// The last time passed in: time never moves backwards.
    pub(super) now: Duration,
    /// The number of the last connection; and the current one, if any.
    pub(super) connection: u64,
    /// Counter that selects the next address.
    pub(super) address: usize,
    /// Consecutive connections that were not good.
    pub(super) failures: u32,
    pub(super) token: Token,
    pub(super) limits: Limits,
    /// Since when frames are read; `None` while paused.
    pub(super) reading: Option<Duration>,
    /// No more calls will be made.
    pub(super) is_finishing: bool,
    pub(super) outputs: Vec<Output>,
}

#[derive(Debug)]
pub(super) enum Link {
    /// Not started.
    Idle,
    /// Between two connections. The server may have asked for a pause until `not_before`.
    Resting {
        until: Duration,
        not_before: Duration,
    },
    /// Waiting for a token.
    Token {
        since: Duration,
    },
    Connecting {
        since: Duration,
    },
    /// Hello was sent.
    Greeting {
        since: Duration,
    },
    Open(Open),
    Ended,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) since: Duration,
    pub(super) max_in_flight: usize,
    /// When to leave a draining server.
    pub(super) leave_at: Option<Duration>,
    /// When the last frame arrived.
    pub(super) heard: Duration,
    /// When the server was probed.
    pub(super) probed: Option<Duration>,
    /// An error that answers no call: on WebSocket, the reason for the close that follows.
    pub(super) last_words: Option<Error>,
    /// A token was requested for this connection.
    pub(super) is_refreshing: bool,
}

#[derive(Debug)]
pub(super) struct Limits {
    pub(super) frame_bytes: usize,
    /// Maximum size of a hello's cursors, bytes: lowered after one was refused.
    pub(super) cursor_bytes: usize,
    /// The size of the cursors in the last hello.
    pub(super) cursors_sent: usize,
}

impl Core {
    /// Creates a session; the first input is [`Input::Start`](crate::Input::Start).
    pub fn new(mut options: Options) -> Self {
        let rooms = Rooms::new(std::mem::take(&mut options.cursors));
        let [one, two] = options.seed;
        Self {
            random: Random::new(one ^ two.rotate_left(32)),
            rooms,
            outbox: Outbox::new(format!("{one:016x}{two:016x}")),
            queue: Queue::new(options.has_command_store),
            link: Link::Idle,
            now: Duration::ZERO,
            connection: 0,
            address: 0,
            failures: 0,
            token: Token::default(),
            limits: Limits { frame_bytes: DEFAULT_FRAME_BYTES, cursor_bytes: usize::MAX, cursors_sent: 0 },
            reading: Some(Duration::ZERO),
            is_finishing: false,
            outputs: Vec::new(),
            options,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Connecting { .. } | Link::Greeting { .. } | Link::Open(_))
    }

    /// Unfinished commands, in the order in which they were issued.
    pub fn commands(&self) -> &Commands {
        self.queue.commands()
    }

    /// The state of the command store.
    pub fn storage(&self) -> &StorageState {
        self.queue.storage()
    }

    pub(super) fn answer(&mut self, origin: Origin, result: Result<Answer, Error>) {
        match origin {
            Origin::Call(id) => self.outputs.push(Output::Answer { id, result }),
            Origin::Command(number) => self.queue.answered(number, result, self.now, &self.rooms),
        }
    }

    /// The queue, and the state that it works with.
    pub(super) fn queue(&mut self) -> (&mut Queue, Surroundings<'_>) {
        let is_online = matches!(self.link, Link::Open(_));
        let Self { queue, now, rooms, outbox, random, .. } = self;
        (queue, Surroundings { now: *now, is_online, rooms, outbox, random })
    }

    pub(super) fn update(&mut self, update: Update) {
        self.outputs.push(Output::Update { update, cursor: None });
    }
}

pub(super) fn not_connected() -> Error {
    Error::Io("not connected".to_owned())
}
