//! Failures of Redis and of the network.

use std::time::Duration;

use tokio::time::Instant;

use parlance_faults::TcpProxy;
use parlance_faults::redis::RedisServer;
use parlance_registry::{Health, Notice, Rates, RedisOptions, Registry, RegistryError};
use parlance_runtime::rate::Rate;

use crate::fixture::{Node, all_recover, options, started};
use crate::metrics::{commands, connected, recoveries};
use crate::support::{DEADLINE, payload, room, taken, to_room, to_user, user, users};

/// Counts the users stored in Redis, on any node.
const USERS: &str = "local n = 0 \
    for _, key in ipairs(redis.call('KEYS', '*u:{*')) do n = n + redis.call('HLEN', key) end return n";

pub(crate) async fn through(proxy: &TcpProxy) -> Node {
    Node::start(&options(format!("redis://{}", proxy.address()))).await
}

pub(crate) async fn kept(server: &RedisServer) -> u64 {
    server.command(&["EVAL", USERS, "0"]).await.unwrap().parse().unwrap()
}

/// Connections, subscriptions and heartbeats stay healthy: only the lease reveals it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_wiped() {
    let server = RedisServer::start().await.unwrap();
    let mut nodes = started(3, &options(server.url())).await;
    let others = users(2_000);
    for opened in futures::future::join_all(others.iter().map(|user| nodes[1].registry.connect(user))).await {
        opened.unwrap();
    }
    server.flushall().await.unwrap();
    assert_eq!(kept(&server).await, 0);
    all_recover(&mut nodes).await;
    assert_eq!(nodes[0].registry.online(&others).await.unwrap(), vec![true; 2_000]);
    assert!(recoveries("lease") >= 3);
}

/// Nobody cleans up after a node whose lease was wiped as well: its users were never reported as
/// offline, and need not be announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wipe_sweeps_nobody() {
    let server = RedisServer::start().await.unwrap();
    let mut nodes = started(3, &options(server.url())).await;
    server.flushall().await.unwrap();
    let mut seen = Vec::new();
    for node in &mut nodes {
        while seen.last() != Some(&Notice::Missed) {
            seen.push(tokio::time::timeout(DEADLINE, node.notices.recv()).await.unwrap().unwrap());
        }
        seen.push(Notice::UsersGone(Vec::new()));
    }
    for node in &mut nodes {
        node.becomes(Health::Connected).await;
        seen.extend(taken(&mut node.notices));
    }
    assert!(!seen.contains(&Notice::Swept), "{seen:?}");
}

