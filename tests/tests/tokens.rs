//! Accepted tokens, and their permissions.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say where")]

use std::time::Duration;

use tokio::time::Instant;

use http::Method;
use parlance_proto::v1;
use parlance_tests::{
    Conversation, DOORS, Door, Person, RawGrpc, RawWebSocket, Server, Signer, claims, for_each_door, now,
    refused, run_to_end,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// A server that verifies tokens of this signer.
async fn server_for(signer: &Signer, options: &[&str]) -> (Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("key");
    let name = match signer {
        Signer::Hs256(secret) => {
            std::fs::write(&file, secret).unwrap();
            "--jwt-secret-file"
        }
        _ => {
            std::fs::write(&file, signer.public_pem()).unwrap();
            "--jwt-public-key"
        }
    };
    let server = Server::start_with(&[&[name, file.to_str().unwrap()], options].concat()).await;
    (server, dir)
}

#[tokio::test]
async fn anyone_learns_how_to_sign_in_and_the_limits() {
    let (keyed, _dir) = server_for(&Signer::Hs256(SECRET.to_vec()), &[]).await;
    let local = Server::start().await;
    for (server, expected) in [(&keyed, "SIGN_IN_TOKEN"), (&local, "SIGN_IN_NAME")] {
        let answer = server.http().get("/v1/server").answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["signIn"], expected);
        assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
        assert!(told["limits"]["maxTextBytes"].as_u64().unwrap() > 0, "{told}");
    }
}

/// Checks a token with a stream over each transport, a unary call, and a REST call.
async fn check(server: &Server, token: &str, expected: Result<(), &str>) {
    let expected = expected.map_err(|reason| (Code::Unauthenticated, reason.to_owned()));
    for door in DOORS {
        let opened = Conversation::open(&server.address(), token, door, &[]).await;
        let opened = opened.map(|_| ()).map_err(|failure| (failure.code, failure.reason));
        assert_eq!(opened, expected, "through {door}");
    }
    let asked = v1::GetUserRequest { user_id: "me".to_owned() };
    let answer = server.person_with("someone", token).users().get_user(asked).await;
    let answer = answer.map(|_| ()).map_err(|status| refused::<(), _>(Err(status)));
    assert_eq!(answer, expected, "over gRPC");
    let answer = server.http().get("/v1/users/me").bearer(token).answer().await;
    let answer = if answer.status == 200 { Ok(()) } else { Err(answer.refused()) };
    assert_eq!(answer, expected.map_err(|(_, reason)| (401, reason)), "over REST");
}

#[tokio::test]
async fn with_a_shared_secret() {
    let signer = Signer::Hs256(SECRET.to_vec());
    let (server, _dir) = server_for(&signer, &[]).await;
    check(&server, &signer.token(&claims("alice", now() + 60)), Ok(())).await;
    check_bad_tokens(&server, &signer).await;
}

#[tokio::test]
async fn with_a_public_key() {
    for signer in [Signer::ed25519(), Signer::p256()] {
        let (server, _dir) = server_for(&signer, &[]).await;
        check(&server, &signer.token(&claims("alice", now() + 60)), Ok(())).await;
        check_bad_tokens(&server, &signer).await;
        // The public key is not a secret: tokens signed with it are refused.
        let confused = Signer::Hs256(signer.public_pem().into_bytes());
        check(&server, &confused.token(&claims("alice", now() + 60)), Err("token_invalid")).await;
    }
}

