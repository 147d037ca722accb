use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::Instant;

pub(super) const TOPIC: &str = "events";
pub(super) const PARTITIONS: i32 = 6;

/// How long one look at the topic waits.
const POLL: Duration = Duration::from_millis(100);

/// When each event arrived first, by room and seq.
type Arrivals = HashMap<(String, u64), Instant>;

/// Reads a topic as a service would, on a thread of its own until it is dropped.
pub(super) struct Reader {
    arrivals: Arc<Mutex<Arrivals>>,
    has_ended: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn start(brokers: String) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("group.id", "measure")
            .set("enable.auto.commit", "false");
        // The broker answers a request of a consumer at once, as far as it can.
        config.set("fetch.wait.max.ms", "10").set("fetch.error.backoff.ms", "10");
        config.set("topic.metadata.refresh.fast.interval.ms", "100");
        let consumer: BaseConsumer = config.create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
        }
        consumer.assign(&all)?;
        let (arrivals, has_ended) = (Arc::<Mutex<Arrivals>>::default(), Arc::<AtomicBool>::default());
        let reader = Self { arrivals: arrivals.clone(), has_ended: has_ended.clone() };
        tokio::task::spawn_blocking(move || {
            while !has_ended.load(Ordering::Relaxed) {
                // Errors pass: the topic is created with the first event.
                let Some(Ok(message)) = consumer.poll(POLL) else { continue };
                let at = Instant::now();
                if let Some(event) = event(&message) {
                    arrivals.lock().unwrap_or_else(PoisonError::into_inner).entry(event).or_insert(at);
                }
            }
        });
        Ok(reader)
    }

    pub(super) fn arrived(&self, room: &str, seq: u64) -> Option<Instant> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(&(room.to_owned(), seq)).copied()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }
}

/// The room and the seq of an event.
fn event(message: &impl Message) -> Option<(String, u64)> {
    let headers = message.headers()?;
    let seq = headers.iter().find(|header| header.key == "ce_seq")?.value?;
    let room = std::str::from_utf8(message.key()?).ok()?.to_owned();
    Some((room, std::str::from_utf8(seq).ok()?.parse().ok()?))
}
