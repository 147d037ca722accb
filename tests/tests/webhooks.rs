//! Delivery to webhooks: signed, in order, and complete, whatever happens to either side.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_tests::{Server, deploy, eventually, free_port, fresh, now, within};
use ring::hmac;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::consumers::said;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How an endpoint answers.
#[derive(Clone, PartialEq)]
pub(super) enum Mode {
    Accept,
    Answer(u16),
    Redirect(String),
    Hang,
}

struct Shared {
    mode: Mutex<Mode>,
    posts: Mutex<Vec<(HeaderMap, Bytes)>>,
    accepted: Mutex<Vec<Value>>,
}

/// An endpoint on this machine.
pub(super) struct Endpoint {
    shared: Arc<Shared>,
    url: String,
}

impl Endpoint {
    pub(super) async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared =
            Arc::new(Shared { mode: Mutex::new(mode), posts: Mutex::default(), accepted: Mutex::default() });
        let serving = shared.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = serving.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { shared, url }
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    pub(super) fn posts(&self) -> usize {
        self.shared.posts.lock().unwrap().len()
    }

    /// The bodies of all posts.
    pub(super) fn bodies(&self) -> Vec<Bytes> {
        self.shared.posts.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The signatures of each post, and what they sign.
    pub(super) fn signed(&self) -> Vec<(String, Vec<u8>)> {
        let posts = self.shared.posts.lock().unwrap();
        let signed = posts.iter().map(|(headers, body)| {
            let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
            let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
            (header("webhook-signature"), [format!("{id}.{at}.").as_bytes(), body].concat())
        });
        signed.collect()
    }

    /// Seqs of a room's accepted events without duplicates; they must be in order.
    fn seqs(&self, room: &str) -> Vec<u64> {
        let mut seqs: Vec<u64> = Vec::new();
        for post in self.shared.accepted.lock().unwrap().iter().filter(|post| post["data"]["roomId"] == room)
        {
            let seq: u64 = post["data"]["seq"].as_str().unwrap().parse().unwrap();
            if seqs.last().is_none_or(|last| seq > *last) {
                assert_eq!(seq, seqs.last().copied().unwrap_or(0) + 1, "a hole");
                seqs.push(seq);
            }
        }
        seqs
    }

    /// Epoch and seq of a room's accepted events, as they came.
    pub(super) fn accepted(&self, room: &str) -> Vec<(u64, u64)> {
        let accepted = self.shared.accepted.lock().unwrap();
        let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
        let of_room = accepted.iter().map(|post| &post["data"]).filter(|event| event["roomId"] == room);
        of_room.map(|event| (number(&event["epoch"]), number(&event["seq"]))).collect()
    }

    pub(super) async fn has_all(&self, room: &str, head: u64) {
        eventually("all events were posted", async || (self.seqs(room).last() == Some(&head)).then_some(()))
            .await;
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    shared.posts.lock().unwrap().push((parts.headers, body.clone()));
    let mode = shared.mode.lock().unwrap().clone();
    let mut response = Response::new(Empty::new());
    match mode {
        Mode::Accept => shared.accepted.lock().unwrap().push(serde_json::from_slice(&body).unwrap()),
        Mode::Answer(status) => *response.status_mut() = status.try_into().unwrap(),
        Mode::Redirect(to) => {
            *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", to.parse().unwrap());
        }
        Mode::Hang => std::future::pending().await,
    }
    Ok(response)
}

/// A server that posts to `endpoints`, and its webhooks file.
pub(super) async fn server(endpoints: &[&Endpoint], more: &str) -> (Server, TempDir) {
    let (dir, path) = file(endpoints, more);
    let server = Server::start_with(&["--user-rate", "0", "--webhooks", &path]).await;
    (server, dir)
}

/// A webhooks file in its own folder, and its path.
pub(super) fn file(endpoints: &[&Endpoint], more: &str) -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let mut file = String::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        let url = &endpoint.url;
        write!(file, "[[webhook]]\nname = 'hook-{number}'\nurl = '{url}'\nsecret-file = 'secret'\n{more}\n")
            .unwrap();
    }
    let path = dir.path().join("webhooks.toml");
    std::fs::write(&path, file).unwrap();
    (dir, path.to_str().unwrap().to_owned())
}

