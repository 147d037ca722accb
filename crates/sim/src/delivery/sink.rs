use std::future::pending;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;
use parlance_store::consumers::EventKey;
use parlance_stream::sink::{Delivered, EventSink, SinkError};
use tokio::time::sleep;

use crate::dice::lock;
use crate::weather::Weather;

/// An event, and where it came from.
type Taken = (RoomId, EventKey);

/// Calls per thousand that fail in some way.
const FAILS: u64 = 150;

/// Calls per thousand that refuse an event for good, until an operator has it retried.
const REFUSES: u64 = 15;

/// A sink that fails in all ways.
pub(super) struct LossySink {
    weather: Arc<Weather>,
    state: Mutex<(Vec<Taken>, bool)>,
}

impl LossySink {
    pub(super) fn new(weather: Arc<Weather>) -> Self {
        Self { weather, state: Mutex::default() }
    }

    /// Nothing fails any more.
    pub(super) fn calm(&self) {
        lock(&self.state).1 = true;
    }

    /// What it has, as it came.
    pub(super) fn taken(&self) -> Vec<Taken> {
        lock(&self.state).0.clone()
    }

    fn take(&self, room: &RoomId, events: &[RoomEvent]) {
        let keys = events.iter().map(|event| EventKey { epoch: event.epoch, seq: event.seq });
        lock(&self.state).0.extend(keys.map(|key| (room.clone(), key)));
    }
}

#[async_trait]
impl EventSink for LossySink {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        let dice = self.weather.dice();
        sleep(dice.millis(1, 60)).await;
        let unavailable = |count| {
            let reason = "not now".to_owned();
            Delivered { count, error: Some(SinkError::Unavailable { reason, retry_after: None }) }
        };
        let is_calm = lock(&self.state).1;
        if dice.chance(REFUSES) && !is_calm {
            let count = dice.below(events.len() as u64) as usize;
            self.take(room, &events[..count]);
            let reason = "cannot be read".to_owned();
            return Delivered { count, error: Some(SinkError::Refused { reason }) };
        }
        if is_calm || !dice.chance(FAILS) {
            self.take(room, events);
            return Delivered::all(events.len());
        }
        match dice.below(4) {
            0 => unavailable(0),
            // Taken, and reported as failed.
            1 => {
                self.take(room, events);
                unavailable(0)
            }
            // In part.
            2 => {
                let half = events.len() / 2;
                self.take(room, &events[..half]);
                unavailable(half)
            }
            // Taken, and never answered.
            _ => {
                self.take(room, events);
                pending().await
            }
        }
    }

    fn batch(&self) -> usize {
        3
    }
}
