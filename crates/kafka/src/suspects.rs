//! Rooms whose next event the brokers may refuse.
//!
//! A refused batch holds records of several rooms, so the next event of each is sent alone; one that is refused again
//! is the cause.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Whether the brokers refused the content of a batch: retrying it does not help.
pub(crate) fn is_of_record(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::InvalidRecord
        )
    )
}

#[derive(Default)]
pub(crate) struct Suspects {
    /// At most those that are worked on at once.
    rooms: Mutex<HashSet<RoomId>>,
    turns: RwLock<()>,
}

/// Permission to send events of a room.
pub(crate) enum Turn<'a> {
    /// Beside other rooms.
    Shared { _turn: RwLockReadGuard<'a, ()> },
    /// With nothing else on its way.
    Alone { _turn: RwLockWriteGuard<'a, ()> },
}

impl Turn<'_> {
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Alone { .. })
    }
}

impl Suspects {
    pub(crate) async fn turn(&self, room: &RoomId) -> Turn<'_> {
        if self.rooms().contains(room) {
            return Turn::Alone { _turn: self.turns.write().await };
        }
        Turn::Shared { _turn: self.turns.read().await }
    }

    /// An event of the room was in a batch that was refused.
    pub(crate) fn add(&self, room: &RoomId) {
        self.rooms().insert(room.clone());
    }

    /// It is known whether the brokers refuse the next event.
    pub(crate) fn remove(&self, room: &RoomId) {
        self.rooms().remove(room);
    }

    fn rooms(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
