//! The producer, and its replacement after a failure.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, metadata::Metadata};
use tokio::time::Instant;

use crate::limits::BROKER_LOOK;
use crate::record::Record;

/// Logs messages of librdkafka, and keeps what it says about the brokers.
#[derive(Clone, Default)]
pub(crate) struct Logged {
    /// Whether none can be reached.
    are_down: Arc<AtomicBool>,
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, message, "librdkafka");
            }
            // Repeated endlessly while a broker is unreachable; the consumer logs that once.
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.are_down.store(true, Ordering::Relaxed);
        }
        tracing::debug!(%error, reason, "librdkafka");
    }
}

pub(crate) type Client = FutureProducer<Logged>;

/// Why an event was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// The queue is full.
    Full,
    /// The event is too large.
    TooLarge,
    Failed(String),
}

/// Events that were queued in one producer.
pub(crate) struct Queued {
    /// The producer's generation.
    pub(crate) generation: u64,
    pub(crate) deliveries: Vec<DeliveryFuture>,
    /// Why the remaining events were not queued.
    pub(crate) rest: Option<NotQueued>,
}

pub(crate) struct Producer {
    config: ClientConfig,
    brokers: Logged,
    current: Mutex<Current>,
}

struct Current {
    client: Arc<Client>,
    generation: u64,
}

impl Producer {
    pub(crate) fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        let brokers = Logged::default();
        let client = Arc::new(create(&config, &brokers)?);
        Ok(Self { config, brokers, current: Mutex::new(Current { client, generation: 0 }) })
    }

    /// Whether no broker can be reached, as far as is known.
    pub(crate) fn brokers_are_down(&self) -> bool {
        self.brokers.are_down.load(Ordering::Relaxed)
    }

    /// A broker has answered.
    pub(crate) fn answered(&self) {
        self.brokers.are_down.store(false, Ordering::Relaxed);
    }

    /// Queues the records of a room, in order and in a single producer, up to the first one that is not accepted.
    pub(crate) fn queue(&self, topic: &str, key: &str, records: &[Record]) -> Queued {
        // Producers are replaced under the same lock: never between two of these records.
        let current = self.lock();
        let (mut deliveries, mut rest) = (Vec::with_capacity(records.len()), None);
        for record in records {
            let queued = FutureRecord::to(topic)
                .key(key)
                .payload(&record.value)
                .headers(record.headers())
                .timestamp(record.at_ms);
            match current.client.send_result(queued) {
                Ok(delivery) => deliveries.push(delivery),
                Err((error, _)) => {
                    rest = Some(match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::QueueFull) => NotQueued::Full,
                        Some(RDKafkaErrorCode::MessageSizeTooLarge) => NotQueued::TooLarge,
                        _ => NotQueued::Failed(error.to_string()),
                    });
                    break;
                }
            }
        }
        Queued { generation: current.generation, deliveries, rest }
    }

    /// Abandons the producer of `generation` with its queue, unless already done: everything in flight fails, for
    /// all rooms, and is sent again by its replacement.
    pub(crate) fn give_up(&self, generation: u64, reason: &str) {
        let old = {
            let mut current = self.lock();
            if current.generation != generation {
                return;
            }
            match create(&self.config, &self.brokers) {
                Ok(client) => {
                    current.generation += 1;
                    std::mem::replace(&mut current.client, Arc::new(client))
                }
                Err(error) => {
                    tracing::error!(%error, "cannot create a producer for kafka");
                    return;
                }
            }
        };
        tracing::warn!(reason, "replacing the kafka producer; records in flight will be sent again");
        metrics::counter!("parlance_kafka_producers_given_up_total").increment(1);
        // Dropping it purges its queue, and joins a thread.
        tokio::task::spawn_blocking(move || drop(old));
    }

    /// Metadata of one topic, or of all.
    pub(crate) async fn metadata(
        &self,
        topic: Option<String>,
        patience: Duration,
    ) -> Result<Metadata, String> {
        let client = self.lock().client.clone();
        let caller = Arc::new(());
        let is_wanted = Arc::downgrade(&caller);
        let fetch = move || {
            let (deadline, mut within) = (Instant::now() + patience, BROKER_LOOK);
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let fetched = client.client().fetch_metadata(topic.as_deref(), within.min(left));
                let is_last = left <= within || is_wanted.strong_count() == 0;
                match fetched.as_ref().err().and_then(KafkaError::rdkafka_error_code) {
                    // No broker is connected: the call only waits for one, and a process that stops should not.
                    Some(RDKafkaErrorCode::BrokerTransportFailure) if !is_last => {}
                    // One is, and takes its time.
                    Some(RDKafkaErrorCode::OperationTimedOut) if !is_last => within = patience,
                    _ => return fetched,
                }
            }
        };
        let fetched = tokio::task::spawn_blocking(fetch).await.map_err(|error| error.to_string())?;
        drop(caller);
        let metadata = fetched.map_err(|error| format!("cannot reach the brokers: {error}"))?;
        self.answered();
        Ok(metadata)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(config: &ClientConfig, brokers: &Logged) -> Result<Client, KafkaError> {
    Client::from_config_and_context(config, brokers.clone())
}
