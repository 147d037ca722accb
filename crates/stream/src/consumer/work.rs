//! A unit of work: delivers some events of one room from the log to the sink.

use parlance_core::{RoomId, SeqRange, Timestamp};
use parlance_proto::events::v1::RoomEvent;
use parlance_store::StoreError;
use parlance_store::consumers::{EventKey, Parked, RoomProgress};
use prost::Message;
use tokio::time::timeout;

use super::{OnRefused, Shared};
use crate::event::room_event;
use crate::limits::BATCH_BYTES;
use crate::sink::{Delivered, SinkError};
use crate::tracker::{Ended, Origin, Outcome};

/// The result of the work on a room.
pub(crate) struct Worked {
    pub(crate) room: RoomId,
    pub(crate) ended: Ended,
    /// The event that was not accepted, and why.
    pub(crate) not_taken: Option<(String, SinkError)>,
}

impl Shared {
    /// Delivers the next events of `room`. With `gives_up`, an event that is not accepted now
    /// counts as refused.
    pub(crate) async fn work(&self, room: &RoomId, origin: Origin, gives_up: bool) -> Worked {
        let mut ended = Ended { done: origin.done, ..Ended::NOTHING };
        let mut not_taken = None;
        if let Err(error) = self.try_work(room, origin, gives_up, &mut ended, &mut not_taken).await {
            ended.outcome = match error {
                StoreError::Damaged(what) => {
                    tracing::error!(consumer = %self.options.name, %room, what, "cannot read a room, parking it");
                    Outcome::Parked(self.parked(what))
                }
                error => {
                    tracing::warn!(consumer = %self.options.name, %room, %error, "cannot read a room, retrying");
                    Outcome::Postponed
                }
            };
        }
        Worked { room: room.clone(), ended, not_taken }
    }

