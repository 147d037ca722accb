//! Lost messages, and messages from other fleets.

use std::time::Duration;

use bytes::Bytes;
use parlance_faults::redis::RedisServer;
use parlance_registry::{FleetTag, Health, NodeId, Notice, RedisOptions, Registry, RegistryError};

use crate::fixture::{Node, options, started};
use crate::metrics::recoveries;
use crate::support::{node_id, payload, room, to_user};

fn channel(kind: &str, id: &str) -> String {
    format!("parlance:{kind}:{id}")
}

/// Publishes bytes like any process with access to Redis could.
async fn publish(server: &RedisServer, channel: &str, message: &[u8]) {
    let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = "local bytes = ARGV[2]:gsub('..', function(h) return string.char(tonumber(h, 16)) end) \
                  return redis.call('PUBLISH', ARGV[1], bytes)";
    server.command(&["EVAL", script, "0", channel, &hex]).await.unwrap();
}

/// The envelope with this number from `sender`, as published to `channel` by nodes of the fleet.
fn envelope(sender: &NodeId, channel: &str, number: u64, payload: &[u8]) -> Vec<u8> {
    envelope_of(RedisOptions::new("").fleet, sender, channel, number, payload)
}

fn envelope_of(fleet: FleetTag, sender: &NodeId, channel: &str, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut head = [sender.as_str().as_bytes(), b".", fleet.as_bytes()].concat();
    head.extend(number.to_be_bytes());
    head.extend(RedisOptions::new("").key.seal(channel, &head, payload));
    [&[head.len() as u8], head.as_slice(), payload].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gap_in_the_numbers_is_missed() {
    let server = RedisServer::start().await.unwrap();
    let mut node = Node::start(&options(server.url())).await;
    let (sender, own) = (node_id(), channel("node", node.id().as_str()));
    for number in [1, 2, 4] {
        let payload = Bytes::from(vec![number as u8]);
        publish(&server, &own, &envelope(&sender, &own, number, &payload)).await;
        node.says(Notice::Payload(payload)).await;
    }
    node.says(Notice::Missed).await;
    assert_eq!(node.health(), Health::Connected);
    assert!(recoveries("gap") >= 1);
}

/// No later message reveals the gap, but the sender's beat does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_envelope_that_does_not_arrive_is_missed() {
    let server = RedisServer::start().await.unwrap();
    server.command(&["ACL", "SETUSER", "chat", "on", ">secret", "~*", "&*", "+@all"]).await.unwrap();
    let sender = Node::start(&options(format!("redis://chat:secret@{}", server.address()))).await;
    let mut receiver = Node::start(&options(server.url())).await;
    receiver.is_reached_by(&sender).await;
    let own = format!("&{}", channel("node", sender.id().as_str()));
    server.command(&["ACL", "SETUSER", "chat", "resetchannels", "&parlance:beats", &own]).await.unwrap();
    let lost = sender.registry.publish(to_user(&receiver.user), payload()).await;
    assert_eq!(lost, Err(RegistryError::Unavailable));
    receiver.says(Notice::Missed).await;
    assert!(recoveries("gap") >= 1);
    assert_eq!((sender.health(), receiver.health()), (Health::Connected, Health::Connected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unpublished_is_reported_to_others() {
    let server = RedisServer::start().await.unwrap();
    let mut nodes = started(2, &options(server.url())).await;
    let (sender, receiver) = nodes.split_at_mut(1);
    // Not before the receiver has a first beat to compare with.
    receiver[0].is_reached_by(&sender[0]).await;
    crate::support::until("the report arrives", async || {
        sender[0].registry.report_unpublished();
        tokio::time::timeout(Duration::from_millis(500), receiver[0].notices.recv()).await
            == Ok(Some(Notice::Missed))
    })
    .await;
    assert!(recoveries("unpublished") >= 1);
}

/// From nodes of a version without fleet records, or any process with access to Redis: all others are
/// refused at startup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_of_another_fleet_are_dropped_and_missed() {
    let server = RedisServer::start().await.unwrap();
    let mut node = Node::start(&options(server.url())).await;
    let restored = FleetTag::of("restored", "parlance:");
    let (other, own) = (node_id(), channel("node", node.id().as_str()));
    publish(&server, &own, &envelope_of(restored, &other, &own, 1, &payload())).await;
    // On a busy machine its own heartbeat may have been late before, which is reported as missed, too.
    let dropped = async {
        while recoveries("foreign") == 0 {
            assert_eq!(node.notices.recv().await, Some(Notice::Missed));
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, dropped).await.unwrap();
    let room = room();
    node.registry.follow(&room).await.unwrap();
    let followed = channel("room", room.as_str());
    publish(&server, &followed, &envelope_of(restored, &other, &followed, 1, &payload())).await;
    node.says(Notice::Missed).await;
    let own = Node::start(&options(server.url())).await;
    node.is_reached_by(&own).await;
}

/// During an update of a fleet. They may belong to another fleet: the caller decides whether to act on
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_of_earlier_versions_are_accepted() {
    let server = RedisServer::start().await.unwrap();
    let mut node = Node::start(&options(server.url())).await;
    let own = channel("node", node.id().as_str());
    for text in ["one", "two"] {
        publish(&server, &own, format!("\u{4}n0de{text}").as_bytes()).await;
        node.says(Notice::Unverified(Bytes::copy_from_slice(text.as_bytes()))).await;
    }
}

/// Anyone who can publish in Redis knows the format of envelopes, and earlier ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_without_valid_seal_are_dropped() {
    let server = RedisServer::start().await.unwrap();
    let mut node = Node::start(&options(server.url())).await;
    let (sender, own) = (node_id(), channel("node", node.id().as_str()));
    let sealed = envelope(&sender, &own, 1, b"sealed");
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    let elsewhere = envelope(&sender, &channel("node", "another"), 1, b"elsewhere");
    let seal = 1 + sender.as_str().len() + 1 + 8 + 8;
    let mut unsealed = [&sealed[..seal], b"unsealed"].concat();
    unsealed[0] = seal as u8 - 1;
    for forged in [changed, elsewhere, unsealed] {
        publish(&server, &own, &forged).await;
    }
    publish(&server, &own, &sealed).await;
    node.says(Notice::Payload(Bytes::from_static(b"sealed"))).await;
}
