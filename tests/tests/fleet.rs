//! What people on different nodes see of each other, whatever becomes of the nodes and of
//! what is between them.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Message, Request, Session, Update, Updates};
use parlance_faults::TcpProxy;
use parlance_faults::dynamodb::{self, ANY, Fault, Proxy};
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::signal::Signal;
use parlance_proto::v1::{
    AddMembersRequest, EditMessageRequest, Event, GetPresenceRequest, GetUserRequest, JoinRoomRequest,
    SendMessageRequest, SendTypingRequest,
};
use parlance_tests::{Cluster, Http, Launch, Person, Server, fresh, text_of, within};
use tokio::task::JoinSet;

/// Someone new, who is a user from now on.
async fn person(cluster: &Cluster, node: usize, id: &str) -> Person {
    let person = cluster.person(node, id);
    person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    person
}

/// A session as apps have it: it goes from node to node by itself.
fn session(cluster: &Cluster, user: &str, nodes: &[usize]) -> (Session, Updates) {
    let dialers: Vec<_> =
        nodes.iter().map(|node| Dialer::new(Door::Grpc, cluster.nodes[*node].address())).collect();
    let config = Config::new(dialers[0].clone(), cluster.token(user));
    Session::start(Config { dialers, ..config })
}

/// Waits until a session is open, and returns the node that it is on.
async fn connected(updates: &mut Updates) -> String {
    loop {
        if let Update::Connected(welcome) = within("a session opens", updates.recv()).await.unwrap() {
            return welcome.node_id;
        }
    }
}

fn is_message(event: &Event) -> bool {
    matches!(event.body, Some(Body::Message(_)))
}

/// Whoever loses a race for a room has to read before it tries again, and far from the store it
/// would lose all of them; the room's home, too, that others hand on to.
#[tokio::test]
async fn who_is_far_from_the_store_gets_through_where_another_writes() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.dynamodb.direct_endpoint();
    let store = store.trim_start_matches("http://").parse().unwrap();
    let way = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    way.plan().often(ANY, 1.0, Fault::Delay(Duration::from_millis(60)));
    let environment = dynamodb::environment(&way.endpoint());
    let far = Server::launch(Launch { environment, ..cluster.launch() }).await;
    cluster.nodes.push(far);
    cluster.ready(1).await;
    let (near, far) = (person(&cluster, 0, "near").await, person(&cluster, 1, "far").await);
    let (writing, _) = session(&cluster, "near", &[0]);
    let (trying, _) = session(&cluster, "far", &[1]);
    let mut writers = JoinSet::new();
    let mut rooms = Vec::new();
    // Enough that each node is the home of one.
    for _ in 0..6 {
        let room = near.group(&[&far]).await;
        for _ in 0..2 {
            let (room, writing) = (room.clone(), writing.clone());
            writers.spawn(async move {
                while writing.send_message(Message::to_room(&room, "a lot")).await.is_ok() {}
            });
        }
        rooms.push(room);
    }
    let mut tries = JoinSet::new();
    for room in rooms {
        let trying = trying.clone();
        tries.spawn(async move {
            for number in 0..10 {
                let message = Message::to_room(&room, format!("try {number}"));
                within("it gets through", trying.send_message(message)).await.unwrap();
            }
        });
    }
    within("all get through", async {
        while let Some(tried) = tries.join_next().await {
            tried.unwrap();
        }
    })
    .await;
}

/// Operations of every kind that change a room, as someone sends them who waits for no answer.
fn mixed(room: &str, number: u64) -> Operation {
    let (room_id, request_id) = (room.to_owned(), fresh("mixed"));
    let message = Person::message(room, &format!("number {number}"));
    match number % 5 {
        0 => EditMessageRequest {
            room_id,
            seq: 5,
            text: format!("edit {number}"),
            request_id,
            after_seq: None,
        }
        .into_operation(),
        2 => SendMessageRequest { reply_to_seq: 5, ..message }.into_operation(),
        _ => message.into_operation(),
    }
}

