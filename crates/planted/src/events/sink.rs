use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;
use parlance_stream::sink::{Delivered, EventSink, SinkError};

use super::seen::Seen;
use crate::Plant;

/// A sink with a bug.
pub(super) struct PlantedSink {
    pub(super) inner: Arc<dyn EventSink>,
    pub(super) seen: Arc<Seen>,
    pub(super) bug: Plant,
}

#[async_trait]
impl EventSink for PlantedSink {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        let mut delivered = self.inner.deliver(room, events).await;
        match (self.bug, &delivered.error) {
            (Plant::DropOnError, Some(SinkError::Unavailable { .. })) => {
                delivered = Delivered::all(events.len());
            }
            // The refused event and those after it, as far as they are
            // accepted.
            (Plant::PassTheParked, Some(SinkError::Refused { .. })) if delivered.count < events.len() => {
                let next = delivered.count + 1;
                let rest = self.inner.deliver(room, &events[next..]).await;
                delivered = Delivered { count: next + rest.count, error: rest.error };
            }
            _ => {}
        }
        if let Some(last) = delivered.count.checked_sub(1).and_then(|last| events.get(last)) {
            self.seen.sights().taken.insert(room.clone(), last.seq);
        }
        delivered
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    fn is_away(&self) -> bool {
        self.inner.is_away()
    }
}
