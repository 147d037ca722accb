//! A check of messages by the app before they are sent, such as moderation.

use futures::future::BoxFuture;
use parlance_core::{Message, RoomId, UserId};
use tokio::time::timeout;

use crate::Error;
use crate::limits::SCREEN_TIMEOUT;

/// A message that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    /// The room, which may not exist yet if it is a direct room.
    pub room: &'a RoomId,
    /// The sender.
    pub sender: &'a UserId,
    /// The message.
    pub message: &'a Message,
}

/// What becomes of a proposed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screening {
    /// It is sent, if the room permits.
    Accepted,
    /// The sender gets `message_refused`.
    Refused,
}

/// Why a message could not be screened. The sender gets `screen_unavailable` and may retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScreenError(pub String);

/// Sees each message before it is sent. It is called outside the room's actor, so a slow screen delays only later
/// commands of the same sender in the same room; and only for messages that the room would accept and that are not in
/// its log, so the retry of a stored message is never refused.
///
/// The same message may be seen more than once. An implementation that prefers to send what it cannot check returns
/// [`Screening::Accepted`] instead of an error.
pub trait Screen: Send + Sync {
    /// Decides about `proposal`, within [`SCREEN_TIMEOUT`](crate::SCREEN_TIMEOUT).
    fn screen<'a>(&'a self, proposal: Proposal<'a>) -> BoxFuture<'a, Result<Screening, ScreenError>>;
}

/// Has `screen` decide about `proposal` in time.
pub(crate) async fn decide(screen: &dyn Screen, proposal: Proposal<'_>) -> Result<(), Error> {
    match timeout(SCREEN_TIMEOUT, screen.screen(proposal)).await {
        Ok(Ok(Screening::Accepted)) => Ok(()),
        Ok(Ok(Screening::Refused)) => Err(Error::MessageRefused),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a message could not be screened");
            Err(Error::ScreenAway)
        }
        Err(_) => {
            tracing::warn!("screening a message took too long");
            Err(Error::ScreenAway)
        }
    }
}
