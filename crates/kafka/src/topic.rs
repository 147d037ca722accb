//! Checks that the topic guarantees order and completeness.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use crate::Options;
use crate::limits::BROKER_TIMEOUT;
use crate::producer::Producer;

/// Checks the topic, or creates it; `Err` says why nothing may be sent to it. `is_known` is set once it has passed
/// a check.
pub(crate) async fn check(options: &Options, producer: &Producer, is_known: bool) -> Result<(), String> {
    // Requesting metadata of one topic by name may create it, with any number of partitions.
    let asked = is_known.then(|| options.topic.clone());
    let metadata = producer.metadata(asked, BROKER_TIMEOUT).await?;
    match partitions(&metadata, &options.topic)? {
        Some(count) if count == options.partitions => {}
        Some(count) => {
            return Err(format!(
                "topic {} has {count} partitions, and not {}: the order of rooms would break",
                options.topic, options.partitions
            ));
        }
        None => return create(options).await,
    }
    if !is_known {
        check_policy(options).await?;
    }
    Ok(())
}

/// The number of partitions of a topic; `None` if it does not exist.
fn partitions(metadata: &Metadata, topic: &str) -> Result<Option<i32>, String> {
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(Some(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(error) => Err(format!("topic {topic}: {error}")),
    }
}

async fn create(options: &Options) -> Result<(), String> {
    let topic = &options.topic;
    let Some(replicas) = options.create_with_replicas else {
        return Err(format!("there is no topic {topic}"));
    };
    let topics = [NewTopic::new(topic, options.partitions, TopicReplication::Fixed(replicas))
        .set("cleanup.policy", "delete")];
    let created = admin(options)?.create_topics(&topics, &of_admin()).await;
    let created = created.map_err(|error| format!("cannot create topic {topic}: {error}"))?;
    for result in created {
        match result {
            Ok(_) => tracing::info!(topic, partitions = options.partitions, "created the event topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, error)) => return Err(format!("cannot create topic {topic}: {error}")),
        }
    }
    // It is checked again before anything is sent.
    Err(format!("topic {topic} was just created"))
}

/// A compacted topic would keep one event per room only.
async fn check_policy(options: &Options) -> Result<(), String> {
    let topic = &options.topic;
    let resource = ResourceSpecifier::Topic(topic);
    let described = admin(options)?.describe_configs([&resource], &of_admin()).await;
    let policy = match described.as_deref() {
        Ok([Ok(config)]) => config.get("cleanup.policy").and_then(|entry| entry.value.clone()),
        _ => None,
    };
    match policy {
        Some(policy) if policy.contains("compact") => {
            Err(format!("topic {topic} is compacted: it would keep one event of each room"))
        }
        Some(_) => Ok(()),
        None => {
            tracing::warn!(topic, "cannot tell whether the topic is compacted; it must not be");
            Ok(())
        }
    }
}

fn admin(options: &Options) -> Result<AdminClient<DefaultClientContext>, String> {
    let mut config = options.client();
    for of_producers in OF_PRODUCERS {
        config.remove(of_producers);
    }
    AdminClient::from_config(&config).map_err(|error| error.to_string())
}

/// Producer properties, about which an admin client would log warnings.
const OF_PRODUCERS: [&str; 7] = [
    "acks",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "message.timeout.ms",
    "partitioner",
    "linger.ms",
    "queue.buffering.max.kbytes",
];

fn of_admin() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(BROKER_TIMEOUT)).operation_timeout(Some(BROKER_TIMEOUT))
}
