//! Redis deployments, and invalid settings.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use parlance_core::{Clock, SystemClock};
use parlance_faults::redis::{RedisCluster, RedisSentinel, RedisServer};
use parlance_registry::{
    ConnectError, Difference, FleetTag, Health, Notice, Redis, RedisOptions, Registry, TokenKeys,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::contract::{alone, fleet};
use crate::fixture::{Node, all_recover, nodes, options, started};
use crate::metrics::recoveries;
use crate::support::{node_id, until, users};

/// Runs each case with its own nodes.
macro_rules! each {
    ($options:expr, $count:expr, $($case:path),* $(,)?) => {
        $({
            let nodes = nodes($count, $options).await;
            $case(&nodes).await;
            for node in nodes {
                node.close().await;
            }
        })*
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_fulfils_the_contract() {
    let cluster = RedisCluster::start().await.unwrap();
    let options = options(cluster.url());
    each!(
        &options,
        1,
        alone::a_user_is_online_until_the_last_session_closes,
        alone::sessions_that_come_and_go_at_once_end_in_the_right_state,
        alone::nothing_comes_back_to_the_sender,
        alone::rooms_are_followed_and_left,
    );
    each!(
        &options,
        3,
        fleet::a_user_is_online_wherever_they_are,
        fleet::publish_to_a_user_reaches_their_nodes_once,
        fleet::publish_to_a_room_reaches_its_followers,
        fleet::single_node_is_notified,
        fleet::node_in_both_roles_receives_twice_and_in_order,
        fleet::thousands_of_users_are_looked_up,
        fleet::a_node_that_closes_is_gone_with_its_users,
    );
    for master in &cluster.masters {
        assert!(master.calls("evalsha").await.unwrap() > 0, "all masters have a share of the users");
    }
}

/// A third of the slots is lost, and returns empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_is_restarted() {
    let mut cluster = RedisCluster::start().await.unwrap();
    let mut nodes = started(3, &options(cluster.url())).await;
    cluster.masters[1].kill().await.unwrap();
    for node in &nodes {
        node.becomes(Health::Away).await;
    }
    cluster.masters[1].restart().await.unwrap();
    all_recover(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_a_cluster_are_moved() {
    let cluster = RedisCluster::start().await.unwrap();
    let mut nodes = started(2, &options(cluster.url())).await;
    let others = users(1_000);
    for opened in futures::future::join_all(others.iter().map(|user| nodes[1].registry.connect(user))).await {
        opened.unwrap();
    }
    // The slot of the leases, which every heartbeat needs.
    cluster.move_slot_of("parlance:nodes").await.unwrap();
    all_recover(&mut nodes).await;
    // The client follows the move, or reconnects.
    assert!(recoveries("servers") + recoveries("connection") >= 2);
    assert_eq!(nodes[0].registry.online(&others).await.unwrap(), vec![true; 1_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_promotes_another_server() {
    let mut sentinel = RedisSentinel::start().await.unwrap();
    let mut nodes = started(3, &options(sentinel.url())).await;
    sentinel.fail_over().await.unwrap();
    all_recover(&mut nodes).await;
    assert!(sentinel.servers[1].calls("evalsha").await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_can_be_encrypted() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    make_certificate(Path::new(&certificate), Path::new(&key));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ])
    .await
    .unwrap();
    let trusting =
        RedisOptions { ca_file: Some(certificate.into()), ..options(format!("rediss://127.0.0.1:{port}")) };
    let mut nodes = started(2, &trusting).await;
    let (one, two) = nodes.split_at_mut(1);
    one[0].is_reached_by(&two[0]).await;

    // A node that does not trust the certificate cannot connect.
    let other = path("other.pem");
    make_certificate(Path::new(&other), Path::new(&path("other-key.pem")));
    let mistrusting = RedisOptions { ca_file: Some(other.into()), ..trusting.clone() };
    let node = Redis::connect(node_id(), mistrusting).await.unwrap();
    assert_eq!(*node.health().borrow(), Health::Away);

    let missing = RedisOptions { ca_file: Some(path("missing.pem").into()), ..trusting };
    assert!(matches!(Redis::connect(node_id(), missing).await, Err(ConnectError::Tls(_))));
}

fn make_certificate(certificate: &Path, key: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A wrong password is retried, since it may be corrected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_and_a_password_are_used() {
    let server = RedisServer::start().await.unwrap();
    server.command(&["ACL", "SETUSER", "chat", "on", ">old", "~*", "&*", "+@all"]).await.unwrap();
    let options = options(format!("redis://chat:new@{}", server.address()));
    let mut node = Node::start(&options).await;
    assert_eq!(node.health(), Health::Away);
    server.command(&["ACL", "SETUSER", "chat", ">new"]).await.unwrap();
    node.says(Notice::Missed).await;
    let other = Node::start(&options).await;
    node.is_reached_by(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_another_layout_cannot_start() {
    let server = RedisServer::start().await.unwrap();
    let first = RedisOptions { buckets: 100, ..options(server.url()) };
    let _first = Node::start(&first).await;
    let wanted = |buckets, shards| format!("v1 buckets={buckets} shards={shards}");
    for (buckets, shards) in [(100, 2), (101, 1)] {
        let other = RedisOptions { buckets, shards: Some(shards), ..options(server.url()) };
        let refused = Redis::connect(node_id(), other).await.unwrap_err();
        assert_eq!(refused, ConnectError::Layout { wanted: wanted(buckets, shards), found: wanted(100, 1) });
    }
    // With another prefix, they may run next to the others.
    let beside = RedisOptions { buckets: 101, prefix: "other:".into(), ..options(server.url()) };
    assert_eq!(Node::start(&beside).await.health(), Health::Connected);
}

fn stranger(different: Difference) -> ConnectError {
    let lease = options(String::new()).lease;
    ConnectError::Stranger { prefix: "parlance:".into(), different: vec![different], lease }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_another_store_or_key_cannot_start_next_to_others() {
    let server = RedisServer::start().await.unwrap();
    let keys = |names: &[&str]| -> Option<TokenKeys> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Some(Arc::new(move || names.clone()))
    };
    let own = RedisOptions { token_keys: keys(&["key"]), ..options(server.url()) };
    let other_key = RedisOptions { token_keys: keys(&["another"]), ..own.clone() };
    let other_store = RedisOptions { fleet: FleetTag::of("another", "parlance:"), ..own.clone() };
    let mut first = Node::start(&own).await;
    let _second = Node::start(&own).await;
    let refused = async |options: &RedisOptions, expected| {
        let connecting = Redis::connect(node_id(), options.clone());
        assert_eq!(connecting.await.unwrap_err(), stranger(expected));
    };
    tokio::join!(refused(&other_key, Difference::SigningKey), refused(&other_store, Difference::Store));
    // A wiped Redis belongs to the fleet again.
    server.command(&["FLUSHALL"]).await.unwrap();
    first.says(Notice::Missed).await;
    refused(&other_store, Difference::Store).await;
    assert_eq!(Node::start(&own).await.health(), Health::Connected);
}

/// Each node reports the keys that it has had since its start, so that keys can be changed while nodes run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_have_one_key_in_common_form_a_fleet() {
    let server = RedisServer::start().await.unwrap();
    let changing = Arc::new(Mutex::new(vec!["old".to_owned()]));
    let with = |token_keys: TokenKeys| RedisOptions { token_keys: Some(token_keys), ..options(server.url()) };
    let of = |names: &[&str]| -> TokenKeys {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Arc::new(move || names.clone())
    };
    let read = changing.clone();
    let first = Node::start(&with(Arc::new(move || read.lock().unwrap().clone()))).await;
    let refused = async || {
        let error = Redis::connect(node_id(), with(of(&["new"]))).await.unwrap_err();
        assert_eq!(error, stranger(Difference::SigningKey));
    };
    refused().await;
    changing.lock().unwrap().push("new".to_owned());
    until("the change is recorded", async || {
        let record = server.command(&["HGET", "parlance:fleet{parlance:nodes}", "token-keys"]).await.unwrap();
        record.contains("old,new")
    })
    .await;
    let second = Node::start(&with(of(&["new"]))).await;
    let third = Node::start(&with(of(&["newest", "new"]))).await;
    for node in [&first, &second, &third] {
        assert_eq!(node.health(), Health::Connected);
    }
}

/// With or without a clean shutdown: its successor need not delete anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_fleet_is_replaced() {
    let server = RedisServer::start().await.unwrap();
    let fleet = |store: &str| RedisOptions {
        fleet: FleetTag::of(store, "parlance:"),
        buckets: 256 + store.len() as u32,
        ..options(server.url())
    };
    let first = Node::start(&fleet("a")).await;
    first.registry.close().await;
    let second = Node::start(&fleet("bb")).await;
    assert_eq!(second.health(), Health::Connected);
    // Killed: its lease expires.
    drop(second);
    let third = Node::start(&fleet("ccc")).await;
    assert_eq!(third.health(), Health::Connected);
    let record = server.command(&["HGETALL", "parlance:fleet{parlance:nodes}"]).await.unwrap();
    assert!(record.contains("buckets=259"), "{record}");
    assert_eq!(server.command(&["GET", "parlance:layout"]).await.unwrap(), "v1 buckets=259 shards=1");
}

/// Nodes of earlier versions hold leases, and have recorded only the layout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_earlier_versions_are_joined() {
    let server = Arc::new(RedisServer::start().await.unwrap());
    let (renewing, lease) = (server.clone(), options(server.url()).lease);
    let renew = async move || {
        let ends = SystemClock.now().0 + lease.as_millis() as u64;
        renewing.command(&["ZADD", "parlance:nodes", &ends.to_string(), "earlier"]).await.unwrap();
    };
    renew().await;
    let mut earlier = JoinSet::new();
    earlier.spawn(async move {
        loop {
            renew().await;
            tokio::time::sleep(lease / 20).await;
        }
    });
    server.command(&["SET", "parlance:layout", "v1 buckets=256 shards=1"]).await.unwrap();
    let elsewhere = RedisOptions { buckets: 100, ..options(server.url()) };
    let refused = Redis::connect(node_id(), elsewhere).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Layout { .. }), "{refused}");
    let first = Node::start(&options(server.url())).await;
    assert_eq!(first.registry.nodes().len(), 2);
    assert_eq!(Node::start(&options(server.url())).await.health(), Health::Connected);
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let url = || "redis://127.0.0.1:1".to_owned();
    let wrong = [
        RedisOptions { url: "http//nowhere".into(), ..options(url()) },
        RedisOptions { prefix: "a{b}".into(), ..options(url()) },
        RedisOptions { buckets: 0, ..options(url()) },
        RedisOptions { shards: Some(0), ..options(url()) },
        RedisOptions { lease: options(url()).unheard, ..options(url()) },
    ];
    for options in wrong {
        let refused = Redis::connect(node_id(), options.clone()).await;
        assert!(refused.is_err(), "{options:?}");
    }
}