/// Sends go to the room's home while others of the same person's commands cannot.
#[tokio::test]
async fn pipelined_commands_keep_their_order_under_contention() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.dynamodb.direct_endpoint();
    let store = store.trim_start_matches("http://").parse().unwrap();
    let way = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    way.plan().often(ANY, 1.0, Fault::Delay(Duration::from_millis(10)));
    let environment = dynamodb::environment(&way.endpoint());
    cluster.nodes.push(Server::launch(Launch { environment, ..cluster.launch() }).await);
    cluster.ready(1).await;
    let people = [person(&cluster, 0, "near").await, person(&cluster, 1, "far").await];
    // Enough that each node is the home of one.
    let mut rooms = Vec::new();
    for _ in 0..4 {
        let room = people[0].group(&[&people[1]]).await;
        // Created, two members; then a message of each, which is edited.
        for person in &people {
            person.say(&room, "the first").await;
        }
        rooms.push(room);
    }
    let mut conversations = JoinSet::new();
    let any_forwarded = Arc::new(AtomicBool::new(false));
    for (at, person) in people.iter().enumerate() {
        for room in rooms.clone() {
            let mut conversation = person.connect(Door::Grpc).await;
            let any_forwarded = any_forwarded.clone();
            conversations.spawn(async move {
                let (mut seqs, mut failed, mut round) = (Vec::new(), 0, 0);
                // On a fast machine the two hardly meet in the first rounds.
                while round < 6 || !any_forwarded.load(Ordering::SeqCst) {
                    let mut ids = Vec::new();
                    for number in 0..40 {
                        let mut operation = mixed(&room, 40 * round + number);
                        if let Operation::EditMessage(edit) = &mut operation {
                            edit.seq = 4 + at as u64;
                        }
                        ids.push(conversation.send(operation).await);
                    }
                    for id in ids {
                        match conversation.reply(&id).await {
                            Ok(Answer::SendMessage(sent)) => seqs.push(sent.seq),
                            Ok(Answer::EditMessage(edited)) => seqs.push(edited.outcome.unwrap().seq),
                            Ok(other) => panic!("{other:?}"),
                            Err(failure) if failure.reason == "contention" => failed += 1,
                            Err(failure) => panic!("{failure:?}"),
                        }
                    }
                    round += 1;
                }
                assert!(failed < 10 * round, "{failed} of {} failed", 40 * round);
                assert!(seqs.is_sorted_by(|one, next| one < next), "of node {at}: {seqs:?}");
            });
        }
    }
    // Meanwhile a node takes over as the home of some rooms, and dies.
    let third = cluster.add().await;
    cluster.kill(third).await;
    cluster.nodes.truncate(third);
    within("a command is forwarded", async {
        while !forwards(&cluster).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    any_forwarded.store(true, Ordering::SeqCst);
    within("all are answered", async {
        while let Some(conversation) = conversations.join_next().await {
            conversation.unwrap();
        }
    })
    .await;
}

/// Whether a node has forwarded a command to another.
async fn forwards(cluster: &Cluster) -> bool {
    for node in &cluster.nodes {
        let page = Http::new(node.admin()).get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        if page.lines().any(|line| line.starts_with("parlance_sends_forwarded_total{")) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn whoever_is_added_on_one_node_hears_of_it_on_another() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.channel().await;
    alice.say(&room, "before bob").await;
    let mut at_bob = bob.connect(Door::WebSocketJson).await;
    let added = alice.add(&room, &bob).await;
    let after = alice.say(&room, "after").await;
    let events = at_bob.events_up_to(&room, after).await;
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [added, after]);
    // And of being removed, and of nothing after that.
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
async fn typing_receipts_and_presence_cross_nodes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let at_bob = bob.connect(Door::Grpc).await;
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob came") };
    assert!(presence.online && presence.user_id == "bob");
    bob.chat().send_typing(SendTypingRequest { room_id: room.clone() }).await.unwrap();
    let Signal::Typing(typing) = at_alice.signal().await else { panic!("bob types") };
    assert_eq!(typing.user_id, "bob");
    let seq = bob.say(&room, "hello").await;
    at_alice.events_up_to(&room, seq).await;
    bob.acknowledge(&room, seq).await;
    let Signal::Receipt(receipt) = at_alice.signal().await else { panic!("bob has it") };
    assert_eq!(receipt.delivered_seq, seq);
    let asked = GetPresenceRequest { user_ids: vec!["bob".to_owned(), "carol".to_owned()] };
    let online = alice.users().get_presence(asked).await.unwrap().into_inner().presences;
    assert_eq!(online.iter().map(|presence| presence.online).collect::<Vec<_>>(), [true, false]);
    drop(at_bob);
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob went") };
    assert!(!presence.online);
}

/// Bob goes on with a new session, here or on another node: for alice he was never away.
#[tokio::test]
async fn a_session_that_goes_on_within_seconds_signals_no_presence() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let nodes = [person(&cluster, 0, "bob").await, person(&cluster, 1, "bob").await];
    let room = alice.group(&[&nodes[0]]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let is_online = async || {
        let asked = GetPresenceRequest { user_ids: vec!["bob".to_owned()] };
        alice.users().get_presence(asked).await.unwrap().into_inner().presences[0].online
    };
    let mut at_bob = nodes[0].connect(Door::Grpc).await;
    let Signal::Presence(presence) = at_alice.signal().await else { panic!("bob came") };
    assert!(presence.online);
    for node in [0, 1, 1, 0] {
        drop(at_bob);
        assert!(is_online().await, "a moment ago he was");
        at_bob = nodes[node].connect(Door::Grpc).await;
        nodes[node].chat().send_typing(SendTypingRequest { room_id: room.clone() }).await.unwrap();
        let next = at_alice.signal().await;
        assert!(matches!(&next, Signal::Typing(typing) if typing.user_id == "bob"), "{next:?}");
    }
    drop(at_bob);
    let next = at_alice.signal().await;
    assert!(matches!(&next, Signal::Presence(presence) if !presence.online), "{next:?}");
    assert!(!is_online().await);
}

/// The lease of a node that is killed, what clearing up after it takes, and the time in which its
/// users may come back.
const GONE_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn users_of_a_killed_node_go_offline_unless_they_come_back() {
    let mut cluster = Cluster::start(3).await;
    let alice = person(&cluster, 0, "alice").await;
    let others = [person(&cluster, 1, "gone").await, person(&cluster, 1, "back").await];
    alice.group(&[&others[0]]).await;
    alice.group(&[&others[1]]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let mut sessions = Vec::new();
    for other in &others {
        sessions.push(other.connect(Door::Grpc).await);
        let Signal::Presence(presence) = at_alice.signal().await else { panic!("{} came", other.id) };
        assert_eq!((presence.user_id.as_str(), presence.online), (other.id.as_str(), true));
    }
    cluster.kill(1).await;
    let killed = Instant::now();
    let _back = cluster.person(2, "back").connect(Door::Grpc).await;
    let signals = async {
        let mut told = Vec::new();
        loop {
            let Signal::Presence(presence) = at_alice.signal().await else { continue };
            let is_last = presence.user_id == "gone";
            told.push((presence.user_id, presence.online));
            if is_last {
                return told;
            }
        }
    };
    let told = tokio::time::timeout(GONE_WITHIN, signals).await;
    let told = told.unwrap_or_else(|_| panic!("nothing in {:?}", killed.elapsed()));
    assert_eq!(told.last().unwrap(), &("gone".to_owned(), false));
    assert!(!told.contains(&("back".to_owned(), false)), "{told:?}");
}

/// Others have taken the node for dead, and its users for gone.
#[tokio::test]
async fn users_of_a_node_that_was_cut_off_are_online_again() {
    let mut cluster = Cluster::start(1).await;
    let way = TcpProxy::start(cluster.redis.address()).await.unwrap();
    let node = cluster.add_at(&format!("redis://{}", way.address()), &[]).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, node, "bob").await);
    alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let _session = bob.connect(Door::Grpc).await;
    let mut is_online = async || {
        let Signal::Presence(presence) = at_alice.signal().await else { panic!("presence of bob") };
        assert_eq!(presence.user_id, "bob");
        presence.online
    };
    assert!(is_online().await);
    way.refuse();
    assert!(!is_online().await);
    way.pass();
    assert!(is_online().await);
}

