//! The Kafka sink: the events of all rooms in one topic, keyed by room, as CloudEvents in binary mode.
//!
//! librdkafka keeps the order within a partition while it retries, but a message that fails permanently lets
//! later ones pass. Therefore no message fails permanently on its own: a produce has no timeout, an error that
//! would leave a gap is fatal to the producer, and in either case the whole producer is abandoned with its queue.
//! Each room is then sent again from the last acknowledged event.
//!
//! - [`Options`]: brokers, topic, TLS and SASL
//! - [`KafkaSink`]: the sink of a consumer
//! - `record`: an event as a Kafka record
//! - `producer`: the producer, and its replacement
//! - `topic`: checks that the topic guarantees order and completeness
#![warn(missing_docs)]

mod limits;
mod options;
mod producer;
mod record;
mod sink;
mod suspects;
#[cfg(test)]
mod tests;
mod topic;

pub use options::{Options, OptionsError};
pub use record::Format;
pub use sink::KafkaSink;

/// Whether TLS and SASL are built in (the Cargo feature `tls`).
pub const TLS: bool = cfg!(feature = "tls");
