//! A session that survives its connections.

mod backoff;
mod connection;
mod driver;
mod examination;
mod outbox;
pub(crate) mod rooms;

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use tokio::sync::{mpsc, oneshot};

use crate::transport::Dialer;
use crate::{ClientError, Request};

pub use rooms::Violation;

/// How a session connects and how much it holds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to connect, tried in turn; must not be empty.
    pub dialers: Vec<Dialer>,
    /// The token to sign in with.
    pub token: String,
    /// Names this device among those of its user; may be empty.
    pub device_id: String,
    /// What the application has of each room already, from an earlier session.
    pub cursors: Vec<v1::Cursor>,
    /// Updates that wait for the application. While the queue is full nothing is read
    /// from the connection, replies included, and the server holds the rest.
    pub update_queue: usize,
    /// Operations that may be unanswered at once, at most what the server allows;
    /// further calls wait.
    pub max_in_flight: usize,
}

impl Config {
    /// One address, no device name, no cursors, and queues for a person who chats.
    pub fn new(dialer: Dialer, token: impl Into<String>) -> Self {
        Self {
            dialers: vec![dialer],
            token: token.into(),
            device_id: String::new(),
            cursors: Vec::new(),
            update_queue: 256,
            max_in_flight: 32,
        }
    }
}

/// What a session tells its application.
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
    /// The server broke its promise. The session goes on with what came.
    Violation(Violation),
    /// The connection is gone; the next try comes by itself.
    Disconnected {
        /// Why; `None` where the server ended it in good order.
        error: Option<ClientError>,
        /// How long until the next try.
        retry_in: Duration,
    },
    /// The session is over and this is the last update: connecting again can not help.
    Stopped(ClientError),
}

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Message(v1::SendMessageRequest);

impl Message {
    /// To a room.
    pub fn to_room(room_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Target::RoomId(room_id.into()), text.into())
    }

    /// To a person.
    pub fn to_user(user_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Target::ToUser(user_id.into()), text.into())
    }

    fn new(target: Target, text: String) -> Self {
        Self(v1::SendMessageRequest { target: Some(target), text, ..Default::default() })
    }

    /// With an id of the application's own, unique among its user's messages. Otherwise
    /// the session makes one.
    #[must_use]
    pub fn with_id(mut self, client_message_id: impl Into<String>) -> Self {
        self.0.client_message_id = client_message_id.into();
        self
    }

    /// As an answer to the message at `seq`.
    #[must_use]
    pub fn in_reply_to(mut self, seq: u64) -> Self {
        self.0.reply_to_seq = seq;
        self
    }
}

impl From<Message> for v1::SendMessageRequest {
    fn from(message: Message) -> Self {
        message.0
    }
}

/// A session: stays connected until every clone of it is dropped and every call is
/// answered.
#[derive(Debug, Clone)]
pub struct Session {
    calls: mpsc::Sender<Call>,
}

/// One operation on its way, and who waits for the answer.
#[derive(Debug)]
struct Call {
    operation: Operation,
    answer: oneshot::Sender<Result<Answer, ClientError>>,
}

impl Session {
    /// Starts a session. It connects by itself; the first update tells how that went.
    ///
    /// The updates must be taken as they come, by another task than the one that waits
    /// for answers, since both arrive on one stream; or be dropped, by whoever needs none.
    pub fn start(config: Config) -> (Self, mpsc::Receiver<Update>) {
        let (calls, waiting) = mpsc::channel(config.max_in_flight.max(1));
        let (updates, receiver) = mpsc::channel(config.update_queue.max(driver::UPDATES_PER_FRAME));
        tokio::spawn(driver::Driver::new(config, waiting, updates).run());
        (Self { calls }, receiver)
    }

    /// Sends a message. Returns once it is durable, however many connections that takes:
    /// its id makes it safe to repeat.
    ///
    /// # Errors
    /// The server's final refusal, or the end of the session.
    pub async fn send_message(&self, message: Message) -> Result<v1::SendMessageResponse, ClientError> {
        self.call(message.0).await
    }

    /// Carries out a request. It is repeated when the connection is lost, when the
    /// server is unavailable, and after the delay that an exhausted limit names; a
    /// mutation gets an id first, so that a repeat changes nothing. Where too much has
    /// happened meanwhile for the server to recognise a repeat, the room is paged here.
    ///
    /// There is no time limit other than the caller's: dropping the future gives up.
    ///
    /// # Errors
    /// The server's final refusal, or the end of the session.
    pub async fn call<R: Request>(&self, request: R) -> Result<R::Response, ClientError> {
        let answer = self.operate(request.into_operation()).await?;
        let unexpected = || ClientError::Protocol("the answer is to another operation".to_owned());
        R::response(answer).ok_or_else(unexpected)
    }

    /// As [`Session::call`], for an operation that is known only at run time.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn operate(&self, operation: Operation) -> Result<Answer, ClientError> {
        let (answer, answered) = oneshot::channel();
        let call = Call { operation, answer };
        self.calls.send(call).await.map_err(|_| ClientError::SessionEnded)?;
        answered.await.map_err(|_| ClientError::SessionEnded)?
    }
}