/// Values of another type occupy the keys of users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_type_do_not_prevent_registration() {
    const SPOIL: &str =
        "for _, key in ipairs(redis.call('KEYS', '*u:{*')) do redis.call('SET', key, 'x') end";
    let server = RedisServer::start().await.unwrap();
    let nodes = started(2, &RedisOptions { refresh: DEADLINE, ..options(server.url()) }).await;
    // Several of those buckets are used by new users, and by the two existing ones.
    let before = users(2_000);
    for opened in futures::future::join_all(before.iter().map(|user| nodes[0].registry.connect(user))).await {
        opened.unwrap();
    }
    server.command(&["EVAL", SPOIL, "0"]).await.unwrap();
    let (came, payload) = (user(), payload());
    nodes[0].registry.publish(to_user(&came), payload).await.unwrap();
    assert_eq!(nodes[1].registry.connect(&came).await, Ok(true));
    assert_eq!(nodes[0].registry.online(&[came]).await, Ok(vec![true]));
    for node in &nodes {
        assert_eq!(node.health(), Health::Connected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eviction_policy_causes_a_warning() {
    let server = RedisServer::start().await.unwrap();
    for setting in [["maxmemory", "100mb"], ["maxmemory-policy", "allkeys-lru"]] {
        server.command(&[&["CONFIG", "SET"], &setting[..]].concat()).await.unwrap();
    }
    let node = Node::start(&options(server.url())).await;
    let mut warning = node.registry.warning();
    let warned =
        warning.wait_for(|warning| warning.as_ref().is_some_and(|text| text.contains("allkeys-lru")));
    assert!(tokio::time::timeout(DEADLINE, warned).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_restarted() {
    let mut server = RedisServer::start().await.unwrap();
    let mut nodes = started(3, &options(server.url())).await;
    let room = room();
    nodes[2].registry.follow(&room).await.unwrap();
    server.kill().await.unwrap();
    for node in &nodes {
        node.becomes(Health::Away).await;
    }
    // Changes meanwhile are counted, and sent to Redis later.
    let (came, went) = (user(), nodes[1].user.clone());
    assert_eq!(nodes[0].registry.connect(&came).await, Err(RegistryError::Unavailable));
    assert_eq!(nodes[1].registry.disconnect(&went).await, Err(RegistryError::Unavailable));
    nodes[1].user = user();
    let _ = nodes[1].registry.connect(&nodes[1].user).await;
    let other_room = crate::support::room();
    assert_eq!(nodes[2].registry.follow(&other_room).await, Err(RegistryError::Unavailable));

    server.restart().await.unwrap();
    all_recover(&mut nodes).await;
    assert_eq!(nodes[2].registry.online(&[came, went]).await, Ok(vec![true, false]));
    for room in [room, other_room] {
        let payload = payload();
        nodes[0].registry.publish(to_room(&room), payload.clone()).await.unwrap();
        nodes[2].says(Notice::Payload(payload)).await;
    }
}

/// Whoever limits must know at once that it does so alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_are_not_waited_for_without_redis() {
    let mut server = RedisServer::start().await.unwrap();
    let options = options(server.url());
    let node = Node::start(&options).await;
    let rate = Rate::every(DEADLINE, 2);
    assert_eq!(node.registry.take("limit:alice", 1, rate).await, Ok(Ok(())));
    // Somebody else's value limits nobody, and neither does a clock that was ahead.
    server.command(&["DEL", "parlance:rate:limit:alice"]).await.unwrap();
    server.command(&["LPUSH", "parlance:rate:limit:alice", "x"]).await.unwrap();
    assert_eq!(node.registry.take("limit:alice", 1, rate).await, Ok(Ok(())));
    server.command(&["SET", "parlance:rate:limit:alice", "99999999999999999"]).await.unwrap();
    let wait = node.registry.take("limit:alice", 1, rate).await.unwrap().unwrap_err();
    assert!(wait <= DEADLINE * 2, "{wait:?}");
    let begun = Instant::now();
    server.pause().await.unwrap();
    assert_eq!(node.registry.take("limit:alice", 1, rate).await, Err(RegistryError::Unavailable));
    assert!(begun.elapsed() < options.command_timeout * 3, "took {:?}", begun.elapsed());
    server.resume().await.unwrap();
    server.kill().await.unwrap();
    node.becomes(Health::Away).await;
    assert_eq!(node.registry.take("limit:alice", 1, rate).await, Err(RegistryError::Unavailable));
    server.restart().await.unwrap();
    node.becomes(Health::Connected).await;
    assert_eq!(node.registry.take("limit:alice", 1, rate).await, Ok(Ok(())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_pauses_longer_than_the_lease() {
    let server = RedisServer::start().await.unwrap();
    let options = options(server.url());
    let mut nodes = started(2, &options).await;
    server.pause().await.unwrap();
    let stopped = Instant::now();
    let sender = &nodes[0].registry;
    assert_eq!(sender.publish(to_user(&nodes[1].user), payload()).await, Err(RegistryError::Unavailable));
    assert!(stopped.elapsed() < options.command_timeout * 3, "took {:?}", stopped.elapsed());
    for node in &nodes {
        node.becomes(Health::Away).await;
    }
    let asked = Instant::now();
    assert_eq!(sender.publish(to_user(&nodes[1].user), payload()).await, Err(RegistryError::Unavailable));
    assert!(asked.elapsed() < Duration::from_millis(100), "while away nothing is waited for");
    tokio::time::sleep_until(stopped + options.lease).await;
    server.resume().await.unwrap();
    all_recover(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_lost() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    let direct = Node::start(&options(server.url())).await;
    let mut cut = through(&proxy).await;
    for _ in 0..3 {
        proxy.cut();
        cut.says(Notice::Missed).await;
        cut.is_reached_by(&direct).await;
    }
    assert!(recoveries("connection") >= 3);
    proxy.refuse();
    cut.becomes(Health::Away).await;
    proxy.pass();
    cut.says(Notice::Missed).await;
    cut.is_reached_by(&direct).await;
}

/// A distant node reports that it is subscribed only after Redis has confirmed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_registration_is_in_place_despite_latency() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    let near = Node::start(&options(server.url())).await;
    let mut far = through(&proxy).await;
    proxy.delay(Duration::from_millis(100));
    let (room, user) = (room(), user());
    far.registry.follow(&room).await.unwrap();
    let published = payload();
    near.registry.publish(to_room(&room), published.clone()).await.unwrap();
    far.says(Notice::Payload(published)).await;
    assert!(far.registry.connect(&user).await.unwrap());
    let published = payload();
    near.registry.publish(to_user(&user), published.clone()).await.unwrap();
    far.says(Notice::Payload(published)).await;
}

/// Every command is answered, but later than messages may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_counts_as_away() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    let mut near = Node::start(&options(server.url())).await;
    let mut far = through(&proxy).await;
    near.sees(&far, true).await;
    proxy.delay(Duration::from_millis(400));
    far.becomes(Health::Away).await;
    near.says(Notice::NodeLost(far.id().clone())).await;
    assert!(recoveries("slow") >= 1);
    assert_eq!(far.health(), Health::Away, "while Redis is slow");
    proxy.delay(Duration::ZERO);
    far.says(Notice::Missed).await;
    far.is_reached_by(&near).await;
}

/// A registration whose caller stopped waiting leads to a comparison with the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_registration_is_missed() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    let patient = RedisOptions {
        unheard: Duration::from_secs(10),
        lease: Duration::from_secs(30),
        ..options(format!("redis://{}", proxy.address()))
    };
    let mut node = Node::start(&patient).await;
    proxy.delay(Duration::from_millis(400));
    let late = user();
    assert_eq!(node.registry.connect(&late).await, Err(RegistryError::Unavailable));
    node.says(Notice::Missed).await;
    proxy.delay(Duration::ZERO);
    assert_eq!(node.health(), Health::Connected);
    assert!(recoveries("registration") >= 1);
}

/// Deletes the registrations of all users, as an eviction may, and nothing else.
async fn forget_users(server: &RedisServer) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*u:{*')) do redis.call('DEL', key) end";
    server.command(&["EVAL", script, "0"]).await.unwrap();
}

/// Evicted or deleted, while everything else works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_registration_is_refreshed() {
    let server = RedisServer::start().await.unwrap();
    let options = RedisOptions { refresh: Duration::from_millis(200), ..options(server.url()) };
    let mut nodes = started(2, &options).await;
    forget_users(&server).await;
    all_recover(&mut nodes).await;
}

/// A new session finds that the previous one is no longer registered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_session_repairs_a_lost_registration() {
    let server = RedisServer::start().await.unwrap();
    let options = RedisOptions { refresh: Duration::from_secs(600), ..options(server.url()) };
    let mut nodes = started(2, &options).await;
    forget_users(&server).await;
    let user = nodes[0].user.clone();
    assert_eq!(nodes[0].registry.connect(&user).await, Ok(false));
    nodes[0].says(Notice::Missed).await;
    let (node, other) = nodes.split_at_mut(1);
    node[0].is_reached_by(&other[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_unavailable_at_startup() {
    let mut server = RedisServer::start().await.unwrap();
    server.kill().await.unwrap();
    let mut early = Node::start(&options(server.url())).await;
    assert_eq!(early.health(), Health::Away);
    assert!(!connected());
    assert_eq!(early.registry.send_to(early.id(), payload()).await, Err(RegistryError::Unavailable));
    server.restart().await.unwrap();
    early.says(Notice::Missed).await;
    assert!(connected());
    assert!(commands("change") >= 1 && commands("SUBSCRIBE") >= 1);
    let late = Node::start(&options(server.url())).await;
    early.is_reached_by(&late).await;
}
