//! What every answer says to browsers, which requests name no host or several, what is no call of gRPC, and load
//! balancers that name their clients by the PROXY protocol.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::net::{IpAddr, SocketAddr};

use parlance_tests::{Answer, Server, Signer, claims, now, within};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Sends bytes to `to` from `from`, and returns everything that is answered until the server hangs up.
async fn exchange(from: &str, to: &str, bytes: &[u8]) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0)).unwrap();
    let mut stream: TcpStream = socket.connect(to.parse().unwrap()).await.unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within("the server hangs up", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the answer to a request with these lines.
async fn status(server: &Server, lines: &str) -> String {
    let request = format!("{}\r\nConnection: close\r\n\r\n", lines.replace('\n', "\r\n"));
    let answer = exchange("127.0.0.1", &server.address(), request.as_bytes()).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

async fn keyed(options: &[&str]) -> (Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, SECRET).unwrap();
    let key = ["--jwt-secret-file", file.to_str().unwrap()];
    (Server::start_with(&[&key, options].concat()).await, dir)
}

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

#[tokio::test]
async fn every_answer_says_what_browsers_may_not_do_with_it() {
    let (server, _dir) = keyed(&["--trusted-proxies", "127.0.0.1"]).await;
    let http = server.http();
    let token = Signer::Hs256(SECRET.to_vec()).token(&claims("alice", now() + 60));
    for (path, expected) in [
        ("/", 200),
        ("/openapi.json", 200),
        ("/healthz", 200),
        ("/v1/users/me", 401),
        ("/v1/nothing", 404),
        ("/nothing", 404),
        ("/ws", 426),
    ] {
        let answer = http.get(path).answer().await;
        assert_eq!(answer.status, expected, "{path}");
        for name in ["x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"]
        {
            assert!(header(&answer, name).is_some(), "{path}: {name}");
        }
        assert!(
            header(&answer, "content-security-policy").unwrap().contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(header(&answer, "strict-transport-security"), None, "{path}: it came without TLS");
        let behind_tls = http.get(path).header("x-forwarded-proto", "https").answer().await;
        assert_eq!(header(&behind_tls, "strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
    let mine = http.get("/v1/users/me").bearer(&token).answer().await;
    assert_eq!((mine.status, header(&mine, "cache-control")), (200, Some("no-store")));
    let admin = parlance_tests::Http::new(server.admin());
    let metrics = admin.get("/metrics").answer().await;
    assert_eq!(header(&metrics, "x-content-type-options"), Some("nosniff"));
}

/// Requests that cannot be read, whose answers the HTTP library makes; and what a listener for bridges says to others.
#[tokio::test]
async fn refusals_before_the_app_have_the_same_headers() {
    let (server, _dir) = keyed(&["--edge-listen", "127.0.0.1:0"]).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nx-long: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", "x: y\r\n".repeat(63));
    let (clients, admin, bridges) = (server.address(), server.admin(), server.bridges());
    for (address, request, expected) in [
        (&clients, "GET / HTTP/1.1\r\nno header\r\n\r\n", "400"),
        (&clients, &*long, "431"),
        (&clients, &*many, "431"),
        (&admin, "no request\r\n\r\n", "400"),
        (&bridges, "GET / HTTP/1.1\r\nno header\r\n\r\n", "400"),
        (&bridges, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        (&bridges, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
    ] {
        let answer = exchange("127.0.0.1", address, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {expected}")), "{head}");
        for name in ["x-content-type-options", "referrer-policy", "content-security-policy", "cache-control"]
        {
            assert_eq!(head.matches(&format!("\r\n{name}: ")).count(), 1, "{name}: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(length.unwrap().parse(), Ok(body.len()), "{answer}");
    }
}

/// A body that is not read would end the connection before its client has the answer.
#[tokio::test]
async fn grpc_web_over_http_1_is_read_when_it_is_refused_for_its_rate() {
    let (server, _dir) = keyed(&["--user-rate", "1"]).await;
    let head = "POST /parlance.v1.ChatService/SendMessage HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web\r\n";
    let token = Signer::Hs256(SECRET.to_vec()).token(&claims("alice", now() + 60));
    let mut io = TcpStream::connect(server.address()).await.unwrap();
    let mut refused = 0;
    for _ in 0..8 {
        let request = format!("{head}Authorization: Bearer {token}\r\nContent-Length: 100000\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        // The rest comes when the server has decided already.
        let message = [&[0][..], &99_995_u32.to_be_bytes(), &[0; 99_995]].concat();
        io.write_all(&message).await.unwrap();
        let mut answer = Vec::new();
        let status = within("an answer", async {
            loop {
                assert!(io.read_buf(&mut answer).await.unwrap() > 0, "the connection ends");
                let text = String::from_utf8_lossy(&answer).into_owned();
                if let Some((_, status)) = text.split_once("grpc-status: ") {
                    break status.chars().take_while(char::is_ascii_digit).collect::<String>();
                }
            }
        });
        refused += usize::from(status.await == "8");
    }
    assert!(refused >= 4, "{refused}");
}

#[tokio::test]
async fn tls_is_asked_for_only_where_it_is_known() {
    let (server, _dir) = keyed(&[]).await;
    let answer = server.http().get("/").header("x-forwarded-proto", "https").answer().await;
    assert_eq!(header(&answer, "strict-transport-security"), None, "anyone may say so");
    let (server, _dir) = keyed(&["--trusted-proxies", "127.0.0.1", "--hsts-seconds", "0"]).await;
    let answer = server.http().get("/").header("x-forwarded-proto", "https").answer().await;
    assert_eq!(header(&answer, "strict-transport-security"), None, "the operator does not want it");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let (server, _dir) = keyed(&[]).await;
    for (lines, expected) in [
        ("GET /healthz HTTP/1.1\nHost: chat.example", "200"),
        ("GET /healthz HTTP/1.0", "200"),
        ("GET http://chat.example/healthz HTTP/1.1\nHost: chat.example", "200"),
        ("GET /healthz HTTP/1.1", "400"),
        ("GET /healthz HTTP/1.1\nHost: chat.example\nHost: chat.example", "400"),
        ("GET /healthz HTTP/1.1\nHost: a b", "400"),
        ("GET /healthz HTTP/1.1\nHost: ", "400"),
        ("GET http://chat.example/healthz HTTP/1.1\nHost: evil.example", "400"),
    ] {
        assert_eq!(status(&server, lines).await, expected, "{lines}");
    }
    let request = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n";
    let of_admin = exchange("127.0.0.1", &server.admin(), request).await;
    assert!(of_admin.starts_with("HTTP/1.1 400"), "{of_admin}");
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_refused_before_it_is_read() {
    let (server, _dir) = keyed(&[]).await;
    for path in [
        "/parlance.v1.ChatService/SendMessage",
        "/parlance.v1.ChatService/Chat",
        "/parlance.events.v1.EventService/StreamEvents",
        "/grpc.health.v1.Health/Check",
    ] {
        for (method, kind, expected) in [
            ("GET", "application/grpc", "405"),
            ("PUT", "application/grpc-web", "405"),
            ("POST", "text/plain", "415"),
            ("POST", "application/json", "415"),
            ("POST", "application/grpcx", "415"),
            ("POST", "application/x-www-form-urlencoded", "415"),
        ] {
            // A body that never comes is not waited for.
            let lines = format!("{method} {path} HTTP/1.1\nHost: a\nContent-Type: {kind}\nContent-Length: 9");
            assert_eq!(status(&server, &lines).await, expected, "{method} {kind} {path}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_forwards_bytes_names_its_clients() {
    let (server, _dir) = keyed(&["--trusted-proxies", "127.0.0.2", "--proxy-protocol", "on"]).await;
    let signer = Signer::Hs256(SECRET.to_vec());
    let mut of_app = claims("app", now() + 60);
    of_app["scope"] = "service".into();
    let body = r#"{"userId": "alice"}"#;
    let request = format!(
        "POST /v1/users HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        signer.token(&of_app),
        body.len(),
    );
    let sent = async |from: &str, header: &[u8]| {
        let answer = exchange(from, &server.address(), &[header, request.as_bytes()].concat()).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let version_2 =
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[198, 51, 100, 8, 127, 0, 0, 1, 0, 1, 0, 2]]
            .concat();
    assert_eq!(sent("127.0.0.2", b"PROXY TCP4 198.51.100.7 127.0.0.1 5000 80\r\n").await, "200");
    assert_eq!(sent("127.0.0.2", &version_2).await, "200");
    // The proxy's own checks name nobody.
    assert_eq!(sent("127.0.0.2", b"PROXY UNKNOWN\r\n").await, "200");
    // A header is required of the proxy, and accepted from nobody else.
    assert_eq!(sent("127.0.0.2", b"").await, "");
    assert_eq!(sent("127.0.0.1", b"").await, "200");
    assert_ne!(sent("127.0.0.1", b"PROXY TCP4 198.51.100.9 127.0.0.1 5000 80\r\n").await, "200");
    // A client whose address is a proxy's is none, and names nobody else.
    let forging = request.replacen("Host: a\r\n", "Host: a\r\nX-Forwarded-For: 203.0.113.9\r\n", 1);
    let header = "PROXY TCP4 127.0.0.2 127.0.0.1 5000 80\r\n";
    let answer = exchange("127.0.0.2", &server.address(), format!("{header}{forging}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let output = server.output();
    let named =
        [("198.51.100.7", true), ("198.51.100.8", true), ("198.51.100.9", false), ("203.0.113.9", false)];
    for (client, expected) in named {
        assert_eq!(output.contains(client), expected, "{client} in the audit log:\n{output}");
    }
}
