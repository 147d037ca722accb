//! The audit log contains the client address of every decision about other users.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::v1;
use parlance_tests::{Person, RawWebSocket, Server, eventually};
use serde_json::json;
use tonic::Request;

/// The header set by clients and proxies.
const FORWARDED: &str = "x-forwarded-for";

/// Renames a room over gRPC, REST and WebSocket, from another address each, and returns the addresses in
/// the log of `logging`.
async fn rename(doors: &Server, logging: &Server, alice: &Person, room: &str) -> Vec<String> {
    let bearer = format!("Bearer {}", alice.token);
    let mut asked = Vec::new();
    if logging.address() == doors.address() {
        let update = v1::UpdateRoomRequest {
            room_id: room.to_owned(),
            title: Some("by grpc".to_owned()),
            request_id: "grpc".to_owned(),
            ..Default::default()
        };
        let mut request = Request::new(update);
        request.metadata_mut().insert(FORWARDED, "203.0.113.1".parse().unwrap());
        alice.rooms().update_room(request).await.unwrap();
        asked.push("grpc");
    }
    let http = doors.http();
    let rest = http.call(Method::PATCH, &format!("/v1/rooms/{room}")).bearer(&alice.token);
    let rest = rest.header(FORWARDED, "192.0.2.1, 203.0.113.2");
    let answer = rest.json(&json!({"title": "by rest", "requestId": "rest"})).answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    asked.push("rest");

    let headers = [("authorization", &*bearer), (FORWARDED, "203.0.113.3")];
    let mut socket = RawWebSocket::connect(&doors.address(), &headers).await.unwrap();
    socket.hello().await;
    let update = json!({"roomId": room, "title": "by websocket", "requestId": "ws"});
    socket.text(&json!({"requestId": "1", "updateRoom": update}).to_string()).await;
    asked.push("websocket");

    let audited = || {
        let output = logging.output();
        let lines = output.lines().filter(|line| line.contains("parlance::audit"));
        let of_update = lines.filter(|line| line.contains("UpdateRoom"));
        of_update.map(client_of).collect::<Vec<_>>()
    };
    eventually("all are on record", async || Some(audited()).filter(|lines| lines.len() >= asked.len())).await
}

/// The address in a line of the log.
fn client_of(line: &str) -> String {
    let plain: String = strip(line);
    let rest = plain.split("client=").nth(1).unwrap_or_default();
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Removes colours from the line.
fn strip(line: &str) -> String {
    let mut plain = String::new();
    let mut parts = line.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

async fn room_of(server: &Server) -> (Person, String) {
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    (alice, room)
}

#[tokio::test]
async fn clients_are_named_by_trusted_proxies_at_every_door() {
    let server = Server::start_with(&["--trusted-proxies", "127.0.0.1"]).await;
    let (alice, room) = room_of(&server).await;
    let clients = rename(&server, &server, &alice, &room).await;
    assert_eq!(clients, ["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
}

#[tokio::test]
async fn other_sources_are_not_trusted() {
    let server = Server::start().await;
    let (alice, room) = room_of(&server).await;
    assert_eq!(rename(&server, &server, &alice, &room).await, ["127.0.0.1"; 3]);
}

#[tokio::test]
async fn bridges_forward_client_addresses() {
    let node = Server::start_with(&["--role", "api", "--edge-listen", "127.0.0.1:0"]).await;
    let bridge = Server::start_bridge_with(&[&node.bridges()], &["--trusted-proxies", "127.0.0.1"]).await;
    let (alice, room) = room_of(&node).await;
    assert_eq!(rename(&bridge, &node, &alice, &room).await, ["203.0.113.2", "203.0.113.3"]);

    let node = Server::start_with(&["--role", "api", "--edge-listen", "127.0.0.1:0"]).await;
    let bridge = Server::start_bridge(&[&node.bridges()]).await;
    let (alice, room) = room_of(&node).await;
    assert_eq!(rename(&bridge, &node, &alice, &room).await, ["127.0.0.1"; 2]);
}