#[tokio::test]
async fn a_client_of_a_killed_node_goes_on_where_it_was() {
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
async fn a_rolling_restart_under_load_shows_to_nobody() {
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
                // No error gets here that is not final.
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
    // The last word of all.
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
    // Nobody is registered now, and nobody knows.
    last = alice.say(&room, "after the wipe").await.max(last);
    at_bob.events_up_to(&room, last).await;
    cluster.redis.kill().await.unwrap();
    for number in 0..5 {
        last = alice.say(&room, &format!("without redis {number}")).await;
    }
    // From the store, while it is away.
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

#[tokio::test]
async fn a_room_outgrows_being_looked_up_while_people_come() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let room = alice.channel().await;
    let first = person(&cluster, 1, "first").await;
    alice.add(&room, &first).await;
    let mut at_first = first.connect(Door::Grpc).await;
    let mut users: Vec<_> = (0..560).map(|user| format!("u{user:03}")).collect();
    let mut creating = JoinSet::new();
    for part in users.chunks(80) {
        let people: Vec<_> = part.iter().map(|user| cluster.person(0, user)).collect();
        creating.spawn(async move {
            for person in people {
                person.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
            }
        });
    }
    creating.join_all().await;
    let mut came = Vec::new();
    while !users.is_empty() {
        let part: Vec<_> = users.drain(..40).collect();
        let late = cluster.person(1, &part[0]);
        let request = AddMembersRequest {
            room_id: room.clone(),
            user_ids: part,
            request_id: fresh("add"),
            after_seq: None,
        };
        let (added, at_late) = tokio::join!(
            async { alice.rooms().add_members(request).await.unwrap() },
            late.connect(Door::Grpc)
        );
        drop(added);
        came.push(at_late);
        // Each size of the room is spoken in.
        let seq = alice.say(&room, "who is here?").await;
        at_first.events_up_to(&room, seq).await;
        for conversation in &mut came {
            conversation.events_up_to(&room, seq).await;
        }
    }
    // Now it costs one message for all, and no lookup.
    let (looked_up, published) = (lookups(&cluster).await, cluster.redis.calls("publish").await.unwrap());
    for _ in 0..50 {
        alice.say(&room, "hello all").await;
    }
    let published = cluster.redis.calls("publish").await.unwrap() - published;
    // The rest is heartbeats.
    assert!((50..80).contains(&published), "{published} for 50 messages");
    assert!(lookups(&cluster).await - looked_up < 30);
}

/// Scripts run so far: lookups, and what the heartbeats come to.
async fn lookups(cluster: &Cluster) -> u64 {
    cluster.redis.calls("evalsha").await.unwrap()
}

#[tokio::test]
async fn a_message_costs_one_lookup_and_one_publish_for_each_node() {
    let cluster = Cluster::start(3).await;
    let alice = person(&cluster, 0, "alice").await;
    let mut people = Vec::new();
    for number in 0..12 {
        people.push(person(&cluster, number % 3, &format!("p{number}")).await);
    }
    let room = alice.group(&people.iter().collect::<Vec<_>>()).await;
    let mut conversations = Vec::new();
    for person in &people {
        conversations.push(person.connect(Door::Grpc).await);
    }
    let mut last = alice.say(&room, "the first").await;
    let (looked_up, published) = (lookups(&cluster).await, cluster.redis.calls("publish").await.unwrap());
    for _ in 0..100 {
        last = alice.say(&room, "hello").await;
    }
    let looked_up = lookups(&cluster).await - looked_up;
    let published = cluster.redis.calls("publish").await.unwrap() - published;
    for conversation in &mut conversations {
        conversation.events_up_to(&room, last).await;
    }
    // Four people on each of two other nodes; the rest is heartbeats, of three nodes.
    assert!((100..160).contains(&looked_up), "{looked_up} lookups for 100 messages");
    assert!((200..260).contains(&published), "{published} publishes for 100 messages");
}

#[tokio::test]
async fn many_nodes_write_one_room_and_everyone_gets_their_turn() {
    let cluster = Cluster::start(4).await;
    let owner = person(&cluster, 0, "owner").await;
    let room = owner.channel().await;
    let mut writers = JoinSet::new();
    for node in 0..4 {
        let writer = person(&cluster, node, &format!("w{node}")).await;
        writer
            .rooms()
            .join_room(JoinRoomRequest {
                room_id: room.clone(),
                request_id: fresh("join"),
                ..Default::default()
            })
            .await
            .unwrap();
        let (session, mut updates) = session(&cluster, &writer.id, &[node]);
        tokio::spawn(async move { while updates.recv().await.is_some() {} });
        let room = room.clone();
        writers.spawn(async move {
            let sends = (0..100)
                .map(|number| session.send_message(Message::to_room(&room, format!("{node} {number}"))));
            let mut seqs = Vec::new();
            for sent in futures::future::join_all(sends).await {
                seqs.push(sent.unwrap().seq);
            }
            seqs
        });
    }
    let mut seqs: Vec<u64> = within("everyone is done", writers.join_all()).await.concat();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), 400, "each has a place of its own");
    let log = owner.log(&room).await;
    assert!(log.iter().map(|event| event.seq).eq(1..=log.len() as u64));
    assert_eq!(log.iter().filter(|event| is_message(event)).count(), 400);
}
