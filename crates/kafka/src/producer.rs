//! The producer, and its replacement after a failure.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, metadata::Metadata};

use crate::record::Record;

/// Logs messages of librdkafka.
#[derive(Clone)]
pub(crate) struct Logged;

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
    current: Mutex<Current>,
}

struct Current {
    client: Arc<Client>,
    generation: u64,
}

impl Producer {
    pub(crate) fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        let client = Arc::new(create(&config)?);
        Ok(Self { config, current: Mutex::new(Current { client, generation: 0 }) })
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
            match create(&self.config) {
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
        let fetch = move || client.client().fetch_metadata(topic.as_deref(), patience);
        let fetched = tokio::task::spawn_blocking(fetch).await.map_err(|error| error.to_string())?;
        fetched.map_err(|error| format!("cannot reach the brokers: {error}"))
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(config: &ClientConfig) -> Result<Client, KafkaError> {
    Client::from_config_and_context(config, Logged)
}
