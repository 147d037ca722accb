//! The receiver of a consumer's events.

use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;

/// The result of delivering some events of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// How many of the events, from the first on, the sink has accepted for good.
    pub count: usize,
    /// Why it did not accept more.
    pub error: Option<SinkError>,
}

impl Delivered {
    /// All `count` events were accepted.
    pub fn all(count: usize) -> Self {
        Self { count, error: None }
    }
}

/// Why a sink did not accept an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Temporary; the sink may even have accepted the event without confirming it.
    #[error("{reason}")]
    Unavailable {
        /// What happened, for the operator.
        reason: String,
        /// The delay that it asks for.
        retry_after: Option<Duration>,
    },
    /// It wants fewer requests, or is overloaded: no fault of the event, whose room is never parked for it.
    #[error("{reason}")]
    Busy {
        /// What happened, for the operator.
        reason: String,
        /// The delay that it asks for.
        retry_after: Option<Duration>,
    },
    /// It will never accept this event.
    #[error("{reason}")]
    Refused {
        /// Its answer, for the operator.
        reason: String,
    },
    /// It was not called: this process may not deliver at the moment.
    #[error("the lease was not renewed in time")]
    NotAsked,
    /// It wants no more events.
    #[error("{reason}")]
    Gone {
        /// Its answer, for the operator.
        reason: String,
    },
}

/// A destination of events.
#[async_trait]
pub trait EventSink: Send + Sync + 'static {
    /// Delivers consecutive events of one room. Called concurrently for many rooms, but not for the same
    /// one. Returns once the sink has accepted them for good, or has not.
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered;

    /// Maximum number of events per call.
    fn batch(&self) -> usize {
        100
    }

    /// Whether it is known that nothing can be delivered at the moment, as far as the sink can tell by itself.
    fn is_away(&self) -> bool {
        false
    }

    /// Looks, before anything is delivered, whether it can be.
    ///
    /// # Errors
    /// Why not, for the operator.
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
