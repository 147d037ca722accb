//! The sink against librdkafka's mock brokers with injected failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{RoomId, SystemClock};
use parlance_proto::events::v1::RoomEvent;
use parlance_stream::sink::{Delivered, EventSink, SinkError};
use prost::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::{KafkaSink, Options};

const TOPIC: &str = "events";
const PARTITIONS: i32 = 3;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

fn options(cluster: &Cluster) -> Options {
    let mut options = Options::new(cluster.bootstrap_servers(), TOPIC, PARTITIONS);
    options.delivery_timeout = Duration::from_secs(10);
    // The mock brokers do not support these, or they slow down the tests.
    options.properties.insert("reconnect.backoff.max.ms".to_owned(), "200".to_owned());
    options
}

fn sink(options: Options) -> KafkaSink {
    KafkaSink::new(options, Arc::new(SystemClock)).unwrap()
}

fn room(number: usize) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

fn events(room: &RoomId, from: u64, to: u64) -> Vec<RoomEvent> {
    let event = |seq| RoomEvent {
        id: format!("{room}:1:{seq}"),
        r#type: "parlance.message.sent.v1".to_owned(),
        room_id: room.as_str().to_owned(),
        epoch: 1,
        seq,
        ..RoomEvent::default()
    };
    (from..=to).map(event).collect()
}

