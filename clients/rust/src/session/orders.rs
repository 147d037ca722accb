//! Requests of a session's handles to its driver.

use parlance_client_core::{CallId, Discarded, NewCommand};
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use tokio::sync::oneshot;

use crate::ClientError;

/// A request.
#[derive(Debug)]
pub(super) enum Order {
    Call {
        id: CallId,
        operation: Operation,
        /// Empty if none.
        as_user: String,
        answer: oneshot::Sender<Result<Answer, ClientError>>,
    },
    Cancel(CallId),
    Submit {
        id: CallId,
        command: NewCommand,
        accepted: oneshot::Sender<String>,
        settled: Settled,
    },
    Retry {
        id: CallId,
        command: String,
        settled: Settled,
    },
    Discard {
        id: CallId,
        command: String,
        answer: oneshot::Sender<Discarded>,
    },
    Wake,
    Close(oneshot::Sender<()>),
}

/// The channel for the outcome of a command.
pub(super) type Settled = oneshot::Sender<Result<Option<Answer>, ClientError>>;
