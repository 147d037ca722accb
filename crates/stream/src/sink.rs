//! What a consumer hands events to.

use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;

/// What became of some events of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// How many of the events, from the first on, the sink has for good.
    pub count: usize,
    /// Why it has no more of them.
    pub error: Option<SinkError>,
}

impl Delivered {
    /// All `count` of them.
    pub fn all(count: usize) -> Self {
        Self { count, error: None }
    }
}

/// Why a sink does not have an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may have it later, or have it already and not have said so.
    #[error("{reason}")]
    Unavailable {
        /// What happened, for the operator.
        reason: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It will never have this event.
    #[error("{reason}")]
    Refused {
        /// What it said, for the operator.
        reason: String,
    },
    /// It was not asked: this process may not hand anything on now.
    #[error("the lease was not renewed in time")]
    NotAsked,
    /// It wants no events any more.
    #[error("{reason}")]
    Gone {
        /// What it said, for the operator.
        reason: String,
    },
}

/// A way out.
#[async_trait]
pub trait EventSink: Send + Sync + 'static {
    /// Hands over the events of one room, which follow each other. Called for one room at a time, and for
    /// many rooms at once. Returns once the sink has them for good, or does not.
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered;

    /// How many events a call takes at most.
    fn batch(&self) -> usize {
        100
    }
}
