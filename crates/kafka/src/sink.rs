use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::{Clock, RoomId};
use parlance_proto::events::v1::RoomEvent;
use parlance_stream::sink::{Delivered, EventSink, SinkError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::limits::{FAILED_CHECK, QUEUE_FULL_PAUSE};
use crate::producer::{NotQueued, Producer, Queued};
use crate::record::Record;
use crate::suspects::{self, Suspects};
use crate::{Options, OptionsError, topic};

/// What the checks of a topic have found.
#[derive(Default)]
struct Checked {
    /// When it last passed.
    fit_at: Option<Instant>,
    /// When the last check failed, if one has failed since, and why.
    failed: Option<(Instant, String)>,
}

/// Sends events to a topic.
pub struct KafkaSink {
    options: Options,
    producer: Producer,
    clock: Arc<dyn Clock>,
    /// Locked during a check, which is done once for all rooms.
    checked: Mutex<Checked>,
    suspects: Suspects,
}

impl KafkaSink {
    /// Creates a sink. The brokers need not be reachable: events wait for them.
    ///
    /// # Errors
    /// If the options are invalid.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        options.check()?;
        let producer =
            Producer::new(options.client()).map_err(|error| OptionsError::Refused(error.to_string()))?;
        Ok(Self { options, producer, clock, checked: Mutex::default(), suspects: Suspects::default() })
    }

    async fn topic_is_fit(&self) -> Result<(), SinkError> {
        let mut checked = self.checked.lock().await;
        if checked.fit_at.is_some_and(|at| at.elapsed() < self.options.check_every) {
            return Ok(());
        }
        // Rooms that have waited for a check that failed would repeat it, one after the other.
        if let Some((at, reason)) = &checked.failed
            && at.elapsed() < FAILED_CHECK
        {
            return Err(not_now(reason.clone()));
        }
        let result = topic::check(&self.options, &self.producer, checked.fit_at.is_some()).await;
        let now = Instant::now();
        match result {
            Ok(()) => {
                *checked = Checked { fit_at: Some(now), failed: None };
                Ok(())
            }
            Err(reason) => {
                checked.failed = Some((now, reason.clone()));
                Err(not_now(reason))
            }
        }
    }

    /// Converts events to records, up to the first one that cannot be converted.
    fn records(&self, events: &[RoomEvent]) -> (Vec<Record>, Option<SinkError>) {
        let Options { format, source, max_bytes, .. } = &self.options;
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            match Record::new(event, *format, source) {
                Ok(record) if record.value.len() <= *max_bytes => records.push(record),
                Ok(record) => {
                    let reason =
                        format!("it has {} bytes, and at most {max_bytes} are taken", record.value.len());
                    return (records, Some(SinkError::Refused { reason }));
                }
                Err(reason) => return (records, Some(SinkError::Refused { reason })),
            }
        }
        (records, None)
    }

    /// Waits until the brokers have acknowledged the queued events: returns how many, and why not the
    /// rest. If they refuse a record, its room becomes suspect, or was sent `is_alone`: then that record is refused.
    async fn acknowledged(
        &self,
        room: &RoomId,
        is_alone: bool,
        queued: Vec<rdkafka::producer::DeliveryFuture>,
        generation: u64,
    ) -> Delivered {
        let deadline = Instant::now() + self.options.delivery_timeout;
        for (count, delivery) in queued.into_iter().enumerate() {
            let mut is_of_record = false;
            let reason = match timeout_at(deadline, delivery).await {
                Ok(Ok(Ok(_))) => {
                    self.producer.answered();
                    continue;
                }
                Ok(Ok(Err((error, _)))) => {
                    is_of_record = suspects::is_of_record(&error);
                    error.to_string()
                }
                Ok(Err(_)) => "the producer was given up".to_owned(),
                Err(_) => "the brokers do not acknowledge in time".to_owned(),
            };
            // Whatever the error, later messages in the queue must not pass.
            self.producer.give_up(generation, &reason);
            let error = match (is_of_record, is_alone) {
                (true, true) => {
                    self.suspects.remove(room);
                    SinkError::Refused { reason }
                }
                (true, false) => {
                    self.suspects.add(room);
                    SinkError::Unavailable { reason, retry_after: None }
                }
                (false, _) => not_now(reason),
            };
            return Delivered { count, error: Some(error) };
        }
        self.suspects.remove(room);
        Delivered { count: usize::MAX, error: None }
    }

    fn observe(&self, events: &[RoomEvent]) {
        let now = self.clock.now().0 as f64 / 1_000.0;
        let histogram = metrics::histogram!("parlance_kafka_event_age_seconds");
        for event in events {
            let at = event.at.unwrap_or_default();
            histogram.record((now - at.seconds as f64 - f64::from(at.nanos) / 1e9).max(0.0));
        }
    }
}

#[async_trait]
impl EventSink for KafkaSink {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        if let Err(error) = self.topic_is_fit().await {
            return Delivered { count: 0, error: Some(error) };
        }
        let turn = self.suspects.turn(room).await;
        let events = if turn.is_alone() { &events[..events.len().min(1)] } else { events };
        self.send(room, events, turn.is_alone()).await
    }

    fn is_away(&self) -> bool {
        self.producer.brokers_are_down()
    }
}

impl KafkaSink {
    /// Sends events, and waits until the brokers have acknowledged them.
    async fn send(&self, room: &RoomId, events: &[RoomEvent], is_alone: bool) -> Delivered {
        let (records, mut error) = self.records(events);
        let Queued { generation, deliveries, rest } =
            self.producer.queue(&self.options.topic, room.as_str(), &records);
        let queued = deliveries.len();
        if let Some(rest) = rest {
            error = Some(match rest {
                NotQueued::Full => SinkError::Busy {
                    reason: "too much is on its way to the brokers".to_owned(),
                    retry_after: Some(QUEUE_FULL_PAUSE),
                },
                NotQueued::TooLarge => SinkError::Refused { reason: "it is too large".to_owned() },
                NotQueued::Failed(reason) => {
                    self.producer.give_up(generation, &reason);
                    not_now(reason)
                }
            });
        }
        let acknowledged = self.acknowledged(room, is_alone, deliveries, generation).await;
        let count = acknowledged.count.min(queued);
        self.observe(&events[..count]);
        Delivered { count, error: acknowledged.error.or(error) }
    }
}

/// No fault of an event, whose room is never parked for it: it may be one partition that has no leader, for hours, while
/// others are acknowledged.
fn not_now(reason: String) -> SinkError {
    SinkError::Busy { reason, retry_after: None }
}
