//! Revoked tokens, and keys published by an issuer.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_proto::v1::server_frame::Frame;
use parlance_tests::{
    Cluster, Conversation, DOORS, Door, Http, Person, Server, Signer, claims, eventually, fresh, now,
    run_to_end, within,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tonic::Code;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// Seconds in which sessions may send another token: enough for a busy machine.
const GRACE: i64 = 15;

/// Deadline for sessions to end.
const SOON: Duration = Duration::from_secs(5);

async fn keyed() -> (Server, Signer, TempDir) {
    keyed_with(&[]).await
}

async fn keyed_with(options: &[&str]) -> (Server, Signer, TempDir) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, SECRET).unwrap();
    let keys = ["--jwt-secret-file", file.to_str().unwrap()];
    let server = Server::start_with(&[&keys[..], options].concat()).await;
    (server, Signer::Hs256(SECRET.to_vec()), dir)
}

async fn revoke(server: &Server, what: &[&str]) {
    let output = run_to_end(&[&["revoke", "--admin", &server.admin()], what].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn open(server: &Server, user: &str, token: &str) -> Vec<Conversation> {
    open_through(server, user, token, &DOORS).await
}

async fn open_through(server: &Server, user: &str, token: &str, doors: &[Door]) -> Vec<Conversation> {
    let person: Person = server.person_with(user, token);
    let mut conversations = Vec::new();
    for door in doors {
        conversations.push(person.connect(*door).await);
    }
    conversations
}

/// All of them end in time, with this reason.
async fn all_end(conversations: Vec<Conversation>) {
    let since = Instant::now();
    for mut conversation in conversations {
        let end = timeout(SOON.saturating_sub(since.elapsed()), conversation.end()).await;
        let failure = end.expect("in time").failure.unwrap();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::Unauthenticated, "token_revoked"));
    }
}

async fn whoami(server: &Server, token: &str) -> Result<(), (u16, String)> {
    let answer = server.http().get("/v1/users/me").bearer(token).answer().await;
    if answer.status == 200 { Ok(()) } else { Err(answer.refused()) }
}

fn revoked() -> Result<(), (u16, String)> {
    Err((401, "token_revoked".to_owned()))
}

#[tokio::test]
async fn only_streams_of_revoked_tokens_end() {
    let (mut server, signer, _dir) = keyed().await;
    let token = |user: &str, id: &str, issued_at: u64| {
        let mut claims = claims(user, now() + 3_600);
        claims["jti"] = id.into();
        claims["iat"] = issued_at.into();
        signer.token(&claims)
    };
    let (first, second) = (token("alice", "first", now()), token("alice", "second", now()));
    let (of_first, of_second) = (open(&server, "alice", &first).await, open(&server, "alice", &second).await);
    let mut of_bob = open(&server, "bob", &token("bob", "bob", now())).await;

    revoke(&server, &["--token-id", "first"]).await;
    all_end(of_first).await;
    assert_eq!(whoami(&server, &first).await, revoked());
    assert_eq!(whoami(&server, &second).await, Ok(()));

    revoke(&server, &["--user", "alice"]).await;
    all_end(of_second).await;
    assert_eq!(whoami(&server, &second).await, revoked());
    let later = token("alice", "later", now() + 10);
    assert_eq!(whoami(&server, &later).await, Ok(()), "one that was issued since");
    for conversation in &mut of_bob {
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    }

    revoke(&server, &["--everyone", "--issued-until", &(now() + 5).to_string()]).await;
    all_end(of_bob).await;
    assert_eq!(whoami(&server, &later).await, Ok(()));

    // It survives a restart.
    server.stop().await;
    server.start_again().await;
    assert_eq!(whoami(&server, &first).await, revoked());
    assert_eq!(whoami(&server, &second).await, revoked());
    assert_eq!(whoami(&server, &later).await, Ok(()));
}

#[tokio::test]
async fn revocations_are_taken_back() {
    let (mut server, signer, _dir) = keyed().await;
    let token = signer.token(&alice("first"));
    assert_eq!(whoami(&server, &token).await, Ok(()));
    for what in [&["--token-id", "first"][..], &["--user", "alice"], &["--everyone"]] {
        let admin = server.admin();
        let lift = [&["revoke", "--admin", &admin, "--lift"][..], what].concat();
        let nothing = run_to_end(&lift).await;
        assert!(!nothing.status.success());
        let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert!(said.contains("nothing of this is revoked"), "{said}");
        revoke(&server, what).await;
        revoke(&server, what).await;
        assert_eq!(whoami(&server, &token).await, revoked());
        let lifted = run_to_end(&lift).await;
        assert_eq!(String::from_utf8_lossy(&lifted.stdout), "lifted\n");
        assert_eq!(whoami(&server, &token).await, Ok(()));
        // It survives a restart.
        server.stop().await;
        server.start_again().await;
        assert_eq!(whoami(&server, &token).await, Ok(()));
    }
}

