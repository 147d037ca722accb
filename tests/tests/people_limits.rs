//! What one user, or one address, may take of a node: then a clear refusal, and nothing for others.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::future::join_all;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::{self, RoomKind};
use parlance_tests::{
    Cluster, Conversation, DOORS, GrpcWeb, Http, Server, Setup, eventually, fresh, refused,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::Code;

const FULL: Code = Code::ResourceExhausted;

#[tokio::test]
async fn a_user_has_so_many_sessions() {
    let server = Server::start_with(&["--user-sessions", "2"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for door in DOORS {
        let address = server.address();
        let open = || Conversation::open(&address, &alice.token, door, &[]);
        // Those of the previous door end when the server notices.
        let first = eventually("there is room", async || open().await.ok()).await;
        let _second = eventually("there is room", async || open().await.ok()).await;
        let third = open().await.err().unwrap();
        assert_eq!((third.code, third.reason.as_str()), (FULL, "too_many_sessions"), "{door}");
        assert!(third.retry_after.is_some(), "{door}");
        bob.connect(door).await;
        drop(first);
        eventually("there is room again", async || open().await.ok()).await;
    }
}

#[tokio::test]
async fn sessions_of_a_user_have_so_many_rooms() {
    let server = Server::start_with(&["--user-subscriptions", "5"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for _ in 0..2 {
        bob.group(&[&alice]).await;
    }
    let address = server.address();
    let open = || Conversation::open(&address, &alice.token, DOORS[0], &[]);
    let mut first = open().await.unwrap();
    let mut second = open().await.unwrap();
    let third = open().await.err().unwrap();
    assert_eq!((third.code, third.reason.as_str()), (FULL, "too_many_subscriptions"));
    assert!(third.retry_after.is_some());
    // Those that are open get all rooms, and these count.
    let room = bob.group(&[&alice]).await;
    let seq = bob.say(&room, "hello").await;
    for session in [&mut first, &mut second] {
        assert_eq!(session.events_up_to(&room, seq).await.last().unwrap().seq, seq);
    }
    drop(first);
    drop(second);
    eventually("there is room again", async || open().await.ok()).await;
    bob.connect(DOORS[0]).await;
}

#[tokio::test]
async fn sessions_of_a_user_open_at_a_rate() {
    let server = Server::start_with(&["--hello-rate", "1"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut refusals = Vec::new();
    for _ in 0..50 {
        let opened = Conversation::open(&server.address(), &alice.token, DOORS[0], &[]).await;
        refusals.extend(opened.err().map(|failure| failure.reason));
    }
    assert!(refusals.contains(&"rate_limited".to_owned()), "{refusals:?}");
    bob.connect(DOORS[0]).await;
}

fn creation(kind: RoomKind, id: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { kind: kind.into(), request_id: id.to_owned(), ..Default::default() }
}

fn direct(to: &str) -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        target: Some(Target::ToUser(to.to_owned())),
        client_message_id: fresh("direct"),
        text: "hello".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_user_creates_and_joins_so_many_rooms() {
    let server = Server::start_with(&["--user-rooms", "2"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let channel = bob.channel().await;
    let create = async |id: &str| alice.rooms().create_room(creation(RoomKind::Group, id)).await;
    let full = (FULL, "too_many_rooms".to_owned());
    let first = create("first").await.unwrap().into_inner().room.unwrap().room_id;
    alice.chat().send_message(direct("bob")).await.unwrap();
    // What is there goes on, and a repeat finds it.
    alice.chat().send_message(direct("bob")).await.unwrap();
    assert!(create("first").await.unwrap().into_inner().is_repeat);
    assert_eq!(refused(create("second").await), full);
    server.person("carol").await;
    assert_eq!(refused(alice.chat().send_message(direct("carol")).await), full);
    let join = v1::JoinRoomRequest { room_id: channel.clone(), request_id: fresh("join"), after_seq: None };
    assert_eq!(refused(alice.rooms().join_room(join.clone()).await), full);
    let leave = v1::LeaveRoomRequest { room_id: first, request_id: fresh("leave"), after_seq: None };
    // The owner leaves an empty room behind.
    alice.rooms().leave_room(leave).await.unwrap();
    alice.rooms().join_room(join).await.unwrap();
    assert_eq!(refused(create("third").await), full);
}

#[tokio::test]
async fn rooms_are_created_at_a_rate() {
    let server =
        Server::start_with(&["--new-room-rate", "1", "--user-rooms", "0", "--user-rate", "100000"]).await;
    let alice = server.person("alice").await;
    for number in 0..1_000 {
        let created = alice.rooms().create_room(creation(RoomKind::Group, &format!("room-{number}"))).await;
        if created.is_err() {
            assert_eq!(refused(created), (FULL, "rate_limited".to_owned()));
            assert!(number >= 200, "a burst is allowed: {number}");
            return;
        }
    }
    panic!("no limit was met");
}

#[tokio::test]
async fn tokens_of_an_address_with_too_many_bad_ones_are_not_examined() {
    let server = Server::start_with(&["--failed-token-rate", "1"]).await;
    let alice = server.person("alice").await;
    let mut open = alice.connect(DOORS[0]).await;
    let http = server.http();
    let status = async |token: &str| http.get("/v1/inbox").bearer(token).answer().await;
    let mut refusal = None;
    for _ in 0..200 {
        let answer = status("not.a.token").await;
        if answer.status == 429 {
            refusal = Some(answer);
            break;
        }
        assert_eq!(answer.refused(), (401, "token_invalid".to_owned()));
    }
    let refusal = refusal.expect("it is limited");
    assert_eq!(refusal.refused().1, "too_many_failed_tokens");
    assert!(refusal.headers.contains_key("retry-after"));
    for door in DOORS {
        // Kept up, so that the pause goes on.
        for _ in 0..5 {
            status("not.a.token").await;
        }
        let opened = Conversation::open(&server.address(), "not.a.token", door, &[]).await;
        assert_eq!(opened.err().unwrap().reason, "too_many_failed_tokens", "{door}");
    }
    // Who is in stays in.
    open.call(v1::ListInboxRequest::default()).await.unwrap();
    eventually("alice is let in again", async || (status(&alice.token).await.status == 200).then_some(()))
        .await;
}

/// Nodes with these options.
async fn nodes(count: usize, options: &[&str]) -> Cluster {
    let options = options.iter().map(ToString::to_string).collect();
    Cluster::start_with(count, Setup { options, ..Setup::default() }).await
}

/// How many rooms alice creates on the nodes in turn before she is refused.
async fn created(cluster: &Cluster, nodes: &[usize]) -> usize {
    let mut all = 0;
    loop {
        // Several at once: while a permit is added each second, one after the other might never be refused.
        let created = join_all((0..8).map(async |number| {
            let alice = cluster.person(nodes[number % nodes.len()], "alice");
            alice.rooms().create_room(creation(RoomKind::Group, &fresh("room"))).await
        }));
        let (rooms, refusals): (Vec<_>, Vec<_>) = created.await.into_iter().partition(Result::is_ok);
        all += rooms.len();
        if !refusals.is_empty() {
            for refusal in refusals {
                assert_eq!(refused(refusal), (FULL, "rate_limited".to_owned()));
            }
            return all;
        }
    }
}

/// The number of `outcome` at a node.
async fn outcomes(cluster: &Cluster, node: usize, outcome: &str) -> u64 {
    let page = Http::new(cluster.nodes[node].admin()).get("/metrics").answer().await;
    let name = format!("parlance_shared_limits_total{{limit=\"new_rooms\",outcome=\"{outcome}\"}} ");
    let page = String::from_utf8_lossy(&page.body).into_owned();
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// Half of these are spread evenly over the time that the test takes.
const BURST: usize = 200;

#[tokio::test]
async fn a_user_has_one_rate_on_all_nodes() {
    let cluster = nodes(2, &["--new-room-rate", "1"]).await;
    let rooms = created(&cluster, &[0, 1]).await;
    assert!((BURST..BURST * 3 / 2).contains(&rooms), "{rooms} on two nodes");
    assert!(outcomes(&cluster, 0, "taken").await + outcomes(&cluster, 1, "taken").await >= BURST as u64);
    assert!(outcomes(&cluster, 0, "refused").await + outcomes(&cluster, 1, "refused").await > 0);
}

#[tokio::test]
async fn nodes_limit_by_themselves_without_redis() {
    let mut cluster = nodes(2, &["--new-room-rate", "1"]).await;
    cluster.person(0, "alice").rooms().create_room(creation(RoomKind::Group, "first")).await.unwrap();
    cluster.redis.kill().await.unwrap();
    for node in [0, 1] {
        let rooms = created(&cluster, &[node]).await;
        assert!((BURST - 1..BURST * 3 / 2).contains(&rooms), "{rooms} on node {node}");
        assert!(outcomes(&cluster, node, "unavailable").await > 0, "that is counted");
    }
    cluster.redis.restart().await.unwrap();
    eventually("they share it again", async || {
        let bob = cluster.person(0, "bob");
        bob.rooms().create_room(creation(RoomKind::Group, &fresh("room"))).await.unwrap();
        (outcomes(&cluster, 0, "taken").await > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn invalid_tokens_of_an_address_count_on_all_nodes() {
    let cluster = nodes(2, &["--failed-token-rate", "1"]).await;
    let doors = [cluster.nodes[0].http(), cluster.nodes[1].http()];
    let mut failed = 0;
    for number in 0..80 {
        let answer = doors[number % 2].get("/v1/inbox").bearer("not.a.token").answer().await;
        match answer.refused().1.as_str() {
            "token_invalid" => failed += 1,
            reason => assert_eq!(reason, "too_many_failed_tokens"),
        }
    }
    assert!((20..36).contains(&failed), "{failed}: each node alone lets 21 through");
}

#[tokio::test]
async fn sessions_of_a_user_open_at_one_rate_on_all_nodes() {
    let cluster = nodes(2, &["--hello-rate", "1"]).await;
    let people = [cluster.person(0, "alice"), cluster.person(1, "alice")];
    let mut opened = 0;
    for number in 0..80 {
        let person = &people[number % 2];
        match Conversation::open(&cluster.nodes[number % 2].address(), &person.token, DOORS[0], &[]).await {
            Ok(_) => opened += 1,
            Err(failure) => assert_eq!(failure.reason, "rate_limited"),
        }
    }
    assert!((20..36).contains(&opened), "{opened}: each node alone lets 20 open");
}

/// What belongs to no caller has a rate for each address, whatever the protocol.
#[tokio::test]
async fn requests_without_a_caller_have_a_rate() {
    let server = Server::start_with(&["--anonymous-rate", "1"]).await;
    let alice = server.person("alice").await;
    let http = server.http();
    let mut limited = 0;
    for number in 0..60 {
        let path = ["/v1/nothing", "/nothing", "/openapi.json", "/v1/server"][number % 4];
        let answer = http.get(path).answer().await;
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"), "{path}");
            limited += 1;
        }
    }
    assert!(limited >= 20, "{limited}: a burst of 20 is allowed");
    for path in ["/v1/nothing", "/nothing", "/openapi.json", "/v1/server"] {
        // Kept up, so that none is due.
        let statuses = [http.get(path).answer().await.status, http.get(path).answer().await.status];
        assert!(statuses.contains(&429), "{path}: {statuses:?}");
    }
    let web = "/parlance.v1.ServerService/GetServer";
    let mut refusals = Vec::new();
    for _ in 0..3 {
        let mut call = GrpcWeb::call(&http, None, web, &v1::GetServerRequest::default()).await;
        refusals.push(call.status().await.code());
        let mut unknown =
            GrpcWeb::call(&http, None, "/nothing.Service/Call", &v1::GetServerRequest::default()).await;
        refusals.push(unknown.status().await.code());
    }
    assert!(refusals.iter().filter(|code| **code == FULL).count() >= 4, "{refusals:?}");
    // Probes, the web page and calls with a token are not limited by that.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http.get(path).answer().await.status, 200, "{path}");
    }
    for _ in 0..30 {
        assert_eq!(http.get("/v1/inbox").bearer(&alice.token).answer().await.status, 200);
    }
}

/// Reads an answer of HTTP/1, and returns its status.
async fn status(io: &mut BufReader<TcpStream>) -> u16 {
    let (mut line, mut length) = (String::new(), 0);
    io.read_line(&mut line).await.unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    while !line.trim().is_empty() {
        line.clear();
        io.read_line(&mut line).await.unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    io.read_exact(&mut vec![0; length]).await.unwrap();
    status
}

/// They cost little each, and wait once there are too many of them.
#[tokio::test]
async fn requests_that_no_other_rate_counts_have_one() {
    let server = Server::start_with(&["--anonymous-rate", "1"]).await;
    let alice = server.person("alice").await;
    let limited = async || {
        let page = Http::new(server.admin()).get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let name = "parlance_limited_total{limit=\"other_requests\"} ";
        page.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut io = BufReader::new(TcpStream::connect(server.address()).await.unwrap());
    let request = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    // Pipelined, and as many as a connection may have at once.
    const BURST: usize = 200;
    io.write_all(request("GET /healthz", "").repeat(BURST + 30).as_bytes()).await.unwrap();
    for _ in 0..BURST + 30 {
        assert_eq!(status(&mut io).await, 200);
    }
    let preflight = "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\n";
    let too_many_fields = "x: y\r\n".repeat(64);
    let mut before = limited().await;
    assert!(before > 0);
    for (line, headers, expected) in [
        ("GET /readyz", "", 200),
        ("GET /", "", 200),
        ("GET /assets/none", "", 404),
        ("GET /v1/rooms", "", 401),
        ("PUT /v1/rooms", "", 405),
        ("GET /parlance.v1.ServerService/GetServer", "", 405),
        ("POST /parlance.v1.ServerService/GetServer", "Content-Length: 0\r\n", 415),
        ("OPTIONS /v1/rooms", preflight, 200),
        ("GET /", "Origin: http://evil.example\r\n", 403),
        ("GET /", &too_many_fields, 431),
    ] {
        // On a busy machine, some are due again by now.
        let mut tries = 0..50;
        let now = loop {
            tries.next().unwrap_or_else(|| panic!("{line} is not counted"));
            io.write_all(request(line, headers).as_bytes()).await.unwrap();
            assert_eq!(status(&mut io).await, expected, "{line}");
            match limited().await {
                now if now > before => break now,
                _ => {}
            }
        };
        before = now;
    }
    let token = format!("Authorization: Bearer {}\r\n", alice.token);
    io.write_all(request("GET /v1/inbox", &token).as_bytes()).await.unwrap();
    assert_eq!(
        (status(&mut io).await, limited().await),
        (200, before),
        "that of a caller is counted for them"
    );
}