/// Sends until the sink has accepted all events, like a consumer.
async fn send_all(sink: &KafkaSink, room: &RoomId, to: u64) {
    let mut done = 0;
    let sending = async {
        while done < to {
            let Delivered { count, error } = sink.deliver(room, &events(room, done + 1, to)).await;
            assert!(!matches!(error, Some(SinkError::Refused { .. })), "{error:?}");
            done += count as u64;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("it is sent");
}

/// Reads a topic until it contains `rooms` up to their last events: seqs by room and partition, in arrival
/// order. First occurrences must be in order and complete.
async fn read(cluster: &Cluster, heads: &BTreeMap<RoomId, u64>) -> BTreeMap<(i32, RoomId), Vec<u64>> {
    let (brokers, heads) = (cluster.bootstrap_servers(), heads.clone());
    tokio::task::spawn_blocking(move || {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", brokers).set("group.id", "test");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let mut found: BTreeMap<(i32, RoomId), Vec<u64>> = BTreeMap::new();
        let mut last: BTreeMap<RoomId, u64> = BTreeMap::new();
        while last != heads {
            let message = consumer.poll(Duration::from_secs(30)).expect("there is more").unwrap();
            let event = RoomEvent::decode(message.payload().expect("no tombstones")).unwrap();
            assert_eq!(message.key(), Some(event.room_id.as_bytes()));
            let id = message.headers().unwrap().iter().find(|header| header.key == "ce_id").unwrap();
            assert_eq!(id.value, Some(event.id.as_bytes()));
            let room = RoomId::parse(&event.room_id).unwrap();
            let before = last.entry(room.clone()).or_default();
            assert!(event.seq <= *before + 1, "{room} goes on with {} after {before}", event.seq);
            *before = event.seq.max(*before);
            found.entry((message.partition(), room)).or_default().push(event.seq);
        }
        found
    })
    .await
    .unwrap()
}

fn heads(rooms: usize, head: u64) -> BTreeMap<RoomId, u64> {
    (0..rooms).map(|number| (room(number), head)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_room_is_in_one_partition_and_in_order() {
    let cluster = cluster();
    let sink = sink(options(&cluster));
    let rooms: Vec<RoomId> = (0..8).map(room).collect();
    futures::future::join_all(rooms.iter().map(|room| send_all(&sink, room, 20))).await;
    let found = read(&cluster, &heads(8, 20)).await;
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(found.values().all(|seqs| *seqs == (1..=20).collect::<Vec<_>>()));
    // murmur2, as in Java clients.
    assert!(found.contains_key(&(murmur2_partition("room-0"), room(0))), "{found:?}");
}

/// `toPositive(murmur2(key)) % partitions` of Kafka's own clients.
fn murmur2_partition(key: &str) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let key = key.as_bytes();
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    ((hash & 0x7fff_ffff) % PARTITIONS as u32) as i32
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_number_of_partitions_is_waited_for() {
    let cluster = cluster();
    let sink = sink(Options { partitions: PARTITIONS + 1, ..options(&cluster) });
    let delivered = sink.deliver(&room(0), &events(&room(0), 1, 2)).await;
    let Some(SinkError::Busy { reason, .. }) = delivered.error else { panic!("{delivered:?}") };
    assert!(reason.contains("has 3 partitions, and not 4"), "{reason}");
    assert_eq!(delivered.count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_waited_for() {
    let cluster = cluster();
    let sink = sink(Options { topic: "other".to_owned(), ..options(&cluster) });
    let delivered = sink.deliver(&room(0), &events(&room(0), 1, 2)).await;
    let Some(SinkError::Busy { reason, .. }) = delivered.error else { panic!("{delivered:?}") };
    assert!(reason.contains("there is no topic other"), "{reason}");
}

/// The brokers refuse a batch permanently: later ones must not pass.
#[tokio::test(flavor = "multi_thread")]
async fn refused_batch_is_sent_again_with_all_that_follow() {
    let cluster = cluster();
    let sink = sink(options(&cluster));
    send_all(&sink, &room(0), 1).await;
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let rooms: Vec<RoomId> = (0..6).map(room).collect();
        futures::future::join_all(rooms.iter().map(|room| send_all(&sink, room, 50))).await;
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
    }
    read(&cluster, &heads(6, 50)).await;
}

/// The brokers refuse a record each time: its room is parked, though records of others were refused with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_brokers_refuse_is_found_and_others_go_on() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
    ] {
        let cluster = cluster();
        let sink = sink(options(&cluster));
        send_all(&sink, &room(0), 1).await;
        send_all(&sink, &room(1), 1).await;
        let (of_one, of_other) = (events(&room(0), 2, 3), events(&room(1), 2, 3));
        cluster.request_errors(RDKafkaApiKey::Produce, &[error; 2]);
        let first = sink.deliver(&room(0), &of_one).await;
        assert!(
            matches!(first, Delivered { count: 0, error: Some(SinkError::Unavailable { .. }) }),
            "{first:?}"
        );
        let again = sink.deliver(&room(0), &of_one).await;
        assert!(matches!(again, Delivered { count: 0, error: Some(SinkError::Refused { .. }) }), "{again:?}");
        // What was refused in company and is accepted alone was not the cause.
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let first = sink.deliver(&room(1), &of_other).await;
        assert!(
            matches!(first, Delivered { count: 0, error: Some(SinkError::Unavailable { .. }) }),
            "{first:?}"
        );
        assert_eq!(sink.deliver(&room(1), &of_other).await, Delivered::all(1));
        assert_eq!(sink.deliver(&room(1), &of_other[1..]).await, Delivered::all(1));
    }
}

/// Written, but the answer is lost: librdkafka retries on its own.
#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_are_not_noticed() {
    let cluster = cluster();
    let sink = sink(options(&cluster));
    let passing = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    let rooms: Vec<RoomId> = (0..4).map(room).collect();
    futures::future::join_all(rooms.iter().map(|room| send_all(&sink, room, 30))).await;
    read(&cluster, &heads(4, 30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_are_waited_for() {
    let cluster = cluster();
    let sink = sink(Options { delivery_timeout: Duration::from_secs(1), ..options(&cluster) });
    let rooms: Vec<RoomId> = (0..4).map(room).collect();
    futures::future::join_all(rooms.iter().map(|room| send_all(&sink, room, 5))).await;
    cluster.broker_down(1).unwrap();
    let delivered = sink.deliver(&room(0), &events(&room(0), 6, 9)).await;
    assert!(
        matches!(delivered, Delivered { count: 0, error: Some(SinkError::Busy { .. }) }),
        "{delivered:?}"
    );
    let sending = futures::future::join_all(rooms.iter().map(|room| send_all(&sink, room, 40)));
    let returning = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.broker_up(1).unwrap();
    };
    tokio::join!(sending, returning);
    read(&cluster, &heads(4, 40)).await;
}

/// A partition below `min.insync.replicas`, while others are acknowledged: no fault of its rooms, which are never
/// parked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_accepts_nothing_is_no_fault_of_an_event() {
    let cluster = cluster();
    let sink = sink(Options { delivery_timeout: Duration::from_secs(1), ..options(&cluster) });
    send_all(&sink, &room(0), 1).await;
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    cluster.request_errors(RDKafkaApiKey::Produce, &[error; 1_000]);
    for _ in 0..2 {
        let delivered = sink.deliver(&room(0), &events(&room(0), 2, 3)).await;
        assert!(
            matches!(delivered, Delivered { count: 0, error: Some(SinkError::Busy { .. }) }),
            "{delivered:?}"
        );
    }
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    send_all(&sink, &room(0), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_refused_and_those_before_it_are_not() {
    let cluster = cluster();
    let sink = sink(Options { max_bytes: 200, ..options(&cluster) });
    let mut sent = events(&room(0), 1, 3);
    sent[1].r#type = "x".repeat(300);
    let delivered = sink.deliver(&room(0), &sent).await;
    assert_eq!(delivered.count, 1);
    assert!(matches!(delivered.error, Some(SinkError::Refused { .. })), "{delivered:?}");
    read(&cluster, &heads(1, 1)).await;
}

/// The first one finds that out for all: one after the other they would take five seconds each.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_wait_for_brokers_that_are_away_fail_together() {
    let sink = sink(Options::new("127.0.0.1:1", "events", 3));
    let rooms: Vec<RoomId> = (0..40).map(room).collect();
    let sent = |room| {
        let sink = &sink;
        async move { sink.deliver(room, &events(room, 1, 1)).await }
    };
    let sending = futures::future::join_all(rooms.iter().map(sent));
    let delivered = tokio::time::timeout(Duration::from_secs(60), sending).await.expect("all of them end");
    for delivered in delivered {
        assert!(matches!(delivered.error, Some(SinkError::Busy { .. })), "{delivered:?}");
    }
}

/// A process that stops waits for no answer of brokers that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_knows_that_its_brokers_are_away() {
    let cluster = cluster();
    let sink = sink(options(&cluster));
    send_all(&sink, &room(0), 3).await;
    assert!(!sink.is_away());
    cluster.broker_down(1).unwrap();
    let waiting = async {
        let mut seen = 3;
        while !sink.is_away() {
            seen += 1;
            let (room, events) = (room(0), events(&room(0), seen, seen));
            // It is abandoned, as at the end of a process.
            let _ = tokio::time::timeout(Duration::from_millis(200), sink.deliver(&room, &events)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it finds out");
    cluster.broker_up(1).unwrap();
    send_all(&sink, &room(1), 3).await;
    assert!(!sink.is_away());
}