#[tokio::test]
async fn with_a_grace_sessions_go_on_with_another_token_or_end_after_it() {
    let (server, signer, _dir) = keyed().await;
    let first = signer.token(&alice("first"));
    let hello = v1::SubscribeRequest { hello: Some(v1::Hello::default()) };
    let listening = server.person_with("alice", &first).chat().subscribe(hello).await;
    let mut listening = listening.unwrap().into_inner();
    grace_holds(&server, &server, &signer, &DOORS).await;
    // It could not send another token, and is not told.
    let end = loop {
        match within("it ends", listening.message()).await {
            Ok(frame) => assert!(!matches!(frame.unwrap().frame, Some(Frame::TokenExpiring(_)))),
            Err(status) => break status,
        }
    };
    assert_eq!(Failure::from_status(&end).reason, "token_revoked");

    let output = run_to_end(&["revoke", "--admin", &server.admin(), "--everyone", "--grace", "3601"]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("grace_seconds: must be at most 3600"));
}

#[tokio::test]
async fn a_grace_reaches_sessions_through_a_bridge() {
    let (node, signer, _dir) = keyed_with(&["--edge-listen", "127.0.0.1:0"]).await;
    let bridge = Server::start_bridge(&[&node.bridges()]).await;
    grace_holds(&node, &bridge, &signer, &[Door::WebSocketJson, Door::WebSocketBinary]).await;
}

fn alice(token_id: &str) -> Value {
    let mut claims = claims("alice", now() + 3_600);
    claims["jti"] = token_id.into();
    claims
}

/// A grace given to `node` holds for sessions through `door`, which is that node or a bridge in front of it.
async fn grace_holds(node: &Server, door: &Server, signer: &Signer, doors: &[Door]) {
    let (first, second) = (signer.token(&alice("first")), signer.token(&alice("second")));
    let mut refreshed = open_through(door, "alice", &first, doors).await;
    let mut left = open_through(door, "alice", &first, doors).await;
    revoke(node, &["--token-id", "first", "--grace", &GRACE.to_string()]).await;
    assert_eq!(whoami(door, &first).await, revoked(), "new calls are refused at once");
    for conversation in refreshed.iter_mut().chain(&mut left) {
        let expiring = conversation.expiring().await;
        assert!(expiring.expires_after.unwrap().seconds <= GRACE, "{expiring:?}");
    }
    for conversation in &mut refreshed {
        conversation.refresh(&second).await.unwrap();
    }
    for conversation in &mut left {
        let end = within("it ends", conversation.end()).await;
        assert_eq!(end.failure.unwrap().reason, "token_revoked");
    }
    for conversation in &mut refreshed {
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    }
    revoke(node, &["--token-id", "second"]).await;
    all_end(refreshed).await;
}

/// A node without others needs no entry for a user whose state changes: it reads their row.
#[tokio::test]
async fn deactivations_do_not_fill_the_list_of_a_single_node() {
    let (server, signer, _dir) = keyed().await;
    let mut of_backend = claims("backend", now() + 3_600);
    of_backend["scope"] = "service".into();
    let backend = server.person_with("backend", &signer.token(&of_backend));
    let user = v1::CreateUserRequest { user_id: "bob".to_owned(), ..Default::default() };
    backend.users().create_user(user).await.unwrap();
    let token = signer.token(&claims("bob", now() + 3_600));
    let of_bob = open(&server, "bob", &token).await;
    let request = v1::DeactivateUserRequest { user_id: "bob".to_owned(), request_id: fresh("off") };
    backend.users().deactivate_user(request).await.unwrap();
    all_end(of_bob).await;
    assert_eq!(
        whoami(&server, &token).await.map_err(|(_, reason)| reason),
        Err("user_deactivated".to_owned())
    );
    assert!(!server.data().join("store/revocations").exists());
}

#[tokio::test]
async fn revocations_are_removed_where_tokens_live_shortly() {
    let (mut server, signer, _dir) = keyed_with(&["--jwt-max-lifetime-seconds", "3600"]).await;
    let token = |id: &str, issued_at: u64, lasts: u64| {
        let mut claims = claims("alice", issued_at + lasts);
        claims["jti"] = id.into();
        claims["iat"] = issued_at.into();
        signer.token(&claims)
    };
    let invalid = Err((401, "token_invalid".to_owned()));
    assert_eq!(whoami(&server, &token("long", now(), 3_601)).await, invalid);
    let mut undated = alice("undated");
    undated.as_object_mut().unwrap().remove("iat");
    assert_eq!(whoami(&server, &signer.token(&undated)).await, invalid);
    let known = token("known", now(), 3_600);
    assert_eq!(whoami(&server, &known).await, Ok(()));
    revoke(&server, &["--token-id", "known"]).await;
    revoke(&server, &["--user", "bob", "--issued-until", "1000"]).await;
    revoke(&server, &["--everyone", "--issued-until", "1000"]).await;
    server.stop().await;
    server.start_again().await;
    eventually("the list is trimmed", async || {
        let lines = std::fs::read_to_string(server.data().join("store/revocations")).ok()?;
        (lines.lines().count() == 1).then_some(())
    })
    .await;
    assert_eq!(whoami(&server, &known).await, revoked());
}