async fn check_bad_tokens(server: &Server, signer: &Signer) {
    let good = claims("alice", now() + 60);
    let other = match signer {
        Signer::Hs256(_) => Signer::Hs256(b"another secret of more than 32 bytes: 0123".to_vec()),
        Signer::EdDsa(_) => Signer::ed25519(),
        Signer::Es256(_) => Signer::p256(),
    };
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(claim);
        signer.token(&claims)
    };
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        signer.token(&claims)
    };
    let token = signer.token(&good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = signer.token(&claims("mallory", now() + 60));
    let forged = format!("{}.{signature}", forged.rsplit_once('.').unwrap().0);
    let bad = [
        ("of another key", other.token(&good)),
        ("alg none", signer.token_that_says("none", &good)),
        ("alg None", signer.token_that_says("None", &good)),
        ("another algorithm", signer.token_that_says("HS512", &good)),
        ("an unknown algorithm", signer.token_that_says("XX", &good)),
        ("without its signature", format!("{signed}.")),
        ("with a signature of something else", forged),
        ("garbage", "garbage".to_owned()),
        ("empty", String::new()),
        ("three dots", "...".to_owned()),
        ("without an end", without("exp")),
        ("for nobody", without("sub")),
        ("for someone who cannot be", with("sub", json!("a b"))),
        ("for an empty name", with("sub", json!(""))),
        ("not yet good", with("nbf", json!(now() + 3_600))),
        ("too long", with("padding", json!("x".repeat(9_000)))),
    ];
    for (what, token) in bad {
        println!("a token {what}");
        check(server, &token, Err("token_invalid")).await;
    }
    println!("an expired token");
    check(server, &signer.token(&claims("alice", now() - 70)), Err("token_expired")).await;
}

#[tokio::test]
async fn audience_and_issuer_are_checked_where_they_are_configured() {
    let signer = Signer::Hs256(SECRET.to_vec());
    let (server, _dir) = server_for(&signer, &["--jwt-audience", "chat", "--jwt-issuer", "app"]).await;
    let token = |aud: Value, iss: Value| {
        signer.token(&json!({"sub": "alice", "exp": now() + 60, "aud": aud, "iss": iss}))
    };
    check(&server, &token(json!("chat"), json!("app")), Ok(())).await;
    check(&server, &token(json!(["mail", "chat"]), json!("app")), Ok(())).await;
    check(&server, &token(json!("mail"), json!("app")), Err("token_invalid")).await;
    check(&server, &token(json!("chat"), json!("other")), Err("token_invalid")).await;
    check(&server, &signer.token(&claims("alice", now() + 60)), Err("token_invalid")).await;
}

#[tokio::test]
async fn scopes_say_who_may_list_and_make_users() {
    let signer = Signer::Hs256(SECRET.to_vec());
    let (server, _dir) = server_for(&signer, &[]).await;
    let person = |id: &str, scope: &str| {
        let token = signer.token(&json!({"sub": id, "exp": now() + 600, "scope": scope}));
        server.person_with(id, &token)
    };
    let create = |id: &str| v1::CreateUserRequest { user_id: id.to_owned(), ..Default::default() };
    for_each_door(async |door| {
        let denied = (Code::PermissionDenied, "needs_scope".to_owned());
        let mut alice = person("alice", "read services administrator").connect(door).await;
        assert_eq!(refused(alice.call(v1::ListUsersRequest::default()).await), denied);
        assert_eq!(refused(alice.call(create("bob")).await), denied);
        let own = alice.call(create("alice")).await.unwrap();
        assert_eq!(
            (own.is_repeat, own.token.as_str()),
            (true, ""),
            "she is a user, and tokens come from elsewhere"
        );
        for scope in ["service", "admin", "read service"] {
            let mut backend = person("backend", scope).connect(door).await;
            let made = parlance_tests::fresh("made");
            assert_eq!(backend.call(create(&made)).await.unwrap().user.unwrap().user_id, made);
            let users = backend.call(v1::ListUsersRequest::default()).await.unwrap().users;
            assert!(users.iter().any(|user| user.user_id == made));
        }
    })
    .await;
    // No token can be obtained without a token.
    let path = "/parlance.v1.UserService/CreateUser";
    let answer = RawGrpc::new(&server.address(), None).unary(path, Vec::new()).await;
    assert_eq!(refused(answer), (Code::Unauthenticated, "token_missing".to_owned()));
}

