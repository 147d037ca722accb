//! Reads a topic back from its beginning.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::check::{Arrivals, Key};

/// For one message, while there are more to come.
const POLL: Duration = Duration::from_millis(500);

/// Reads until `is_all`, or nothing new comes for `patience`.
pub(super) fn read(
    brokers: &str,
    topic: &str,
    partitions: i32,
    patience: Duration,
    is_all: impl Fn(&Arrivals) -> bool,
) -> Result<Arrivals> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "torture").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let (mut arrivals, mut silence) = (Arrivals::new(), Duration::ZERO);
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                silence = Duration::ZERO;
                let (room, key) = identity(&message).context("a record without an identity")?;
                arrivals.entry(room).or_default().push(key);
            }
            // Errors of a broker pass.
            Some(Err(_)) | None if silence < patience && !is_all(&arrivals) => silence += POLL,
            Some(Err(_)) | None => return Ok(arrivals),
        }
    }
}

fn identity(message: &impl Message) -> Option<(String, Key)> {
    let headers = message.headers()?;
    let number = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()?.parse().ok()
    };
    let room = std::str::from_utf8(message.key()?).ok()?.to_owned();
    Some((room, (number("ce_epoch")?, number("ce_seq")?)))
}
