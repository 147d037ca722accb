use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;
use parlance_store::consumers::EventKey;
use parlance_stream::sink::{Delivered, EventSink, SinkError};

use super::{Trouble, World, lock};

impl World {
    fn take(&self, room: &RoomId, events: &[RoomEvent]) -> usize {
        let state = &mut *lock(&self.state);
        for event in events {
            if state.poisoned.contains(&(room.clone(), event.seq)) {
                return event.seq as usize - events[0].seq as usize;
            }
            state.taken.push((room.clone(), EventKey { epoch: event.epoch, seq: event.seq }));
        }
        events.len()
    }
}

#[async_trait]
impl EventSink for World {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        let millis = lock(&self.dice).below(40);
        let takes = *lock(&self.takes);
        tokio::time::sleep(takes + Duration::from_millis(millis)).await;
        let unavailable = |count| {
            let reason = "not now".to_owned();
            Delivered { count, error: Some(SinkError::Unavailable { reason, retry_after: None }) }
        };
        if *lock(&self.hangs) || lock(&self.stuck).as_ref() == Some(room) {
            return std::future::pending().await;
        }
        if let Some(said) = &mut *lock(&self.gone) {
            *said += 1;
            return Delivered { count: 0, error: Some(SinkError::Gone { reason: "410".to_owned() }) };
        }
        let trouble = lock(&self.troubled).get(room).copied();
        match trouble {
            Some(Trouble::Failing) => return unavailable(0),
            Some(Trouble::Hanging) => return std::future::pending().await,
            Some(Trouble::Busy(retry_after)) => {
                let error = SinkError::Busy { reason: "not so fast".to_owned(), retry_after };
                return Delivered { count: 0, error: Some(error) };
            }
            None => {}
        }
        if *lock(&self.lies) {
            self.take(room, events);
            return unavailable(0);
        }
        let failing = *lock(&self.failing);
        if failing == 100 {
            return unavailable(0);
        }
        if self.chance(failing) {
            let kind = lock(&self.dice).below(4);
            return match kind {
                0 => unavailable(0),
                // Accepted, but reported as failed.
                1 => {
                    self.take(room, events);
                    unavailable(0)
                }
                // Accepted in part.
                2 => unavailable(self.take(room, &events[..events.len() / 2])),
                // Accepted, but never answered.
                _ => {
                    self.take(room, events);
                    std::future::pending().await
                }
            };
        }
        let count = self.take(room, events);
        if count == events.len() {
            return Delivered::all(count);
        }
        Delivered { count, error: Some(SinkError::Refused { reason: "cannot be read".to_owned() }) }
    }

    fn batch(&self) -> usize {
        3
    }

    fn is_away(&self) -> bool {
        *lock(&self.says_away)
    }
}