pub(super) const PRIVATE: &str = "allow-private-addresses = true";

#[tokio::test]
async fn events_are_posted_signed_and_in_order() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let rooms = [alice.group(&[]).await, alice.group(&[]).await];
    let mut heads = [0; 2];
    for number in 0..20 {
        heads[number % 2] = alice.say(&rooms[number % 2], &format!("message {number}")).await;
    }
    endpoint.has_all(&rooms[0], heads[0]).await;
    endpoint.has_all(&rooms[1], heads[1]).await;
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    for (headers, body) in endpoint.shared.posts.lock().unwrap().iter() {
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
        let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, &signed, &signature).unwrap();
        assert!(now().abs_diff(at.parse().unwrap()) < 60);
        let post: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(post["data"]["id"], id);
        assert_eq!(post["data"]["type"], post["type"]);
        assert_eq!(header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_killed_server_and_an_endpoint_that_was_away_lose_nothing() {
    let endpoint = Endpoint::start(Mode::Answer(500)).await;
    let (mut server, _dir) = server(&[&endpoint], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut head = 0;
    for number in 0..10 {
        head = alice.say(&room, &format!("message {number}")).await;
    }
    eventually("it was tried", async || (endpoint.posts() > 0).then_some(())).await;
    server.kill().await;
    server.start_again().await;
    endpoint.set(Mode::Accept);
    endpoint.has_all(&room, head).await;
    for round in 0..3 {
        for number in 0..5 {
            head = alice.say(&room, &format!("message {round} {number}")).await;
        }
        server.kill().await;
        server.start_again().await;
    }
    endpoint.has_all(&room, head).await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_holds_nobody_up() {
    let (hanging, working) = (Endpoint::start(Mode::Hang).await, Endpoint::start(Mode::Accept).await);
    let (mut server, _dir) = server(&[&hanging, &working], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let head = alice.say(&room, "hello").await;
    working.has_all(&room, head).await;
    eventually("it was tried", async || (hanging.posts() > 0).then_some(())).await;
    // Nor does it delay the server's shutdown.
    server.stop().await;
    hanging.set(Mode::Accept);
    server.start_again().await;
    hanging.has_all(&room, head).await;
}

/// Neither by its address nor by a name for it. The log says so at the start, and `list` for as long as events wait.
#[tokio::test]
async fn an_address_of_this_machine_is_not_posted_to_unless_that_is_allowed() {
    const REASON: &str = "which is no address of the internet: allow-private-addresses";
    let endpoint = Endpoint::start(Mode::Accept).await;
    let by_name = endpoint.url.replace("127.0.0.1", "localhost");
    let (dir, path) = file(&[&endpoint], "");
    let text = std::fs::read_to_string(&path).unwrap();
    let named = format!("[[webhook]]\nname = 'named'\nurl = '{by_name}'\nsecret-file = 'secret'\n");
    std::fs::write(&path, text + &named).unwrap();
    let server = Server::start_with(&["--user-rate", "0", "--webhooks", &path]).await;
    eventually("the log says why before there is an event", async || {
        let output = server.output();
        let said = |name: &str| {
            let mut lines = output.lines().filter(|line| line.contains("events cannot be delivered now"));
            lines.any(|line| line.contains(name) && line.contains(REASON))
        };
        (said("hook-0") && said("named")).then_some(())
    })
    .await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    alice.say(&room, "hello").await;
    let listed = eventually("they are away", async || {
        let listed = said(&server, &["list"]).await;
        let away = |line: &&str| line.split_whitespace().nth(2) == Some("away") && line.contains(REASON);
        (listed.lines().filter(away).count() == 2).then_some(listed)
    })
    .await;
    assert!(listed.contains("localhost is at"), "{listed}");
    assert_eq!(endpoint.posts(), 0);
    drop(dir);
}

#[tokio::test]
async fn redirects_are_not_followed_and_an_endpoint_that_is_gone_is_left_alone() {
    let elsewhere = Endpoint::start(Mode::Accept).await;
    let endpoint = Endpoint::start(Mode::Redirect(elsewhere.url.clone())).await;
    let other = Endpoint::start(Mode::Accept).await;
    let (mut server, _dir) = server(&[&endpoint, &other], PRIVATE).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    alice.say(&room, "hello").await;
    eventually("the log says so", async || {
        server.output().contains("redirects are not followed").then_some(())
    })
    .await;
    endpoint.set(Mode::Answer(410));
    eventually("it is disabled", async || server.output().contains("consumer disabled").then_some(())).await;
    let posts = endpoint.posts();
    let head = alice.say(&room, "still there?").await;
    other.has_all(&room, head).await;
    assert_eq!((endpoint.posts(), elsewhere.posts()), (posts, 0));
    // A restart with the endpoint in the file enables it again.
    endpoint.set(Mode::Accept);
    server.stop().await;
    server.start_again().await;
    endpoint.has_all(&room, head).await;
}

#[tokio::test]
async fn a_new_endpoint_may_begin_with_the_first_event() {
    let endpoint = Endpoint::start(Mode::Accept).await;
    let (mut server, dir) = server(&[], "").await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let head = alice.say(&room, "long ago").await;
    let file = format!(
        "[[webhook]]\nname = 'late'\nurl = '{}'\nsecret-file = 'secret'\nstart = 'beginning'\n{PRIVATE}\n",
        endpoint.url
    );
    std::fs::write(dir.path().join("webhooks.toml"), file).unwrap();
    server.stop().await;
    server.start_again().await;
    endpoint.has_all(&room, head).await;
}

/// The example in Go verifies signatures, drops repeats, and says so at a hole. There are rooms before it starts, it is
/// restarted, and a room is deleted whose last events it never gets.
#[tokio::test]
async fn the_example_in_go_receives_every_event() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(dir.path().join("webhook"));
    build.arg(deploy().join("../clients/go/events/webhook.go"));
    let built = within("it is built", build.kill_on_drop(true).status()).await.unwrap();
    assert!(built.success(), "make .tools/ready installs Go");
    let example = || {
        let append = || {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).append(true).open(dir.path().join("output")).unwrap()
        };
        let mut example = Command::new(dir.path().join("webhook"));
        example.arg(&address).arg(dir.path().join("secret")).arg(dir.path().join("seen"));
        example.stdout(append()).stderr(append()).kill_on_drop(true).spawn().unwrap()
    };
    let output = || std::fs::read_to_string(dir.path().join("output")).unwrap();
    let has = async |room: &str, seq: u64| {
        let (of_room, last) = (format!("{room}:"), format!(":{seq} "));
        let is_last = |line: &str| line.starts_with(&of_room) && line.contains(&last);
        eventually("it has all events", async || output().lines().any(is_last).then_some(())).await;
    };
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let (room, deleted) = (alice.group(&[]).await, alice.group(&[]).await);
    alice.say(&room, "before it starts").await;
    let text =
        format!("[[webhook]]\nname = 'go'\nurl = 'http://{address}/'\nsecret-file = 'secret'\n{PRIVATE}\n");
    std::fs::write(dir.path().join("webhooks.toml"), text).unwrap();
    let webhooks = dir.path().join("webhooks.toml");
    server.restart_with(&["--user-rate", "0", "--webhooks", webhooks.to_str().unwrap()]).await;
    let mut child = example();
    has(&deleted, alice.say(&deleted, "hello").await).await;
    has(&room, alice.say(&room, "before").await).await;
    server.kill().await;
    server.start_again().await;
    child.kill().await.unwrap();
    let mut child = example();
    has(&room, alice.say(&room, "after").await).await;
    said(&server, &["pause", "go"]).await;
    alice.say(&deleted, "it never gets this").await;
    let delete =
        v1::DeleteRoomRequest { room_id: deleted.clone(), request_id: fresh("delete"), ..Default::default() };
    alice.connect(Door::Grpc).await.call(delete).await.unwrap();
    said(&server, &["resume", "go"]).await;
    eventually("it has the deletion", async || {
        let of_room = format!("{deleted}:");
        let is_deletion =
            |line: &str| line.starts_with(&of_room) && line.contains(r#"{"type":"parlance.room.deleted.v1""#);
        output().lines().any(is_deletion).then_some(())
    })
    .await;
    has(&room, alice.say(&room, "at last").await).await;
    assert!(!output().contains("missing: "), "it found a hole: {}", output());
    assert!(child.try_wait().unwrap().is_none(), "it has ended");
    let mut ids: Vec<String> =
        output().lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "an event was handled twice");
}
