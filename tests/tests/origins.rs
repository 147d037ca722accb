//! Which web pages may use a server, and where it may listen.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::v1::GetUserRequest;
use parlance_tests::{Http, RawWebSocket, Server, Signer, claims, now, run_to_end};
use serde_json::json;
use tempfile::TempDir;

const GRPC_WEB: &str = "/parlance.v1.UserService/CreateUser";

/// Connects over all transports available to a page, as a page of `origin` that reached the
/// server under the name `host`. Returns the statuses and reasons.
async fn ask(server: &Server, host: Option<&str>, origin: Option<&str>, token: &str) -> Vec<(u16, String)> {
    let http = server.http();
    let headers: Vec<_> = [("host", host), ("origin", origin)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let rest = http.call(Method::POST, "/v1/users").json(&json!({"userId": "page"})).bearer(token);
    let web = http.call(Method::POST, GRPC_WEB).header("content-type", "application/grpc-web+proto");
    let web = web.header("x-grpc-web", "1").bearer(token).body(vec![0; 5]);
    let page = http.get("/");
    let mut answers = Vec::new();
    for call in [rest, web, page] {
        let answer = headers.iter().fold(call, |call, (name, value)| call.header(name, value)).answer().await;
        let allowed = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        if answer.status == 403 {
            assert_eq!(allowed, None);
            answers.push(answer.refused());
        } else {
            assert_eq!(allowed, origin, "a page may read the answer");
            answers.push((answer.status, String::new()));
        }
    }
    let bearer = format!("Bearer {token}");
    let headers: Vec<_> = headers.into_iter().chain([("authorization", &*bearer)]).collect();
    let handshake = RawWebSocket::connect(&server.address(), &headers).await;
    answers.push(handshake.err().unwrap_or((200, String::new())));
    answers
}

fn all(status: u16, reason: &str) -> Vec<(u16, String)> {
    vec![(status, reason.to_owned()); 4]
}

#[tokio::test]
async fn local_mode_accepts_only_this_machine() {
    let server = Server::start().await;
    let token = server.person("alice").await.token;
    for origin in ["http://localhost:3000", "http://127.0.0.1:1", "https://localhost"] {
        assert_eq!(ask(&server, None, Some(origin), &token).await, all(200, ""), "{origin}");
    }
    for host in ["localhost", "127.0.0.1:80", "[::1]:8080"] {
        assert_eq!(ask(&server, Some(host), None, &token).await, all(200, ""), "{host}");
    }
    for origin in ["http://evil.example", "https://localhost.evil.example", "null", "http://10.0.0.1", ""] {
        let answers = ask(&server, None, Some(origin), &token).await;
        assert_eq!(answers, all(403, "origin_not_allowed"), "{origin}");
    }
    // A name that its owner points to this machine.
    for host in ["evil.example", "localhost.evil.example:80", "10.0.0.1"] {
        assert_eq!(ask(&server, Some(host), None, &token).await, all(403, "host_not_allowed"), "{host}");
        let own = format!("http://{host}");
        let answers = ask(&server, Some(host), Some(&own), &token).await;
        assert_eq!(answers, all(403, "host_not_allowed"), "{host}");
    }
    let users = server.http().get("/v1/users").bearer(&token).answer().await.json();
    assert_eq!(users["users"].as_array().unwrap().iter().filter(|user| user["userId"] == "page").count(), 1);
}

#[tokio::test]
async fn in_local_mode_pages_cannot_reach_the_bridge_listener() {
    let server = Server::start_with(&["--edge-listen", "127.0.0.1:0"]).await;
    let http = Http::new(server.bridges());
    for (name, value, reason) in [
        ("host", "evil.example", "host_not_allowed"),
        ("origin", "http://evil.example", "origin_not_allowed"),
    ] {
        let call = http.call(Method::POST, GRPC_WEB).header("content-type", "application/grpc");
        let answer = call.header(name, value).body(vec![0; 5]).answer().await;
        assert_eq!((answer.status, answer.refused()), (403, (403, reason.to_owned())), "{name}");
    }
}

#[tokio::test]
async fn preflight_of_foreign_page_is_refused() {
    let server = Server::start().await;
    let preflight = async |origin| {
        let call = server.http();
        let call = call.call(Method::OPTIONS, "/v1/users").header("origin", origin);
        let call = call.header("access-control-request-method", "POST");
        let answer = call.header("access-control-request-headers", "content-type").answer().await;
        answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(preflight("http://localhost:3000").await.as_deref(), Some("http://localhost:3000"));
    assert_eq!(preflight("http://evil.example").await, None);
}

#[tokio::test]
async fn with_keys_the_own_origin_and_those_configured() {
    let dir = TempDir::new().unwrap();
    let (file, secret) = (dir.path().join("secret"), b"a secret of more than 32 bytes: 0123456789");
    std::fs::write(&file, secret).unwrap();
    let server = Server::start_with(&[
        "--jwt-secret-file",
        file.to_str().unwrap(),
        "--allowed-origins",
        "https://app.example, HTTPS://Other.example:443/",
    ])
    .await;
    let claims = json!({"scope": "service", "sub": "app", "exp": claims("app", now() + 60)["exp"]});
    let token = Signer::Hs256(secret.to_vec()).token(&claims);
    let host = Some("chat.example");
    for origin in ["https://app.example", "https://other.example", "https://chat.example"] {
        assert_eq!(ask(&server, host, Some(origin), &token).await, all(200, ""), "{origin}");
    }
    for origin in ["https://evil.example", "http://app.example", "https://app.example.evil", "null"] {
        let answers = ask(&server, host, Some(origin), &token).await;
        assert_eq!(answers, all(403, "origin_not_allowed"), "{origin}");
    }
    assert_eq!(ask(&server, host, None, &token).await, all(200, ""));
    // Proxies may add the port to the name.
    let own = Some("https://chat.example");
    assert_eq!(ask(&server, Some("Chat.example:443"), own, &token).await, all(200, ""));
}

#[tokio::test]
async fn pages_may_send_headers_of_the_contract_and_of_traces() {
    let server = Server::start().await;
    let http = server.http();
    let call = http.call(Method::OPTIONS, "/v1/users").header("origin", "http://localhost:3000");
    let call = call.header("access-control-request-method", "POST");
    let call =
        call.header("access-control-request-headers", "authorization,parlance-unknown-fields,traceparent");
    let answer = call.answer().await;
    let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    for name in ["authorization", "parlance-unknown-fields", "traceparent", "tracestate"] {
        assert!(allowed.split(',').any(|allowed| allowed.trim() == name), "{name}: {allowed}");
    }
}

#[tokio::test]
async fn without_a_key_a_server_stays_on_this_machine() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let output = run_to_end(&["serve", "--listen", address, "--data-dir", data.to_str().unwrap()]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("without a key") && said.contains("--jwt-secret-file"), "{said}");
    }
    assert!(!data.exists(), "nothing was begun");
}

/// Native gRPC answers omit headers that only browsers need: each connection would store
/// them.
#[tokio::test]
async fn only_browsers_get_origin_headers() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let answer = alice.users().get_user(GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    let http = server.http();
    let web = http.call(Method::POST, GRPC_WEB).header("content-type", "application/grpc-web+proto");
    let web = web.header("x-grpc-web", "1").bearer(&alice.token).body(vec![0; 5]).answer().await;
    for name in ["vary", "access-control-expose-headers"] {
        assert!(answer.metadata().get(name).is_none(), "{name}");
        assert!(web.headers.contains_key(name), "{name}");
    }
    let exposed = web.headers["access-control-expose-headers"].to_str().unwrap();
    assert!(
        web.headers.contains_key("parlance-version") && exposed.contains("parlance-version"),
        "{exposed}"
    );
}
