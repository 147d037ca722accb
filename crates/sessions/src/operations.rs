use std::sync::Arc;

use futures::future::BoxFuture;
use parlance_core::{Caller, Cursors, RoomId, UserId};
use parlance_peers::{Budget, Reservation};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_store::StoreError;
use v1::client_frame::Operation;
use v1::reply::Result as Reply;

use crate::error::Error;

/// A reply, and the room that was made for it; or a refusal.
pub type Executed = Result<(Reply, Option<Reservation>), Failure>;

/// Carries out the operations of sessions.
pub trait Operations: Send + Sync + 'static {
    /// Counts an operation of `caller` against its rate.
    ///
    /// # Errors
    /// The rate was exceeded.
    fn check_rate(&self, caller: &Caller) -> Result<(), Failure>;

    /// Counts opening a session of `caller` against its rates.
    ///
    /// # Errors
    /// A rate was exceeded.
    fn check_hello<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>>;

    /// Counts that a session of `caller` has read as many rooms to open, which shows only at its end: the user owes for them.
    fn charge_rooms(&self, caller: &Caller, rooms: usize);

    /// The caller of the stream `number` of `caller` by a new token, which it lasts as long as from now on. Counted as
    /// an operation.
    ///
    /// # Errors
    /// The token is not accepted, or is another user's.
    fn refresh<'a>(
        &'a self,
        caller: &'a Caller,
        number: u64,
        refresh: v1::Refresh,
    ) -> BoxFuture<'a, Result<Caller, Failure>>;

    /// Carries out one operation, and counts it. `as_user` names whom the app's own backend acts as;
    /// empty for `caller` alone. One with a large answer waits until `answers` has room for that.
    fn execute(
        self: Arc<Self>,
        caller: Caller,
        as_user: String,
        operation: Operation,
        answers: Arc<Budget>,
    ) -> BoxFuture<'static, Executed>;

    /// Stores `caller` as a user if necessary.
    fn ensure_user<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>>;

    /// Refuses a caller whose account is deactivated or deleted.
    fn check_account<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, Result<(), Failure>>;

    /// Stores that `user` has received `room` up to `seq`, if they are a member. Returns their resulting cursors.
    fn acknowledge<'a>(
        &'a self,
        user: &'a UserId,
        room: &'a RoomId,
        seq: u64,
    ) -> BoxFuture<'a, Result<Cursors, NotAcknowledged>>;

    /// Converts a session's error to the contract's form.
    fn failure(&self, error: Error) -> Failure;
}

/// Why an acknowledgement was not stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotAcknowledged {
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user may not acknowledge this.
    #[error("{0}")]
    Refused(String),
}
