//! Brokers behind TLS, as librdkafka and OpenSSL connect to them. `make kafka-tls` builds and runs this.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{RoomId, SystemClock};
use parlance_faults::kafka::Broker;
use parlance_faults::{Certificate, TlsProxy};
use parlance_kafka::{KafkaSink, Options};
use parlance_proto::events::v1::RoomEvent;
use parlance_stream::sink::{Delivered, EventSink, SinkError};

/// The certificate is for 127.0.0.1 and localhost, and not for this one.
const ANOTHER_NAME: &str = "127.0.0.2";

fn events(room: &RoomId, to: u64) -> Vec<RoomEvent> {
    let event = |seq| RoomEvent {
        id: format!("{room}:1:{seq}"),
        r#type: "parlance.message.sent.v1".to_owned(),
        room_id: room.as_str().to_owned(),
        epoch: 1,
        seq,
        ..RoomEvent::default()
    };
    (1..=to).map(event).collect()
}

/// A broker that is reached through TLS only.
async fn broker(certificate: &Certificate, host: &str) -> (Broker, TlsProxy, String) {
    let mut broker = Broker::absent().unwrap();
    let proxy = TlsProxy::start(&format!("{host}:0"), broker.own_address(), certificate).await.unwrap();
    let address: SocketAddr = proxy.address();
    broker.advertise(address.to_string());
    broker.come().await.unwrap();
    (broker, proxy, address.to_string())
}

async fn deliver(brokers: &str, trusted: &Certificate) -> Delivered {
    let mut options = Options::new(brokers, "events", 2);
    options.create_with_replicas = Some(1);
    options.delivery_timeout = Duration::from_secs(10);
    let ca = trusted.path().to_string_lossy().into_owned();
    for (name, value) in [("security.protocol", "SSL"), ("ssl.ca.location", &ca)] {
        options.properties.insert(name.to_owned(), value.to_owned());
    }
    let sink = KafkaSink::new(options, Arc::new(SystemClock)).unwrap();
    let room = RoomId::parse("room").unwrap();
    let sent = events(&room, 3);
    // The first attempt creates the topic.
    match sink.deliver(&room, &sent).await {
        Delivered { error: Some(SinkError::Unavailable { reason, .. }), .. }
            if reason.contains("created") =>
        {
            sink.deliver(&room, &sent).await
        }
        delivered => delivered,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_behind_tls_get_events() {
    let certificate = Certificate::new().unwrap();
    let (_broker, proxy, address) = broker(&certificate, "127.0.0.1").await;
    assert_eq!(deliver(&address, &certificate).await, Delivered::all(3));
    assert!(proxy.accepted() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_certificate_of_another_ca_gets_nothing() {
    let (certificate, another) = (Certificate::new().unwrap(), Certificate::new().unwrap());
    let (_broker, proxy, address) = broker(&certificate, "127.0.0.1").await;
    let delivered = deliver(&address, &another).await;
    assert!(
        matches!(delivered, Delivered { count: 0, error: Some(SinkError::Unavailable { .. }) }),
        "{delivered:?}"
    );
    assert_eq!(proxy.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_certificate_of_another_host_gets_nothing() {
    let certificate = Certificate::new().unwrap();
    let (_broker, proxy, address) = broker(&certificate, ANOTHER_NAME).await;
    let delivered = deliver(&address, &certificate).await;
    assert!(
        matches!(delivered, Delivered { count: 0, error: Some(SinkError::Unavailable { .. }) }),
        "{delivered:?}"
    );
    assert_eq!(proxy.accepted(), 0);
}

#[test]
fn sasl_is_configured_by_properties() {
    let check = |properties: &[(&str, &str)]| {
        let mut options = Options::new("localhost:9098", "events", 2);
        options.properties =
            properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        KafkaSink::new(options, Arc::new(SystemClock)).map(drop)
    };
    let scram = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "parlance"),
        ("sasl.password", "secret"),
    ];
    assert_eq!(check(&scram), Ok(()));
    // librdkafka needs libcurl to fetch tokens from an issuer, and is built without.
    let oidc = [("sasl.mechanism", "OAUTHBEARER"), ("sasl.oauthbearer.method", "oidc")];
    assert!(check(&[&scram[..1], &oidc[..]].concat()).is_err());
    // MSK's own mechanism is none of librdkafka's.
    assert!(check(&[scram[0], ("sasl.mechanism", "AWS_MSK_IAM")]).is_err());
}
