//! Load, and its cost in Redis.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{StreamExt, iter};
use parlance_faults::redis::RedisServer;
use parlance_registry::{Notice, RedisOptions, Registry, To};

use crate::fixture::{Node, nodes, options, started};
use crate::support::{DEADLINE, notice, payload, room, taken, to_room, until, users};

/// No message of a burst is lost silently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_arrives() {
    let server = RedisServer::start().await.unwrap();
    // Long enough for any machine: a node that considers Redis lost would not publish.
    let (command_timeout, unheard, lease) = (Duration::from_secs(20), Duration::from_secs(20), DEADLINE);
    let mut nodes =
        started(2, &RedisOptions { command_timeout, unheard, lease, ..options(server.url()) }).await;
    let (sender, receiver) = nodes.split_at_mut(1);
    let payloads = (0..25_000_u32).map(|number| Bytes::from(number.to_be_bytes().to_vec()));
    let told = payloads.map(|payload| sender[0].registry.send_to(receiver[0].registry.node(), payload));
    iter(told).buffered(2_000).for_each(async |told| told.unwrap()).await;

    let last = payload();
    sender[0].registry.send_to(receiver[0].id(), last.clone()).await.unwrap();
    let (mut numbers, mut missed) = (Vec::new(), false);
    loop {
        match receiver[0].notices.recv().await.unwrap() {
            Notice::Payload(payload) if payload == last => break,
            Notice::Payload(payload) => {
                numbers.push(u32::from_be_bytes(payload.as_ref().try_into().unwrap()))
            }
            Notice::Missed => missed = true,
            notice => panic!("{notice:?}"),
        }
    }
    assert!(numbers.is_sorted());
    assert!(missed || numbers.len() == 25_000, "{} of 25,000 and not a word", numbers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_notices_are_reported_as_missed() {
    let server = RedisServer::start().await.unwrap();
    let sender = Node::start(&options(server.url())).await;
    let mut slow = Node::start(&RedisOptions { waiting_notices: 100, ..options(server.url()) }).await;
    for told in join_all((0..1_000).map(|_| sender.registry.send_to(slow.id(), payload()))).await {
        told.unwrap();
    }
    until("they have arrived", async || slow.notices.len() == 100).await;
    // A later message has arrived, and all those before it.
    slow.registry.follow(&room()).await.unwrap();
    assert_eq!(slow.notices.len(), 100);
    // The rest may still be in transit through the process, and refill the queue as it is drained.
    for _ in 0..100 {
        assert!(matches!(slow.notices.try_recv(), Ok(Notice::Payload(_))));
    }
    slow.says(Notice::Missed).await;
    let (id, last) = (slow.id().clone(), payload());
    until("what comes is taken again", async || {
        sender.registry.send_to(&id, last.clone()).await.unwrap();
        taken(&mut slow.notices).contains(&Notice::Payload(last.clone()))
    })
    .await;
    slow.is_reached_by(&sender).await;
}

/// One lookup, and one message per node with a user, whatever their number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_costs_one_lookup_and_one_message_for_each_node() {
    let server = RedisServer::start().await.unwrap();
    // Without heartbeats meanwhile.
    let (heartbeat, unheard, lease) =
        (Duration::from_secs(300), Duration::from_secs(600), Duration::from_secs(900));
    let nodes = nodes(4, &RedisOptions { heartbeat, unheard, lease, ..options(server.url()) }).await;
    let (sender, room) = (&nodes[0], room());
    let members = users(250);
    let homes = members.iter().enumerate().map(|(at, user)| nodes[at % 4].connect(user));
    for opened in join_all(homes).await {
        opened.unwrap();
    }
    for node in &nodes {
        node.follow(&room).await.unwrap();
    }
    // Each node has sent one heartbeat on startup, and one as the first of many.
    until("all have started", async || server.calls("publish").await.unwrap() >= 8).await;

    let cost = async |to: To<'_>| {
        let counts =
            async || (server.calls("evalsha").await.unwrap(), server.calls("publish").await.unwrap());
        let before = counts().await;
        sender.publish(to, payload()).await.unwrap();
        let after = counts().await;
        (after.0 - before.0, after.1 - before.1)
    };
    let of = |users| To { users, room: None };
    // Lookups, messages.
    assert_eq!(cost(of(&members[..1])).await, (1, 0), "only this node has them");
    assert_eq!(cost(of(&members[..2])).await, (1, 1));
    assert_eq!(cost(of(&members[..50])).await, (1, 3));
    assert_eq!(cost(of(&members)).await, (1, 3));
    assert_eq!(cost(to_room(&room)).await, (0, 1));
    assert_eq!(cost(To { users: &members[..50], room: Some(&room) }).await, (1, 4));
}

/// Ten thousand sessions opened at once do not cost ten thousand commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_are_registered_together() {
    let server = RedisServer::start().await.unwrap();
    let (command_timeout, unheard, lease) = (Duration::from_secs(20), Duration::from_secs(20), DEADLINE);
    let patient = RedisOptions { command_timeout, unheard, lease, ..options(server.url()) };
    let node = &nodes(1, &patient).await[0];
    let users = users(10_000);
    let before = server.calls("evalsha").await.unwrap();
    for opened in join_all(users.iter().map(|user| node.connect(user))).await {
        assert!(opened.unwrap());
    }
    let commands = server.calls("evalsha").await.unwrap() - before;
    assert!(commands < 100, "{commands} commands");
    assert_eq!(node.online(&users).await.unwrap(), vec![true; 10_000]);
}

/// Sessions are opened and closed on three nodes while Redis is wiped and recovers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_sessions_through_a_wipe_ends_in_the_right_state() {
    let server = RedisServer::start().await.unwrap();
    let nodes = started(3, &options(server.url())).await;
    let users = users(60);
    let storm = users.iter().enumerate().flat_map(|(at, user)| {
        let nodes = &nodes;
        (0..30).map(move |session| async move {
            let registry = &nodes[session % 3].registry;
            // Sessions are counted even while Redis is unavailable.
            let _ = registry.connect(user).await;
            if session > 0 || at % 2 == 0 {
                let _ = registry.disconnect(user).await;
            }
        })
    });
    let wipes = async {
        for _ in 0..3 {
            server.flushall().await.unwrap();
        }
    };
    tokio::join!(iter(storm).buffer_unordered(50).collect::<Vec<()>>(), wipes);
    let wanted: Vec<bool> = (0..60).map(|at| at % 2 == 1).collect();
    until("everybody is seen as they are", async || {
        nodes[2].registry.online(&users).await.is_ok_and(|online| online == wanted)
    })
    .await;
    let mut last = nodes;
    for node in &mut last {
        notice(&mut node.notices, &Notice::Missed).await;
    }
}
