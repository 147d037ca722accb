//! A session that survives its connections.

mod as_user;
mod config;
mod cursors;
mod driver;
mod link;
mod orders;
mod queue;
mod store;
mod tokens;
mod updates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_client_core::{CallId, Commands, ConnectionState};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use tokio::sync::{mpsc, oneshot, watch};

use crate::random::random_number;
use crate::{ClientError, Request};

use orders::Order;

pub use as_user::AsUser;
pub use config::Config;
pub use cursors::CursorStore;
pub use queue::Submitted;
pub use store::{CommandStore, FileCommandStore, MemoryCommandStore};
pub use tokens::TokenProvider;
pub use updates::{Listener, Updates};

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

    /// Sets an id of the application's own, unique among its user's messages. Otherwise the session generates one.
    #[must_use]
    pub fn with_id(mut self, client_message_id: impl Into<String>) -> Self {
        self.0.client_message_id = client_message_id.into();
        self
    }

    /// Sets its kind: `custom:` and a name for a kind of the app, or `system`, which takes the `service` scope. Its text may
    /// then be empty, if it has data.
    #[must_use]
    pub fn of_kind(mut self, kind: impl Into<String>) -> Self {
        self.0.kind = kind.into();
        self
    }

    /// Sets data of the app, at most 4 KiB.
    #[must_use]
    pub fn with_data(mut self, data: prost_types::Struct) -> Self {
        self.0.data = Some(data);
        self
    }

    /// Marks it as a reply to the message at `seq`.
    #[must_use]
    pub fn in_reply_to(mut self, seq: u64) -> Self {
        self.0.reply_to_seq = seq;
        self
    }

    /// Mentions everyone in the room, which takes the permission `mention_all`.
    #[must_use]
    pub fn to_all(mut self) -> Self {
        self.0.mention_all = true;
        self
    }
}

impl From<Message> for v1::SendMessageRequest {
    fn from(message: Message) -> Self {
        message.0
    }
}

/// A session: stays connected until it is closed, or until every clone is dropped and every call answered. Keep one as long
/// as updates are needed.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::UnboundedSender<Order>,
    calls: Arc<AtomicU64>,
    state: watch::Receiver<ConnectionState>,
    queued: watch::Receiver<Commands>,
    /// Prefix of command ids.
    prefix: Arc<str>,
}

impl Session {
    /// Starts a session. It connects by itself; the first update reports the result.
    ///
    /// The updates must be consumed as they arrive, by another task than the one that waits for answers, since both arrive
    /// on one stream; or be dropped if they are not needed. The session ends with its last handle: `let (_, updates)` drops
    /// it immediately.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "a session ends when its last handle is dropped"]
    pub fn start(config: Config) -> (Self, Updates) {
        let (commands, waiting) = mpsc::unbounded_channel();
        let (updates, queue) = mpsc::channel(config.update_queue.max(1));
        let processed = cursors::Processed::default();
        let (state, states) = watch::channel(ConnectionState::Idle);
        let (queued, queued_now) = watch::channel(Commands::new());
        let prefix = format!("{:016x}{:016x}", random_number(), random_number()).into();
        let calls: Arc<AtomicU64> = Arc::default();
        let (numbers, all_processed) = (Arc::clone(&calls), processed.clone());
        let application =
            driver::Application { updates, processed: all_processed, state, queued, calls: numbers };
        tokio::spawn(driver::Driver::start(config, waiting, application));
        let session = Self { commands, calls, state: states, queued: queued_now, prefix };
        (session, Updates::new(queue, processed))
    }

    /// The current state of the session. It is ahead of the updates in the queue.
    pub fn state(&self) -> ConnectionState {
        // Without a driver it has ended, even if that happened too suddenly to be recorded.
        if self.state.has_changed().is_err() { ConnectionState::Ended } else { *self.state.borrow() }
    }

    /// Waits until `is_awaited` accepts the session's state, or the session has ended, and returns the state then. Brief
    /// states may be missed.
    pub async fn state_is(&self, mut is_awaited: impl FnMut(ConnectionState) -> bool) -> ConnectionState {
        let mut states = self.state.clone();
        let awaited = states.wait_for(|state| is_awaited(*state) || *state == ConnectionState::Ended).await;
        // Without a driver it has ended.
        awaited.map_or(ConnectionState::Ended, |state| *state)
    }

    /// Like [`Session::start`], with callbacks instead of a stream.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "a session ends when its last handle is dropped"]
    pub fn start_with(config: Config, listener: impl Listener) -> Self {
        let (session, updates) = Self::start(config);
        tokio::spawn(updates.hand_to(listener, session.commands.downgrade()));
        session
    }

    /// Sends a message. Returns once it is durable, over any number of connections: its id makes it safe to repeat.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn send_message(&self, message: Message) -> Result<v1::SendMessageResponse, ClientError> {
        self.call(message.0).await
    }

    /// Executes a request. It is retried when the connection is lost, when the server is unavailable, and after the delay
    /// given for an exhausted limit; a mutation gets an id first, so that a repeat changes nothing. If too many events have
    /// happened meanwhile for the server to recognise a repeat, the room is paged here. Only a typing signal is not retried:
    /// late, it would be wrong.
    ///
    /// The caller sets the time limit: dropping the future gives up.
    ///
    /// # Errors
    /// The server's permanent refusal, `frame_too_large` for a request that exceeds the maximum frame size, or the
    /// end of the session.
    pub async fn call<R: Request>(&self, request: R) -> Result<R::Response, ClientError> {
        response_of::<R>(self.operate(request.into_operation()).await?)
    }

    /// Like [`Session::call`], for an operation known only at run time.
    ///
    /// # Errors
    /// As for [`Session::call`].
    pub async fn operate(&self, operation: Operation) -> Result<Answer, ClientError> {
        self.operate_as(String::new(), operation).await
    }

    /// `as_user` is empty for the session's own user.
    async fn operate_as(&self, as_user: String, operation: Operation) -> Result<Answer, ClientError> {
        let (answer, answered) = oneshot::channel();
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let call = Order::Call { id, operation, as_user, answer };
        self.commands.send(call).map_err(|_| ClientError::SessionEnded)?;
        let mut abandoned = Abandoned { commands: &self.commands, id: Some(id) };
        let answer = answered.await;
        abandoned.id = None;
        answer.map_err(|_| ClientError::SessionEnded)?
    }

    /// Reconnects immediately instead of after the current delay, or probes the open connection. For applications that are
    /// notified when the network changes or the device wakes up. Does nothing once the session has ended.
    pub fn wake(&self) {
        let _ = self.commands.send(Order::Wake);
    }

    /// Ends the session: unanswered calls fail, moved cursors are stored, the connection is dropped. Returns once that is
    /// done; the last update follows.
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.commands.send(Order::Close(closed)).is_ok() {
            // A driver that has ended meanwhile has done so.
            let _ = done.await;
        }
    }
}

fn response_of<R: Request>(answer: Answer) -> Result<R::Response, ClientError> {
    let unexpected = || ClientError::Protocol("the answer is to another operation".to_owned());
    R::response(answer).ok_or_else(unexpected)
}

/// Cancels a call whose caller gives up.
struct Abandoned<'a> {
    commands: &'a mpsc::UnboundedSender<Order>,
    id: Option<CallId>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _ = self.commands.send(Order::Cancel(id));
        }
    }
}
