//! The Kafka sink: the events of all rooms in one topic, keyed by room, as CloudEvents in binary mode.
//!
//! librdkafka keeps order within a partition while it retries, but a message that fails for good lets those after
//! it pass. So nothing here fails for good by itself: a produce has no time-out of its own, an error that would
//! leave a gap is fatal to the producer, and in either case the whole producer is given up with all that it
//! holds. Each room is then sent again from the last event that was acknowledged.
//!
//! - [`Options`]: brokers, topic, TLS and SASL
//! - [`KafkaSink`]: what a consumer hands events to
//! - `record`: an event as a Kafka record
//! - `producer`: the producer, and the next one once it is given up
//! - `topic`: whether the topic is what order and completeness need
#![warn(missing_docs)]

mod options;
mod producer;
mod record;
mod sink;
#[cfg(test)]
mod tests;
mod topic;

pub use options::{Options, OptionsError};
pub use record::Format;
pub use sink::KafkaSink;

/// Whether TLS and SASL are built in (the Cargo feature `tls`).
pub const TLS: bool = cfg!(feature = "tls");
