//! Bridges: WebSocket and REST in their own processes, in front of nodes.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::HashSet;
use std::time::Duration;

use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Message, Session, Update};
use parlance_faults::dynamodb::{ANY, Fault, Proxy, environment};
use parlance_proto::v1::{CreateRoomRequest, GetUserRequest, RoomKind};
use parlance_tests::{
    Cluster, Conversation, DEADLINE, Http, Person, RawWebSocket, Server, Setup, eventually, text_of, within,
};
use serde_json::json;

const WEBSOCKETS: [Door; 2] = [Door::WebSocketJson, Door::WebSocketBinary];

/// A bridge in front of this node.
async fn bridge_of(node: &Server) -> Server {
    Server::start_bridge(&[&node.bridges()]).await
}

/// A node that accepts bridges.
async fn node() -> Server {
    Server::start_with(&["--user-rate", "0", "--role", "api", "--edge-listen", "127.0.0.1:0"]).await
}

/// The value of a metric at `server`; 0 if nothing was counted yet.
async fn metric(server: &Server, name: &str) -> f64 {
    let page = Http::new(server.admin()).get("/metrics").answer().await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn conversation_through_a_bridge() {
    let node = node().await;
    let bridge = bridge_of(&node).await;
    let (alice, bob) = (node.person("alice").await, node.person("bob").await);
    let room = alice.group(&[&bob]).await;
    for door in WEBSOCKETS {
        let mut at_alice = bridge.person_with("alice", &alice.token).connect(door).await;
        let mut at_bob = bridge.person_with("bob", &bob.token).connect(door).await;
        let sent = at_alice.call(Person::message(&room, &format!("through {door}"))).await.unwrap();
        let events = at_bob.events_up_to(&room, sent.seq).await;
        assert_eq!(text_of(events.last().unwrap()), format!("through {door}"));
        // The node's own listener shows the same.
        assert_eq!(alice.log(&room).await.last().unwrap().seq, sent.seq);
    }
    let message = json!({"toUser": "bob", "clientMessageId": "by-rest", "text": "hello"});
    let http = bridge.http();
    let answer = http.call(http::Method::POST, "/v1/messages").bearer(&alice.token).json(&message);
    let answer = answer.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let direct = answer.json()["roomId"].as_str().unwrap().to_owned();
    let last = alice.log(&direct).await.pop().unwrap();
    assert_eq!(
        (text_of(&last), Some(last.seq.to_string().as_str())),
        ("hello", answer.json()["seq"].as_str())
    );
    assert_eq!(http.get("/").answer().await.status, 200, "the page is there");
}

#[tokio::test]
async fn node_behind_bridges_has_no_browser_transports() {
    let node = node().await;
    for path in ["/", "/v1/users/me", "/ws"] {
        assert_eq!(node.http().get(path).answer().await.status, 404, "{path}");
    }
    assert_eq!(node.http().get("/readyz").answer().await.status, 200);
}

#[tokio::test]
async fn bridge_leaves_authentication_to_the_node() {
    let node = node().await;
    let bridge = bridge_of(&node).await;
    let alice = node.person("alice").await;
    let me = |authorization: Option<&str>| {
        let call = bridge.http();
        let authorization = authorization.map(ToOwned::to_owned);
        async move {
            let mut call = call.get("/v1/users/me");
            if let Some(value) = &authorization {
                call = call.header("authorization", value);
            }
            // Identity headers of clients of a bridge are ignored.
            let call = call.header("x-forwarded-for", "127.0.0.1").header("x-user-id", "alice");
            let answer = call.answer().await;
            if answer.status == 200 { (200, String::new()) } else { answer.refused() }
        }
    };
    assert_eq!(me(Some(&format!("Bearer {}", alice.token))).await.0, 200);
    assert_eq!(me(Some("Bearer nonsense")).await, (401, "token_invalid".to_owned()));
    assert_eq!(me(None).await, (401, "token_missing".to_owned()));
    // A node in local mode issues tokens to clients on its own machine, but not through a
    // bridge.
    let http = bridge.http();
    let mint = http.call(http::Method::POST, "/v1/users").json(&json!({"userId": "mallory"}));
    assert_eq!(mint.answer().await.refused(), (401, "token_missing".to_owned()));
    for door in WEBSOCKETS {
        let refused = Conversation::open(&bridge.address(), "nonsense", door, &[]).await.map(|_| ());
        assert_eq!(refused.unwrap_err().reason, "token_invalid", "{door}");
    }
}

#[tokio::test]
async fn grpc_at_a_bridge_gets_a_helpful_error() {
    let node = node().await;
    let bridge = bridge_of(&node).await;
    let alice = node.person("alice").await;
    let refused = bridge.person_with("alice", &alice.token).users().get_user(GetUserRequest::default()).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(status.message().contains("api nodes"), "{status}");
}

#[tokio::test]
async fn message_is_encoded_as_json_once_for_all_sockets() {
    const SOCKETS: usize = 50;
    const MESSAGES: usize = 20;
    let node = node().await;
    let bridge = bridge_of(&node).await;
    let (alice, bob) = (node.person("alice").await, node.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let at_bridge = bridge.person_with("bob", &bob.token);
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(at_bridge.connect(Door::WebSocketJson).await);
    }
    // After a first message, the cost of welcomes and history is over.
    let first = alice.say(&room, "first").await;
    for socket in &mut sockets {
        socket.events_up_to(&room, first).await;
    }
    let before = metric(&bridge, "parlance_bridge_frames_to_json_total").await;
    let mut last = first;
    for n in 0..MESSAGES {
        last = alice.say(&room, &format!("message {n}")).await;
    }
    for socket in &mut sockets {
        let events = socket.events_up_to(&room, last).await;
        assert_eq!(events.len(), MESSAGES);
    }
    let made = metric(&bridge, "parlance_bridge_frames_to_json_total").await - before;
    // Signals, such as alice's presence, are shared by all, too.
    let at_most = 2 * MESSAGES;
    assert!((MESSAGES..=at_most).contains(&(made as usize)), "{made} times for {MESSAGES} messages");
}

#[tokio::test]
async fn unread_socket_blocks_no_other() {
    let node = node().await;
    let bridge = bridge_of(&node).await;
    let (alice, bob) = (node.person("alice").await, node.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let at_bridge = bridge.person_with("bob", &bob.token);
    let mut stuck = Vec::new();
    for _ in 0..8 {
        stuck.push(at_bridge.connect(Door::WebSocketJson).await);
    }
    let mut reading = at_bridge.connect(Door::WebSocketBinary).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    // 20 MB: more than the sockets and the windows of eight streams hold.
    let last = at_alice.flood(&room, 2_000, |number| format!("{number:010000}")).await;
    reading.events_up_to(&room, last).await;
    for socket in &mut stuck {
        socket.events_up_to(&room, last).await;
    }
}

#[tokio::test]
async fn draining_node_moves_its_clients_and_bridge_stays() {
    let mut node = node().await;
    let bridge = bridge_of(&node).await;
    let alice = node.person("alice").await;
    let mut at_bridge = bridge.person_with("alice", &alice.token).connect(Door::WebSocketJson).await;
    node.signal("TERM").await;
    let delay: Duration = at_bridge.draining().await.reconnect_after.unwrap().try_into().unwrap();
    assert!(delay < DEADLINE);
    let end = at_bridge.end().await;
    assert_eq!(end.close, Some(1001), "{end:?}");
    assert_eq!(node.exited().await.code(), Some(0));
    // The bridge reports what is missing, and reconnects to the node.
    let admin = Http::new(bridge.admin());
    let red = eventually("the bridge is not ready", async || {
        let answer = admin.get("/readyz").answer().await;
        (answer.status == 503).then_some(answer)
    });
    let why = String::from_utf8_lossy(&red.await.body).into_owned();
    assert_eq!(why, "nodes: no node is reachable\n");
    node.start_again().await;
    eventually("the bridge is ready again", async || {
        (admin.get("/readyz").answer().await.status == 200).then_some(())
    })
    .await;
    bridge.person_with("alice", &alice.token).connect(Door::WebSocketJson).await;
}

#[tokio::test]
async fn killed_node_closes_sockets_with_1001() {
    let mut node = node().await;
    let bridge = bridge_of(&node).await;
    let alice = node.person("alice").await;
    let mut at_bridge = bridge.person_with("alice", &alice.token).connect(Door::WebSocketJson).await;
    node.kill().await;
    let end = at_bridge.end().await;
    assert_eq!(end.close, Some(1001), "{end:?}");
    let failure = end.failure.unwrap();
    assert_eq!((failure.code, failure.reason.as_str()), (tonic::Code::Unavailable, "node_lost"));
    assert!(failure.retry_after.unwrap() <= Duration::from_secs(1));
    let unary = bridge.http().get("/v1/users/me").bearer(&alice.token).answer().await;
    assert_eq!(unary.refused(), (503, "no_node".to_owned()));
}

/// Two nodes that accept bridges, on one store, and a bridge in front of them.
async fn two_nodes() -> (Cluster, Server) {
    let options = ["--role", "api", "--edge-listen", "127.0.0.1:0"].map(ToOwned::to_owned).into();
    let cluster = Cluster::start_with(2, Setup { options, ..Setup::default() }).await;
    let bridge = Server::start_bridge(&[&cluster.nodes[0].bridges(), &cluster.nodes[1].bridges()]).await;
    eventually("the bridge is connected to both", async || {
        (metric(&bridge, "parlance_edge_links").await == 4.0).then_some(())
    })
    .await;
    (cluster, bridge)
}

#[tokio::test]
async fn hung_node_is_left_within_seconds() {
    let (cluster, bridge) = two_nodes().await;
    let alice = bridge.person_with("alice", &cluster.token("alice"));
    let mut sockets = Vec::new();
    for n in 0..8 {
        sockets.push(alice.connect(WEBSOCKETS[n % 2]).await);
    }
    let hung = sockets[0].welcome().node_id.clone();
    let healthy = sockets.iter().position(|socket| socket.welcome().node_id != hung).unwrap();
    // The node that welcomed the first client stops answering.
    let mut number = None;
    for (index, node) in cluster.nodes.iter().enumerate() {
        let direct = node.person_with("alice", &alice.token).connect(Door::Grpc).await;
        if direct.welcome().node_id == hung {
            number = Some(index);
        }
    }
    cluster.nodes[number.unwrap()].signal("STOP").await;
    let end = sockets[0].end().await;
    let failure = end.failure.unwrap();
    assert_eq!((failure.code, failure.reason.as_str()), (tonic::Code::Unavailable, "node_lost"));
    // The other node serves everyone from now on, and the bridge reports ready.
    for n in 0..8 {
        let socket = alice.connect(WEBSOCKETS[n % 2]).await;
        assert_ne!(socket.welcome().node_id, hung);
        let me = bridge.http().get("/v1/users/me").bearer(&alice.token).answer().await;
        assert_eq!(me.status, 200, "{me:?}");
    }
    assert_eq!(Http::new(bridge.admin()).get("/readyz").answer().await.status, 200);
    // Its sessions continue.
    create_room(&mut sockets[healthy]).await;
    cluster.nodes[number.unwrap()].signal("CONT").await;
    eventually("it is connected again", async || {
        (metric(&bridge, "parlance_edge_links").await == 4.0).then_some(())
    })
    .await;
}

/// Creates a room on this session.
async fn create_room(socket: &mut Conversation) {
    let kind = RoomKind::Channel.into();
    let room = CreateRoomRequest { request_id: "room".into(), kind, ..CreateRoomRequest::default() };
    socket.call(room).await.unwrap();
}

#[tokio::test]
async fn node_that_is_not_ready_gets_no_new_sessions() {
    let options = ["--role", "api", "--edge-listen", "127.0.0.1:0"].map(ToOwned::to_owned).into();
    let cluster = Cluster::start_with(1, Setup { options, ..Setup::default() }).await;
    // The second one reaches the store through its own proxy.
    let store = cluster.dynamodb.endpoint().trim_start_matches("http://").parse().unwrap();
    let way = Proxy::start("127.0.0.1:0".parse().unwrap(), store).unwrap();
    let mut launch = cluster.launch();
    launch.environment = environment(&way.endpoint());
    let second = Server::launch(launch).await;
    let bridge = Server::start_bridge(&[&cluster.nodes[0].bridges(), &second.bridges()]).await;
    way.plan().often(ANY, 1.0, Fault::Cut);
    let admin = Http::new(second.admin());
    eventually("the second node is not ready", async || {
        (admin.get("/readyz").answer().await.status == 503).then_some(())
    })
    .await;
    // Kept open, so that the other node always has the fewest streams.
    eventually("new sessions go to the node that is ready", async || {
        let mut sockets = Vec::new();
        for n in 0..6 {
            let token = cluster.token("alice");
            sockets.push(Conversation::open(&bridge.address(), &token, WEBSOCKETS[n % 2], &[]).await.ok()?);
        }
        Some(())
    })
    .await;
    assert_eq!(Http::new(bridge.admin()).get("/readyz").answer().await.status, 200);
}

#[tokio::test]
async fn draining_bridge_announces_it_and_answers_operations_in_flight() {
    let node = node().await;
    let mut bridge = bridge_of(&node).await;
    let (alice, bob) = (node.person("alice").await, node.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let at_bridge = bridge.person_with("bob", &bob.token);
    let mut sockets = Vec::new();
    for n in 0..20 {
        sockets.push(at_bridge.connect(WEBSOCKETS[n % 2]).await);
    }
    bridge.signal("TERM").await;
    let mut delays = HashSet::new();
    for socket in &mut sockets {
        let delay: Duration = socket.draining().await.reconnect_after.unwrap().try_into().unwrap();
        delays.insert(delay);
    }
    assert!(delays.len() > 10, "they come back at different times: {delays:?}");
    // Clients that were told to leave are still served until their time; the last one to
    // leave sees this.
    let latest = delays.iter().max().copied().unwrap();
    let seq = alice.say(&room, "while they leave").await;
    let mut seen = 0;
    for socket in &mut sockets {
        let end = socket.end().await;
        assert_eq!(end.close, Some(1001), "{end:?}");
        seen += usize::from(socket.untaken().iter().any(|item| item.reaches(&room, seq)));
    }
    assert!(seen > 0, "somebody was still there after {latest:?}");
    assert_eq!(bridge.exited().await.code(), Some(0));
}

#[tokio::test]
async fn application_continues_through_other_bridge_and_restarted_node() {
    let mut node = node().await;
    let (mut first, second) = (bridge_of(&node).await, bridge_of(&node).await);
    let (alice, bob) = (node.person("alice").await, node.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let mut config = Config::new(Dialer::new(Door::WebSocketJson, first.address()), &alice.token);
    config.dialers.push(Dialer::new(Door::WebSocketJson, second.address()));
    let (session, mut updates) = Session::start(config);
    let sent = session.send_message(Message::to_room(&room, "one")).await.unwrap();
    first.kill().await;
    let next = within("sent elsewhere", session.send_message(Message::to_room(&room, "two"))).await.unwrap();
    assert_eq!(next.seq, sent.seq + 1);
    node.kill().await;
    node.start_again().await;
    let last = within("sent again", session.send_message(Message::to_room(&room, "three"))).await.unwrap();
    assert_eq!(last.seq, sent.seq + 2);
    let mut seen = Vec::new();
    while seen.last() != Some(&last.seq) {
        match within("an update", updates.recv()).await.unwrap() {
            Update::Event(event) if event.room_id == room => seen.push(event.seq),
            Update::Violation(violation) => panic!("{violation:?}"),
            _ => {}
        }
    }
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
}

#[tokio::test]
async fn stalled_peer_does_not_delay_bridge_shutdown() {
    let node = node().await;
    let mut bridge = bridge_of(&node).await;
    let alice = node.person("alice").await;
    let mut lingering = RawWebSocket::signed_in(&bridge.address(), &alice.token).await;
    lingering.hello().await;
    bridge.signal("TERM").await;
    assert_eq!(bridge.exited().await.code(), Some(0));
}
