//! Failures of single nodes.

use std::time::Duration;

use tokio::time::Instant;

use parlance_core::UserId;
use parlance_faults::TcpProxy;
use parlance_faults::redis::RedisServer;
use parlance_registry::{Health, Notice, RedisOptions, Registry, RegistryError, To};

use crate::fixture::{Node, options, started};
use crate::metrics::recoveries;
use crate::support::{payload, taken, user, users};
use crate::trouble::{kept, through};

/// A network partition of one node, for longer than its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_node_is_cut_off() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    let mut others = started(2, &options(server.url())).await;
    let mut alone = through(&proxy).await;
    others[0].sees(&alone, true).await;
    proxy.blackhole();
    alone.becomes(Health::Away).await;
    assert_eq!(alone.registry.online(&[user()]).await, Err(RegistryError::Unavailable));
    let lost = Notice::NodeLost(alone.id().clone());
    for other in &mut others {
        other.says(lost.clone()).await;
        assert!(!other.registry.nodes().contains(alone.id()));
        other.sees(&alone, false).await;
        assert_eq!(other.health(), Health::Connected);
    }
    assert!(recoveries("unheard") >= 1);
    proxy.pass();
    alone.says(Notice::Missed).await;
    alone.is_reached_by(&others[0]).await;
    others[1].is_reached_by(&alone).await;
    for other in &mut others {
        crate::support::until("it is known again", async || other.registry.nodes().contains(alone.id()))
            .await;
        assert!(!taken(&mut other.notices).contains(&lost), "lost once");
    }
}

/// It returns while others are still cleaning up after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_keeps_its_users() {
    let server = RedisServer::start().await.unwrap();
    let proxy = TcpProxy::start(server.address()).await.unwrap();
    // Enough buckets for the cleanup to take some seconds.
    let many = |url| RedisOptions { buckets: 32_768, ..options(url) };
    let mut other = Node::start(&many(server.url())).await;
    let mut back = Node::start(&many(format!("redis://{}", proxy.address()))).await;
    let others = users(1_000);
    for opened in futures::future::join_all(others.iter().map(|user| back.registry.connect(user))).await {
        opened.unwrap();
    }
    proxy.blackhole();
    other.says(Notice::NodeLost(back.id().clone())).await;
    let sweep = format!("parlance:sweep:{}", back.id());
    crate::support::until("somebody clears up", async || {
        server.command(&["GET", &sweep]).await.is_ok_and(|by| by == other.id().as_str())
    })
    .await;
    proxy.pass();
    back.says(Notice::Missed).await;
    back.says(Notice::Swept).await;
    crate::support::until("it is cleared up", async || {
        let leases = server.command(&["ZRANGE", "parlance:nodes", "0", "-1"]).await.unwrap();
        !leases.lines().any(|lease| lease == back.id().as_str())
    })
    .await;
    let online = other.registry.online(&others).await.unwrap();
    assert_eq!(online.iter().filter(|online| **online).count(), 1_000);
    assert_eq!(kept(&server).await, 1_002);
    back.is_reached_by(&other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed() {
    let server = RedisServer::start().await.unwrap();
    let options = options(server.url());
    let mut nodes = started(3, &options).await;
    let dead = nodes.pop().unwrap();
    let (id, ghost) = (dead.id().clone(), dead.user.clone());
    let many = users(500);
    for opened in futures::future::join_all(many.iter().map(|user| dead.registry.connect(user))).await {
        opened.unwrap();
    }
    // Some are on another node, too.
    for user in &many[..100] {
        nodes[0].registry.connect(user).await.unwrap();
    }
    // Dropped without being closed: no clean shutdown.
    drop(dead);
    let killed = Instant::now();
    let (sender, receiver) = nodes.split_at_mut(1);
    let (sender, receiver) = (&sender[0], &mut receiver[0]);
    let mut sent = Vec::new();
    while sender.registry.online(std::slice::from_ref(&ghost)).await.unwrap()[0] {
        assert!(killed.elapsed() < options.lease + Duration::from_secs(2), "online after its lease");
        let payload = payload();
        let to = [ghost.clone(), receiver.user.clone()];
        sender.registry.publish(To { users: &to, room: None }, payload.clone()).await.unwrap();
        sent.push(payload);
    }
    // Other deliveries continue, with the loss of the node reported in between.
    let (mut lost, mut gone) = (0, Vec::new());
    for payload in sent {
        let next = loop {
            match receiver.notices.recv().await {
                Some(Notice::NodeLost(node)) if node == id => lost += 1,
                Some(Notice::UsersGone(users)) => gone.extend(users),
                next => break next,
            }
        };
        assert_eq!(next, Some(Notice::Payload(payload)));
    }
    if lost == 0 {
        receiver.says(Notice::NodeLost(id)).await;
    }
    // Everything it left is cleaned up; the users of the two others stay.
    crate::support::until("it is cleared up", async || kept(&server).await == 102).await;
    let online = sender.registry.online(&many).await.unwrap();
    assert!(online.iter().enumerate().all(|(at, online)| *online == (at < 100)));
    // Users who are on no other node are reported, each to one of the two.
    let mut expected: Vec<UserId> = many[100..].iter().chain([&ghost]).cloned().collect();
    crate::support::until("all who are gone are reported", async || {
        for node in &mut nodes {
            for notice in taken(&mut node.notices) {
                if let Notice::UsersGone(users) = notice {
                    gone.extend(users);
                }
            }
        }
        gone.len() >= expected.len()
    })
    .await;
    gone.sort();
    expected.sort();
    assert_eq!(gone, expected);
}

/// A node does not run for a while, as after SIGSTOP or in a migrated machine; its connections survive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_is_paused() {
    let server = RedisServer::start().await.unwrap();
    // The lease survives as well.
    let options = RedisOptions { lease: Duration::from_secs(60), ..options(server.url()) };
    let other = Node::start(&options).await;
    let (node, mut still) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, stop) = std::sync::mpsc::channel::<()>();
    let of_node = options.clone();
    let machine = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut paused = Node::start(&of_node).await;
            node.send(paused.health()).unwrap();
            // The only thread of this runtime blocks, and with it everything that runs on it.
            stop.recv_timeout(of_node.unheard * 2 + of_node.command_timeout + of_node.heartbeat).unwrap_err();
            paused.says(Notice::Missed).await;
            paused.is_reached_by(&other).await;
            (paused, other)
        })
    });
    assert_eq!(still.recv().await, Some(Health::Connected));
    let (paused, other) = tokio::task::spawn_blocking(move || machine.join().unwrap()).await.unwrap();
    drop((paused, other, go_on));
    assert!(recoveries("paused") >= 1);
}
