//! A fleet of several nodes: users on different nodes, and nodes that start and
//! stop.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeSet;

use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Message, Session, Update, Updates};
use parlance_proto::v1::event::Body;
use parlance_proto::v1::{Event, GetUserRequest};
use parlance_tests::{Cluster, Person, text_of, within};
use tokio::task::JoinSet;
/// A new user.
pub(super) async fn person(cluster: &Cluster, node: usize, id: &str) -> Person {
    let person = cluster.person(node, id);
    person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    person
}

/// A session as used by apps: it reconnects to other nodes on its own.
pub(super) fn session(cluster: &Cluster, user: &str, nodes: &[usize]) -> (Session, Updates) {
    let dialers: Vec<_> =
        nodes.iter().map(|node| Dialer::new(Door::Grpc, cluster.nodes[*node].address())).collect();
    let config = Config::new(dialers[0].clone(), cluster.token(user));
    Session::start(Config { dialers, ..config })
}

/// Waits until a session is open, and returns its node.
pub(super) async fn connected(updates: &mut Updates) -> String {
    loop {
        if let Update::Connected(welcome) = within("a session opens", updates.recv()).await.unwrap() {
            return welcome.node_id;
        }
    }
}

pub(super) fn is_message(event: &Event) -> bool {
    matches!(event.body, Some(Body::Message(_)))
}

#[tokio::test]
async fn member_added_on_one_node_is_notified_on_another() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.channel().await;
    alice.say(&room, "before bob").await;
    let mut at_bob = bob.connect(Door::WebSocketJson).await;
    let added = alice.add(&room, &bob).await;
    let after = alice.say(&room, "after").await;
    let events = at_bob.events_up_to(&room, after).await;
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [added, after]);
    // The removal is delivered, and nothing after it.
    let removed = alice.remove(&room, &bob).await;
    assert_eq!(at_bob.event().await.seq, removed);
    alice.say(&room, "without bob").await;
    let again = alice.add(&room, &bob).await;
    let next = at_bob.item().await;
    let parlance_tests::Item::Gap(gap) = next else { panic!("{next:?}") };
    assert_eq!((gap.from_seq, gap.to_seq), (removed + 1, again - 1));
    assert_eq!(at_bob.event().await.seq, again);
}

#[tokio::test]
async fn client_of_killed_node_resumes() {
    let mut cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let (from_alice, _updates) = session(&cluster, "alice", &[0, 1]);
    let (_bob, mut at_bob) = session(&cluster, "bob", &[1, 0]);
    let before = connected(&mut at_bob).await;
    let mut expected = Vec::new();
    for number in 0..30 {
        if number == 10 {
            cluster.kill(1).await;
        }
        let text = format!("number {number}");
        from_alice.send_message(Message::to_room(&room, &text)).await.unwrap();
        expected.push(text);
    }
    let (mut got, mut nodes) = (Vec::new(), vec![before]);
    while got.len() < expected.len() {
        match within("a message comes", at_bob.recv()).await.unwrap() {
            Update::Event(event) if is_message(&event) => got.push(text_of(&event).to_owned()),
            Update::Connected(welcome) => nodes.push(welcome.node_id),
            Update::Violation(violation) => panic!("{violation:?}"),
            _ => {}
        }
    }
    assert_eq!(got, expected);
    nodes.dedup();
    assert_eq!(nodes.len(), 2, "on another node");
}

#[tokio::test]
async fn rolling_restart_under_load_is_invisible() {
    let mut cluster = Cluster::start(3).await;
    let people = ["alice", "bob", "carol"];
    let alice = person(&cluster, 0, people[0]).await;
    let others = [person(&cluster, 1, people[1]).await, person(&cluster, 2, people[2]).await];
    let room = alice.group(&[&others[0], &others[1]]).await;
    let stop = stop_sign();
    let (mut senders, mut listeners) = (JoinSet::new(), Vec::new());
    for (at, user) in people.into_iter().enumerate() {
        let (session, mut updates) = session(&cluster, user, &[at, (at + 1) % 3, (at + 2) % 3]);
        connected(&mut updates).await;
        let (room, mut stopped) = (room.clone(), stop.subscribe());
        listeners.push(updates);
        senders.spawn(async move {
            let mut sent = Vec::new();
            while !*stopped.borrow_and_update() {
                let text = format!("{user} {}", sent.len());
                // The client only returns permanent errors here.
                session.send_message(Message::to_room(&room, &text)).await.unwrap();
                sent.push(text);
            }
            (session, sent)
        });
    }
    let readers: Vec<_> = listeners
        .into_iter()
        .map(|mut updates| {
            tokio::spawn(async move {
                let mut got = Vec::new();
                while let Some(update) = updates.recv().await {
                    match update {
                        Update::Event(event) if is_message(&event) => {
                            got.push(text_of(&event).to_owned());
                            if text_of(&event) == "the end" {
                                break;
                            }
                        }
                        Update::Violation(violation) => panic!("{violation:?}"),
                        _ => {}
                    }
                }
                got
            })
        })
        .collect();
    cluster.rolling_restart().await;
    stop.send_replace(true);
    let mut sent = BTreeSet::new();
    let mut sessions = Vec::new();
    while let Some(sender) = senders.join_next().await {
        let (session, texts) = sender.unwrap();
        sent.extend(texts);
        sessions.push(session);
    }
    // The last message of all.
    let last = sessions[0].send_message(Message::to_room(&room, "the end")).await.unwrap();
    sent.insert("the end".to_owned());
    let log = alice.log(&room).await;
    let stored: Vec<_> =
        log.iter().filter(|event| is_message(event)).map(|event| text_of(event).to_owned()).collect();
    assert_eq!(log.last().unwrap().seq, last.seq);
    assert_eq!(stored.len(), sent.len(), "nothing twice");
    assert_eq!(stored.iter().cloned().collect::<BTreeSet<_>>(), sent);
    for reader in readers {
        let got = within("the last word comes", reader).await.unwrap();
        assert_eq!(got, stored, "in order, once, without a hole");
    }
}

/// Tells tasks to stop.
fn stop_sign() -> tokio::sync::watch::Sender<bool> {
    tokio::sync::watch::Sender::new(false)
}

#[tokio::test]
async fn a_wiped_and_a_restarted_redis_lose_nothing() {
    let mut cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    let mut last = alice.say(&room, "before").await;
    at_bob.events_up_to(&room, last).await;
    cluster.redis.flushall().await.unwrap();
    // Nobody is registered now, and the nodes do not know yet.
    last = alice.say(&room, "after the wipe").await.max(last);
    at_bob.events_up_to(&room, last).await;
    cluster.redis.kill().await.unwrap();
    for number in 0..5 {
        last = alice.say(&room, &format!("without redis {number}")).await;
    }
    // From the store, while the registry is away.
    at_bob.events_up_to(&room, last).await;
    let carol = person(&cluster, 1, "carol").await;
    let mut at_carol = carol.connect(Door::Grpc).await;
    alice.add(&room, &carol).await;
    last = alice.say(&room, "carol is new").await;
    at_carol.events_up_to(&room, last).await;
    cluster.redis.restart().await.unwrap();
    last = alice.say(&room, "with redis").await;
    at_carol.events_up_to(&room, last).await;
    at_bob.events_up_to(&room, last).await;
}
