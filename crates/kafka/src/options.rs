//! Options of the sink.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::limits::RECORD_OVERHEAD;
use crate::producer::Producer;
use crate::record::Format;

/// Order and completeness depend on these, so they cannot be configured.
const FIXED: [(&str, &str); 7] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // A batch that fails permanently ends the producer, instead of letting later batches pass.
    ("enable.gapless.guarantee", "true"),
    // No later batch is in flight before the previous one is settled.
    ("max.in.flight.requests.per.connection", "1"),
    // A message that times out on its own would let later ones pass: the sink abandons all of them at once.
    ("message.timeout.ms", "0"),
    // Same as Java clients, which is required for joining streams.
    ("partitioner", "murmur2_random"),
    ("client.id", "parlance"),
];

/// Defaults that can be overridden.
const DEFAULTS: [(&str, &str); 4] = [
    ("linger.ms", "5"),
    ("reconnect.backoff.max.ms", "5000"),
    ("socket.keepalive.enable", "true"),
    // Memory for queued messages: enough for a hundred events of each of 64 rooms.
    ("queue.buffering.max.kbytes", "65536"),
];

/// Set from other options.
const DERIVED: [&str; 2] = ["bootstrap.servers", "message.max.bytes"];

/// Properties with which events would be lost, or never count as sent.
const HARMFUL: [&str; 2] = [
    // Without its transactions, nothing is sent at all.
    "transactional.id",
    // Whether events were sent would not be reported.
    "delivery.report.only.error",
];

/// Other names of properties that are set here. librdkafka takes the last value of either name, and the order of
/// properties is random.
const ALIASES: [(&str, &str); 7] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.type", "compression.codec"),
];

/// Options of the sink.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The topic's name.
    pub topic: String,
    /// Number of partitions of the topic. A change breaks the order of rooms, so the sink refuses any other number.
    pub partitions: i32,
    /// Replication factor for creating a missing topic; `None` to wait for the topic instead.
    pub create_with_replicas: Option<i32>,
    /// Format of the values.
    pub format: Format,
    /// `ce_source` of all events.
    pub source: String,
    /// Maximum value size in bytes: larger events are refused. Must not exceed the topic's `max.message.bytes`.
    pub max_bytes: usize,
    /// How long the brokers may take before everything in flight is abandoned and sent again.
    pub delivery_timeout: Duration,
    /// How long a check of the topic stays valid.
    pub check_every: Duration,
    /// Further properties of librdkafka, for example for TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Order and completeness depend on this property.
    #[error("{0} is set by parlance, and not to be configured")]
    Fixed(String),
    /// No event would be sent with it, or count as sent.
    #[error("{0} is not to be configured: no event would be sent with it, or count as sent")]
    Harmful(String),
    /// Another name of a property.
    #[error("{0} is another name of {1}: use that")]
    Alias(String, &'static str),
    /// librdkafka does not accept it.
    #[error("{0}")]
    Refused(String),
    /// TLS and SASL are not built in.
    #[error("{0} needs a server that is built with `--features kafka-tls`")]
    NoTls(String),
}

impl Options {
    /// Default options for a topic.
    pub fn new(brokers: impl Into<String>, topic: impl Into<String>, partitions: i32) -> Self {
        Self {
            brokers: brokers.into(),
            topic: topic.into(),
            partitions,
            create_with_replicas: None,
            format: Format::default(),
            source: "parlance".to_owned(),
            max_bytes: 900_000,
            delivery_timeout: Duration::from_secs(20),
            check_every: Duration::from_secs(60),
            properties: BTreeMap::new(),
        }
    }

    /// Validates the options without connecting.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), OptionsError> {
        for name in self.properties.keys() {
            let alias = ALIASES.iter().find(|(alias, _)| alias == name).map(|(_, of)| *of);
            let canonical = alias.unwrap_or(name.as_str());
            let is_fixed = FIXED.iter().any(|(fixed, _)| *fixed == canonical);
            if is_fixed || DERIVED.contains(&canonical) {
                return Err(OptionsError::Fixed(name.clone()));
            }
            if HARMFUL.contains(&canonical) {
                return Err(OptionsError::Harmful(name.clone()));
            }
            if let Some(of) = alias {
                return Err(OptionsError::Alias(name.clone(), of));
            }
            let is_of_tls =
                ["ssl.", "sasl.", "security.protocol"].iter().any(|start| name.starts_with(start));
            if is_of_tls && !crate::TLS {
                return Err(OptionsError::NoTls(name.clone()));
            }
        }
        self.can_be_created().map_err(|error| {
            let reason = match error {
                KafkaError::ClientConfig(_, reason, name, value) => {
                    // The value may be a password.
                    let reason = reason.replace(&value, "…");
                    format!("{name}: {reason}")
                }
                error => error.to_string(),
            };
            OptionsError::Refused(reason)
        })
    }

    /// Creates a producer without brokers: some combinations are refused only then.
    fn can_be_created(&self) -> Result<(), KafkaError> {
        let mut config = self.client();
        config.create_native_config()?;
        config.remove("bootstrap.servers");
        Producer::new(config).map(drop)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        for (name, value) in DEFAULTS {
            client.set(name, value);
        }
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        for (name, value) in FIXED {
            client.set(name, value);
        }
        client.set("bootstrap.servers", &self.brokers);
        client.set("message.max.bytes", (self.max_bytes + RECORD_OVERHEAD).to_string());
        client
    }
}