/// The server allows a clock skew of a minute.
#[tokio::test]
async fn a_session_ends_with_its_token() {
    let signer = Signer::Hs256(SECRET.to_vec());
    let (server, _dir) = server_for(&signer, &[]).await;
    let token = signer.token(&claims("alice", now() - 57));
    let start = Instant::now();
    let person: Person = server.person_with("alice", &token);
    let mut conversations = Vec::new();
    for door in DOORS {
        conversations.push((door, person.connect(door).await));
    }
    for (door, mut conversation) in conversations {
        let end = conversation.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::Unauthenticated, "token_expired"));
        let close = if door == Door::Grpc { None } else { Some(1008) };
        assert_eq!(end.close, close, "through {door}");
    }
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn token_may_have_no_expiry() {
    let signer = Signer::Hs256(SECRET.to_vec());
    let (server, _dir) = server_for(&signer, &[]).await;
    // Milliseconds instead of seconds, and the end of the range.
    for end in [4_102_444_800_000, i64::MAX as u64, u64::MAX] {
        println!("until {end}");
        check(&server, &signer.token(&claims("alice", end)), Ok(())).await;
    }
}

#[tokio::test]
async fn a_browser_offers_its_token_as_a_subprotocol() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let offer = format!("parlance.v1, bearer.{}", alice.token);
    let headers = [("sec-websocket-protocol", &*offer)];
    let mut socket = RawWebSocket::connect(&server.address(), &headers).await.unwrap();
    assert_eq!(socket.handshake["sec-websocket-protocol"], "parlance.v1", "the token does not come back");
    socket.text(r#"{"hello": {}}"#).await;
    assert_eq!(socket.json().await["welcome"]["userId"], "alice");

    let headers = [("sec-websocket-protocol", "parlance.v1, bearer.garbage")];
    let refused = RawWebSocket::connect(&server.address(), &headers).await.err();
    assert_eq!(refused, Some((401, "token_invalid".to_owned())));
}

#[tokio::test]
async fn tokens_never_reach_the_output() {
    let server = Server::start_with(&["--log", "trace"]).await;
    let alice = server.person("alice").await;
    for door in DOORS {
        let mut conversation = alice.connect(door).await;
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    }
    server.http().get("/v1/users/me").bearer(&alice.token).answer().await;
    let offer = format!("parlance.v1, bearer.{}", alice.token);
    RawWebSocket::connect(&server.address(), &[("sec-websocket-protocol", &offer)]).await.unwrap();
    let bad = format!("{}x", alice.token);
    assert_eq!(server.http().get("/v1/users/me").bearer(&bad).answer().await.status, 401);
    assert!(server.output().len() > 10_000, "much was logged");
    let signature = alice.token.rsplit_once('.').unwrap().1;
    let leak = server.output().lines().find(|line| line.contains(signature)).map(ToOwned::to_owned);
    assert_eq!(leak, None);
}

#[tokio::test]
async fn the_command_makes_tokens_in_local_mode() {
    let server = Server::start().await;
    let data = server.data();
    let output = run_to_end(&["token", "alice", "--data-dir", data.to_str().unwrap()]).await;
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).unwrap();
    check(&server, token.trim(), Ok(())).await;

    // By their scope, tokens of the app's backend.
    for (scope, status) in [("service", 403), ("admin", 200)] {
        let made = ["token", "shop", "--scope", scope, "--data-dir", data.to_str().unwrap()];
        let made = String::from_utf8(run_to_end(&made).await.stdout).unwrap();
        let http = server.http();
        let room = json!({"kind": "ROOM_KIND_GROUP", "roomId": format!("order-{scope}"), "ownerId": "alice"});
        let created = http.call(Method::POST, "/v1/rooms").json(&room).bearer(made.trim()).answer().await;
        assert_eq!(created.status, 200, "{scope}");
        let bans = format!("/v1/rooms/order-{scope}/bans");
        let ban = http.call(Method::POST, &bans).json(&json!({"userId": "alice", "requestId": "1"}));
        assert_eq!(ban.bearer(made.trim()).answer().await.status, status, "{scope}");
    }

    // The key is the server's own, so a token for another user is only refused if it
    // is not signed with it.
    let key = std::fs::read(data.join("local.key")).unwrap();
    let signer = Signer::Hs256(key);
    let local = |expires_at| json!({"sub": "alice", "exp": expires_at, "iss": "parlance-local"});
    check(&server, &signer.token(&local(now() + 60)), Ok(())).await;
    check(&server, &signer.token(&local(now() - 70)), Err("token_expired")).await;
    check(&server, &signer.token(&claims("alice", now() + 60)), Err("token_invalid")).await;
    check(&server, &signer.token_that_says("none", &local(now() + 60)), Err("token_invalid")).await;
}