    async fn try_work(
        &self,
        room: &RoomId,
        origin: Origin,
        gives_up: bool,
        ended: &mut Ended,
        not_taken: &mut Option<(String, SinkError)>,
    ) -> Result<(), StoreError> {
        let Some(head) = self.parts.log.room(room).await? else {
            if origin.is_parked {
                (ended.done, ended.outcome) = (None, Outcome::StillParked);
            }
            return Ok(());
        };
        let mut parked = None;
        let done = match origin.done {
            Some(done) => done,
            None => {
                let row = self.row(room).await?.unwrap_or_else(|| RoomProgress::unread(origin.announced()));
                let row = self.started(room, &head, row).await?;
                (ended.done, ended.was_pending) = (Some(row.done), row.pending);
                parked = row.parked;
                row.done
            }
        };
        // With a room that is deleted, its refused event is gone: only the deletion is left to deliver. So it is in a
        // restored room, whose history is another one.
        let is_gone = done.epoch != head.epoch || done.seq + 1 < head.floor;
        ended.resumed = is_gone && (origin.is_parked || parked.is_some());
        if origin.is_parked && !is_gone {
            (ended.done, ended.outcome) = (None, Outcome::StillParked);
            return Ok(());
        }
        if let Some(parked) = parked.filter(|_| !is_gone) {
            ended.outcome = Outcome::Parked(parked);
            return Ok(());
        }
        ended.outcome = Outcome::UpTo { head: head.head };
        let is_same = done.epoch == head.epoch;
        // A restored room has another history, even if it shares a prefix.
        let from = if is_same { done.seq + 1 } else { 1 };
        let from = from.max(head.floor);
        if from > head.head {
            return Ok(());
        }
        // If the event is refused, a skip is of this event, not of one in another epoch or below the floor.
        ended.done = Some(EventKey { epoch: head.epoch, seq: from - 1 });
        let range = SeqRange { from, to: head.head };
        let entries = self.parts.log.read(room, range, self.parts.sink.batch()).await?;
        let is_whole = entries.iter().zip(from..).all(|(entry, seq)| entry.event.seq == seq);
        if entries.is_empty() || !is_whole {
            return Err(StoreError::Damaged(format!("the log of room {room} from {from} on is not whole")));
        }
        let content = self.options.content;
        let events = batch(entries.iter().map(|entry| room_event(room, &head, entry, content)), BATCH_BYTES);
        let times: Vec<Timestamp> = entries.iter().map(|entry| entry.event.at).collect();
        ended.behind_since = times.first().copied();
        // The sink may take long, and keeps a copy of its own.
        drop(entries);
        let Delivered { count, error } = self.deliver(room, &events).await;
        let key = |index: usize| EventKey { epoch: head.epoch, seq: events[index].seq };
        if count > 0 {
            (ended.done, ended.answered) = (Some(key(count - 1)), true);
            // Times never go backwards within a room.
            ended.behind_since = times.get(count).or(times.last()).copied();
        }
        let Some(error) = error else { return Ok(()) };
        let refused = events.get(count).map(|event| event.id.as_str()).unwrap_or_default();
        tracing::debug!(consumer = %self.options.name, event = refused, %error, "an event was not taken");
        let reason = error.to_string();
        // After many failures it is a guess that the event is to blame: that is for an operator to decide.
        let skips = self.options.on_refused == OnRefused::Skip && matches!(error, SinkError::Refused { .. });
        *not_taken = Some((refused.to_owned(), error.clone()));
        let is_refused = match error {
            SinkError::Unavailable { retry_after, .. } => {
                let retry_after_ms = retry_after.map_or(0, |wait| wait.as_millis() as u64);
                ended.outcome = Outcome::Unavailable { retry_after_ms, is_fault: true };
                gives_up && count == 0
            }
            SinkError::Busy { retry_after, .. } => {
                let retry_after_ms = retry_after.map_or(0, |wait| wait.as_millis() as u64);
                ended.outcome = Outcome::Unavailable { retry_after_ms, is_fault: false };
                false
            }
            SinkError::NotAsked => {
                ended.outcome = Outcome::Postponed;
                *not_taken = None;
                false
            }
            SinkError::Gone { .. } => {
                ended.outcome = Outcome::Unavailable { retry_after_ms: 0, is_fault: false };
                false
            }
            SinkError::Refused { .. } => {
                ended.answered = true;
                true
            }
        };
        if !is_refused || count >= events.len() {
            return Ok(());
        }
        metrics::counter!("parlance_consumer_refused_total", "consumer" => self.options.name.to_string())
            .increment(1);
        if skips {
            tracing::warn!(consumer = %self.options.name, event = refused, reason, "an event is skipped");
            ended.done = Some(key(count));
            ended.outcome = Outcome::UpTo { head: head.head };
        } else {
            tracing::warn!(consumer = %self.options.name, event = refused, reason, "a room is parked");
            ended.outcome = Outcome::Parked(self.parked(reason));
        }
        Ok(())
    }

    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        let delivering = self.parts.sink.deliver(room, events);
        timeout(self.options.effect_timeout, delivering).await.unwrap_or_else(|_| {
            let reason = "no answer in time".to_owned();
            Delivered { count: 0, error: Some(SinkError::Unavailable { reason, retry_after: None }) }
        })
    }

    fn parked(&self, mut reason: String) -> Parked {
        if reason.is_empty() {
            reason.push_str("refused");
        }
        Parked { reason, since: self.parts.clock.now() }
    }
}

/// The first of `events`, up to `most` bytes, but at least one.
fn batch(events: impl Iterator<Item = RoomEvent>, most: usize) -> Vec<RoomEvent> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for event in events {
        bytes += event.encoded_len();
        if bytes > most && !batch.is_empty() {
            break;
        }
        batch.push(event);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_at_its_bytes_and_is_never_empty() {
        let event = RoomEvent { id: "x".repeat(98), ..RoomEvent::default() };
        let events = || std::iter::repeat_n(event.clone(), 5);
        assert_eq!(event.encoded_len(), 100);
        for (most, count) in [(0, 1), (199, 1), (200, 2), (499, 4), (10_000, 5)] {
            assert_eq!(batch(events(), most).len(), count, "{most}");
        }
    }
}
