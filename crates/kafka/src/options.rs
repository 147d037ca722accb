//! What the sink is configured with.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::record::Format;

/// Order and completeness rest on these: they are not to be configured.
const FIXED: [(&str, &str); 7] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // A batch that fails for good ends the producer, instead of letting later batches pass.
    ("enable.gapless.guarantee", "true"),
    // No later batch is under way before the fate of the one before it is settled.
    ("max.in.flight.requests.per.connection", "1"),
    // A message that times out by itself would let those behind it pass: the sink gives up all of them at once.
    ("message.timeout.ms", "0"),
    // As Java's clients do: joins of streams count on it.
    ("partitioner", "murmur2_random"),
    ("client.id", "parlance"),
];

/// What holds unless it is configured otherwise.
const DEFAULTS: [(&str, &str); 4] = [
    ("linger.ms", "5"),
    ("reconnect.backoff.max.ms", "5000"),
    ("socket.keepalive.enable", "true"),
    // Memory of what is on its way: a hundred events for each of 64 rooms fit.
    ("queue.buffering.max.kbytes", "65536"),
];

/// How the sink is configured.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// How many partitions the topic has: a change of it breaks the order of rooms, so that the sink refuses another
    /// number.
    pub partitions: i32,
    /// A topic that is not there is created with so many replicas; `None`: it is waited for.
    pub create_with_replicas: Option<i32>,
    /// How events are written.
    pub format: Format,
    /// `ce_source` of all events.
    pub source: String,
    /// Largest value, bytes: an event beyond it is refused. Not more than the topic's `max.message.bytes`.
    pub max_bytes: usize,
    /// How long the brokers may take before all that is on its way is given up and sent again.
    pub delivery_timeout: Duration,
    /// How long what was found out about the topic holds.
    pub check_every: Duration,
    /// Further properties of librdkafka, such as those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Order and completeness rest on it.
    #[error("{0} is set by parlance, and not to be configured")]
    Fixed(String),
    /// librdkafka does not take it.
    #[error("{0}")]
    Refused(String),
    /// TLS and SASL are not built in.
    #[error("{0} needs a server that is built with `--features kafka-tls`")]
    NoTls(String),
}

impl Options {
    /// Usual options for a topic.
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

    /// Whether they can be used: nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), OptionsError> {
        for name in self.properties.keys() {
            if FIXED.iter().any(|(fixed, _)| fixed == name) || name == "bootstrap.servers" {
                return Err(OptionsError::Fixed(name.clone()));
            }
            let is_of_tls =
                ["ssl.", "sasl.", "security.protocol"].iter().any(|start| name.starts_with(start));
            if is_of_tls && !crate::TLS {
                return Err(OptionsError::NoTls(name.clone()));
            }
        }
        self.client().create_native_config().map(drop).map_err(|error| {
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
        client.set("message.max.bytes", (self.max_bytes + OVERHEAD).to_string());
        client
    }
}

/// Bytes that headers and key add to a value at most.
const OVERHEAD: usize = 8 * 1024;