/// A frame of the conversation with `as_user`.
async fn list_as(conversation: &mut Conversation, user: &str) {
    let id = fresh("as");
    let operation = Some(v1::client_frame::Operation::ListRooms(v1::ListRoomsRequest::default()));
    let frame = v1::ClientFrame { request_id: id.clone(), as_user: user.to_owned(), operation };
    conversation.send_frame(frame).await;
    conversation.reply(&id).await.unwrap();
}

#[tokio::test]
async fn a_backend_that_acts_as_somebody_ends_with_its_own_tokens() {
    let (server, signer, _dir) = keyed().await;
    let mut of_backend = claims("backend", now() + 3_600);
    of_backend["scope"] = "service".into();
    let token = signer.token(&of_backend);
    for user in ["backend", "bob"] {
        let user = v1::CreateUserRequest { user_id: user.to_owned(), ..Default::default() };
        server.person_with("backend", &token).users().create_user(user).await.unwrap();
    }
    let mut conversations = open(&server, "backend", &token).await;
    let as_bob = async || {
        let http = server.http();
        let get = http.get("/v1/users/me").bearer(&token).header("parlance-as-user", "bob");
        let answer = get.answer().await;
        if answer.status == 200 { Ok(()) } else { Err(answer.refused()) }
    };

    revoke(&server, &["--user", "bob"]).await;
    assert_eq!(whoami(&server, &signer.token(&claims("bob", now() + 3_600))).await, revoked());
    assert_eq!(as_bob().await, Ok(()), "the token is not bob's");
    for conversation in &mut conversations {
        list_as(conversation, "bob").await;
    }

    revoke(&server, &["--user", "backend"]).await;
    all_end(conversations).await;
    assert_eq!(as_bob().await, revoked());
}

#[tokio::test]
async fn pages_in_a_browser_cannot_revoke() {
    let (server, _signer, _dir) = keyed().await;
    let admin = Http::new(server.admin());
    let order = json!({"everyone": true}).to_string();
    let post = |kind: &str| {
        admin.call(http::Method::POST, "/revocations").header("content-type", kind).body(order.clone())
    };
    assert_eq!(post("text/plain").answer().await.status, 415);
    let of_a_page = post("application/json").header("origin", "http://localhost:9090");
    assert_eq!(of_a_page.answer().await.status, 415);
    let elsewhere = post("application/json").header("origin", "https://evil.example");
    assert_eq!(elsewhere.answer().await.status, 403);
    // A name that such a page points here.
    let rebound = |path: &'static str| admin.get(path).header("host", "evil.example:9090");
    for path in ["/metrics", "/consumers"] {
        assert_eq!(rebound(path).answer().await.status, 403, "{path}");
    }
    let rebound = admin.call(http::Method::POST, "/revocations").header("host", "evil.example:9090");
    assert_eq!(rebound.json(&json!({"everyone": true})).answer().await.status, 403);
    // Load balancers use other host names.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(admin.get(path).header("host", "parlance").answer().await.status, 200, "{path}");
    }
    let unknown = admin.call(http::Method::POST, "/revocations").json(&json!({"user": "alice"}));
    assert_eq!(unknown.answer().await.status, 400);
}

#[tokio::test]
async fn the_whole_fleet_follows() {
    let cluster = Box::pin(Cluster::start(2)).await;
    let token = cluster.token("alice");
    let on_the_other = open(&cluster.nodes[1], "alice", &token).await;
    revoke(&cluster.nodes[0], &["--user", "alice"]).await;
    all_end(on_the_other).await;
    for node in &cluster.nodes {
        assert_eq!(whoami(node, &token).await, revoked());
    }
}

/// Answers every request with these keys.
async fn publish(keys: Value, listener: TcpListener) {
    let body = json!({ "keys": keys }).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn keys_are_fetched_from_the_issuer_once_it_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/jwks.json");
    let options = ["--jwt-jwks-url", &url, "--jwt-issuer", "https://id.example/"];
    let server = Server::start_with(&options).await;
    let signer = Signer::p256();
    let claims = json!({"sub": "alice", "exp": now() + 3_600, "iss": "https://id.example/"});
    let token = signer.token_of("k1", &claims);
    assert_eq!(whoami(&server, &token).await, Err((503, "keys_unavailable".to_owned())));

    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(publish(json!([signer.jwk("k1")]), listener));
    eventually("the key is known", async || whoami(&server, &token).await.ok()).await;
    for mut conversation in open(&server, "alice", &token).await {
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    }
    let forged = Signer::p256().token_of("k1", &claims);
    assert_eq!(whoami(&server, &forged).await, Err((401, "token_invalid".to_owned())));
    let elsewhere = json!({"sub": "alice", "exp": now() + 3_600, "iss": "https://id.example"});
    let elsewhere = signer.token_of("k1", &elsewhere);
    assert_eq!(whoami(&server, &elsewhere).await, Err((401, "token_invalid".to_owned())), "letter by letter");
}
