//! Permissions of every actor on every operation, and the events each can read, over every transport.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::HashMap;

use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::json;
use parlance_proto::v1::{self, Event, RoomKind};
use parlance_tests::{
    Conversation, Door, GrpcWeb, OPERATIONS, Operation, Person, RawGrpc, RawWebSocket, Refused, Server,
    Signer, VARIANTS, claims, fresh, now,
};

use tempfile::TempDir;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// The callers. Bob, the owner and the admin are members from the beginning; the newcomer was added after the message that
/// operations refer to.
const ACTORS: [&str; 9] =
    ["anonymous", "outsider", "bob", "newcomer", "removed", "banned", "admin", "owner", "service"];

const DOORS: [Way; 6] =
    [Way::Grpc, Way::GrpcWeb, Way::WebSocket, Way::Rest, Way::EdgeWebSocket, Way::EdgeRest];

/// A way to call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Grpc,
    GrpcWeb,
    WebSocket,
    Rest,
    EdgeWebSocket,
    EdgeRest,
}

const OK: &str = "ok";
const NO_TOKEN: &str = "token_missing";
const SCOPE: &str = "needs_scope";
const NO: &str = "not_member";
const ROLE: &str = "needs_role";
const UNSEEN: &str = "message_not_found";
const SHUT: &str = "not_joinable";
const NONE: &str = "room_not_found";

/// The result of each operation in a group that hides its history from newcomers.
#[rustfmt::skip]
const GROUP: [(&str, [&str; 9]); 39] = [
    // Service/Method                     anonymous outsider bob           newcomer removed banned  admin         owner           service
    ("ChatService/SendMessage",           [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK, OK]),
    ("ChatService/GetMessage",            [NO_TOKEN, NO,     OK,           UNSEEN,  UNSEEN, UNSEEN, OK,           OK, OK]),
    ("ChatService/ListMessages",          [NO_TOKEN, NO,     OK,           OK,      OK,     OK,     OK,           OK, OK]),
    ("ChatService/ListEvents",            [NO_TOKEN, NO,     OK,           OK,      OK,     OK,     OK,           OK, OK]),
    ("ChatService/EditMessage",           [NO_TOKEN, NO,     "not_sender", UNSEEN,  NO,     NO,     "not_sender", OK, "not_sender"]),
    ("ChatService/DeleteMessage",         [NO_TOKEN, NO,     ROLE,         UNSEEN,  NO,     NO,     OK,           OK, OK]),
    ("ChatService/AddReaction",           [NO_TOKEN, NO,     OK,           UNSEEN,  NO,     NO,     OK,           OK, OK]),
    ("ChatService/RemoveReaction",        [NO_TOKEN, NO,     OK,           UNSEEN,  NO,     NO,     OK,           OK, OK]),
    ("ChatService/SendTyping",            [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK,             NO]),
    ("UserService/CreateUser",            [NO_TOKEN, SCOPE,  SCOPE,        SCOPE,   SCOPE,  SCOPE,  SCOPE,        SCOPE,          OK]),
    ("UserService/GetUser",               [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("UserService/GetUsers",              [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("UserService/ListUsers",             [NO_TOKEN, SCOPE,  SCOPE,        SCOPE,   SCOPE,  SCOPE,  SCOPE,        SCOPE,          OK]),
    ("UserService/UpdateUser",            [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("UserService/GetPresence",           [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("RoomService/CreateRoom",            [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("RoomService/GetRoom",               [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK, OK]),
    ("RoomService/UpdateRoom",            [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     OK,           OK, OK]),
    ("RoomService/DeleteRoom",            [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     ROLE,         OK,             OK]),
    ("RoomService/GetDirectRoom",         [NO_TOKEN, NONE,   NONE,         NONE,    NONE,   NONE,   NONE,         NONE,           NONE]),
    ("RoomService/GetDirectRoom of others", [NO_TOKEN, SCOPE, SCOPE,       SCOPE,   SCOPE,  SCOPE,  SCOPE,        SCOPE,          NONE]),
    ("RoomService/ListRooms",             [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("RoomService/AddMembers",            [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     OK,           OK, OK]),
    ("RoomService/RemoveMember",          [NO_TOKEN, NO,     OK,           ROLE,    NO,     NO,     OK,           OK, OK]),
    ("RoomService/ListMembers",           [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK, OK]),
    ("RoomService/SetRole",               [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     ROLE,         OK, OK]),
    ("RoomService/SetRole to owner",      [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     ROLE,         OK,             OK]),
    ("RoomService/JoinRoom",              [NO_TOKEN, NO,     OK,           OK,      SHUT,   SHUT,   OK,           OK,             NO]),
    ("RoomService/LeaveRoom",             [NO_TOKEN, NO,     OK,           OK,      OK,     OK,     OK,           OK,             NO]),
    ("RoomService/BanMember",             [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     OK,           OK, SCOPE]),
    ("RoomService/UnbanMember",           [NO_TOKEN, NO,     ROLE,         ROLE,    NO,     NO,     OK,           OK, SCOPE]),
    ("InboxService/ListInbox",            [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("InboxService/MarkRead",             [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK,             NO]),
    ("InboxService/AcknowledgeDelivery",  [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK,             NO]),
    ("InboxService/ListReceipts",         [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK, OK]),
    ("InboxService/SetRoomHidden",        [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK,             NO]),
    ("InboxService/SetRoomPreferences",   [NO_TOKEN, NO,     OK,           OK,      NO,     NO,     OK,           OK,             NO]),
    ("InboxService/GetUnreadTotal",       [NO_TOKEN, OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
    ("ServerService/GetServer",           [OK,       OK,     OK,           OK,      OK,     OK,     OK,           OK,             OK]),
];

/// Differing results in a channel, which is visible and open to everyone.
#[rustfmt::skip]
const CHANNEL: [(&str, [&str; 9]); 2] = [
    // Service/Method                     anonymous outsider bob newcomer removed    banned    admin owner service
    ("RoomService/GetRoom",               [NO_TOKEN, OK,     OK, OK,      OK,        OK,       OK,   OK,   OK]),
    ("RoomService/JoinRoom",              [NO_TOKEN, OK,     OK, OK,      "removed", "banned", OK,   OK,   OK]),
];

/// A node with a bridge in front of it, and all callers.
struct Stage {
    node: Server,
    edge: Server,
    people: HashMap<&'static str, Person>,
    _dir: TempDir,
}

/// A room in which all actors have their roles.
struct Scene {
    room: String,
    /// The message that operations refer to.
    message: u64,
    /// The first event visible to the newcomer, the removed and the banned; and all other additions.
    added: u64,
    /// The last event visible to the removed.
    removed: u64,
    /// The last event visible to the banned.
    banned: u64,
}

impl Stage {
    async fn set() -> Self {
        let dir = TempDir::new().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, SECRET).unwrap();
        let options = ["--user-rate", "0", "--jwt-secret-file", key.to_str().unwrap()];
        let node = Server::start_with(&[&options[..], &["--edge-listen", "127.0.0.1:0"]].concat()).await;
        let edge = Server::start_edge(&[&node.edges()]).await;
        let signer = Signer::Hs256(SECRET.to_vec());
        let mut people = HashMap::new();
        for name in ACTORS.into_iter().skip(1).chain(["mallory"]) {
            let mut claims = claims(name, now() + 3600);
            if name == "service" {
                claims["scope"] = "service".into();
            }
            let person = node.person_with(name, &signer.token(&claims));
            person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
            people.insert(name, person);
        }
        Self { node, edge, people, _dir: dir }
    }

    fn person(&self, name: &str) -> &Person {
        &self.people[name]
    }

    async fn scene(&self, kind: RoomKind) -> Scene {
        let owner = self.person("owner");
        let settings = v1::RoomSettings {
            history_visibility: v1::HistoryVisibility::SinceJoined.into(),
            ..Default::default()
        };
        let request = v1::CreateRoomRequest {
            kind: kind.into(),
            settings: Some(settings),
            member_ids: vec!["bob".to_owned(), "admin".to_owned()],
            request_id: fresh("room"),
            ..Default::default()
        };
        let room = owner.rooms().create_room(request).await.unwrap().into_inner().room.unwrap().room_id;
        let message = owner.say(&room, "among us").await;
        let request = v1::SetRoleRequest {
            room_id: room.clone(),
            user_id: "admin".to_owned(),
            role: v1::Role::Admin.into(),
            request_id: fresh("role"),
            after_seq: None,
        };
        owner.rooms().set_role(request).await.unwrap();
        let request = v1::AddMembersRequest {
            room_id: room.clone(),
            user_ids: ["newcomer", "removed", "banned"].map(ToOwned::to_owned).into(),
            request_id: fresh("add"),
            after_seq: None,
        };
        let added = owner.rooms().add_members(request).await.unwrap().into_inner().outcome.unwrap().seq;
        owner.say(&room, "welcome").await;
        let removed = owner.remove(&room, self.person("removed")).await;
        let request = v1::BanMemberRequest {
            room_id: room.clone(),
            user_id: "banned".to_owned(),
            request_id: fresh("ban"),
            after_seq: None,
        };
        let banned = owner.rooms().ban_member(request).await.unwrap().into_inner().outcome.unwrap().seq;
        owner.say(&room, "without them").await;
        Scene { room, message, added, removed, banned }
    }

    /// The result of `operation` for `actor` through `way`: "ok" or the reason.
    async fn call(
        &self,
        operation: &Operation,
        scene: &Scene,
        actor: &str,
        way: Way,
        streams: &mut HashMap<(String, Way), Conversation>,
    ) -> String {
        let request = operation.json_of(&scene.room, scene.message);
        let token = self.people.get(actor).map(|person| person.token.as_str());
        let server = if matches!(way, Way::EdgeRest | Way::EdgeWebSocket) { &self.edge } else { &self.node };
        match way {
            Way::Grpc => {
                let bearer = token.map(|token| format!("Bearer {token}"));
                let grpc = RawGrpc::new(&server.address(), bearer.as_deref());
                outcome(grpc.unary(&operation.grpc_path(), operation.encode(&request)).await)
            }
            Way::GrpcWeb => {
                let (http, encoded) = (server.http(), operation.encode(&request));
                let mut call = GrpcWeb::call_encoded(&http, token, &operation.grpc_path(), &encoded).await;
                let status = call.status().await;
                outcome(if status.code() == tonic::Code::Ok { Ok(()) } else { Err(status) })
            }
            Way::WebSocket | Way::EdgeWebSocket => {
                let Some(token) = token else {
                    let (_, reason) = RawWebSocket::connect(&server.address(), &[]).await.err().unwrap();
                    return reason;
                };
                let key = (actor.to_owned(), way);
                if !streams.contains_key(&key) {
                    let person = server.person_with(actor, token);
                    streams.insert(key.clone(), person.connect(Door::WebSocketJson).await);
                }
                let stream = streams.get_mut(&key).unwrap();
                let id = fresh("call");
                stream.send_frame(operation.frame_of(&id, &request)).await;
                outcome(stream.reply(&id).await)
            }
            Way::Rest | Way::EdgeRest => {
                let http = server.http();
                let (verb, path) = (&operation.rest.0, operation.rest_path_of(&scene.room, scene.message));
                let mut call = http.call(verb.clone(), &path);
                if let Some(token) = token {
                    call = call.bearer(token);
                }
                if verb == Method::POST || verb == Method::PATCH {
                    call = call.json(&request);
                }
                let answer = call.answer().await;
                if answer.status == 200 { OK.to_owned() } else { answer.refused().1 }
            }
        }
    }

    /// Runs the rows in rooms of a kind, and compares the results.
    async fn check(&self, kind: RoomKind, rows: &[(&str, [&str; 9])]) {
        let mut streams = HashMap::new();
        // If everything is refused, nothing changes.
        let untouched = self.scene(kind).await;
        let before = self.person("owner").log(&untouched.room).await;
        let mut wrong = Vec::new();
        for (method, expected) in rows {
            let operation = Operation::named(method);
            for (actor, expected) in ACTORS.into_iter().zip(expected) {
                for way in DOORS {
                    let is_stream = matches!(way, Way::WebSocket | Way::EdgeWebSocket);
                    // Streams require a token, even for operations that do not.
                    let expected = if is_stream && actor == "anonymous" { &NO_TOKEN } else { expected };
                    let changes = *expected == OK && operation.has_room() && operation.rest.0 != Method::GET;
                    let own = if changes { Some(self.scene(kind).await) } else { None };
                    let scene = own.as_ref().unwrap_or(&untouched);
                    let got = self.call(operation, scene, actor, way, &mut streams).await;
                    if got != **expected {
                        wrong.push(format!("{method} by {actor} through {way:?}: {got}, not {expected}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "in a {kind:?}:\n{}", wrong.join("\n"));
        assert_eq!(self.person("owner").log(&untouched.room).await, before);
    }
}

fn outcome<T, E: Refused>(result: Result<T, E>) -> String {
    match result.map_err(Refused::failure) {
        Ok(_) => OK.to_owned(),
        Err(Failure { reason, .. }) => reason,
    }
}

#[test]
fn every_operation_of_the_contract_has_a_row() {
    let services = json::pool().services().filter(|service| service.package_name() == "parlance.v1");
    let mut contract: Vec<String> = services
        .flat_map(|service| {
            let unary = service.methods().filter(|method| !method.is_server_streaming());
            unary
                .map(|method| format!("{}/{}", method.parent_service().name(), method.name()))
                .collect::<Vec<_>>()
        })
        .collect();
    let is_variant = |method: &str| VARIANTS.iter().any(|(name, _)| *name == method);
    let rows = GROUP.iter().filter(|(method, _)| !is_variant(method));
    let mut rows: Vec<_> = rows.map(|(method, _)| (*method).to_owned()).collect();
    contract.sort();
    rows.sort();
    assert_eq!(rows, contract);
    assert_eq!(rows.len(), OPERATIONS.len());
}

#[tokio::test]
async fn operations_end_as_the_table_says_in_a_group() {
    Stage::set().await.check(RoomKind::Group, &GROUP).await;
}

#[tokio::test]
async fn operations_end_as_the_table_says_in_a_channel() {
    let rows: Vec<_> = GROUP
        .iter()
        .map(|row| *CHANNEL.iter().find(|(method, _)| *method == row.0).unwrap_or(row))
        .filter(|(method, _)| {
            method.starts_with("RoomService/") || CHANNEL.iter().any(|row| row.0 == *method)
        })
        .collect();
    Stage::set().await.check(RoomKind::Channel, &rows).await;
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

fn messages(events: &[Event]) -> Vec<u64> {
    let messages = events.iter().filter(|event| matches!(event.body, Some(v1::event::Body::Message(_))));
    messages.map(|event| event.seq).collect()
}

#[tokio::test]
async fn everyone_reads_what_is_theirs_and_no_more() {
    let stage = Stage::set().await;
    let scene = stage.scene(RoomKind::Group).await;
    let room = &scene.room;
    let log = stage.person("owner").log(room).await;
    let head = log.last().unwrap().seq;
    assert_eq!(seqs(&log), (1..=head).collect::<Vec<_>>());
    // "banned", "newcomer" and "removed" were added in this order, by id.
    let visible = [
        ("outsider", None),
        ("service", Some((1, head))),
        ("bob", Some((1, head))),
        ("admin", Some((1, head))),
        ("owner", Some((1, head))),
        ("banned", Some((scene.added, scene.banned))),
        ("newcomer", Some((scene.added + 1, head))),
        ("removed", Some((scene.added + 2, scene.removed))),
    ];
    for server in [&stage.node, &stage.edge] {
        for (name, visible) in visible {
            for door in parlance_tests::DOORS {
                if door == Door::Grpc && std::ptr::eq(server, &stage.edge) {
                    continue;
                }
                let who = format!("{name} through {door}");
                let person = server.person_with(name, &stage.person(name).token);
                let mut stream = person.resume(door, &[]).await;
                let is_member = name != "service" && visible.is_some_and(|(_, to)| to == head);

                let inbox = stream.call(v1::ListInboxRequest::default()).await.unwrap();
                let ids: Vec<_> =
                    inbox.entries.iter().map(|entry| &entry.room.as_ref().unwrap().room_id).collect();
                assert_eq!(ids.contains(&room), is_member, "{who}: {ids:?}");
                let last = inbox.entries.iter().find_map(|entry| entry.last_message.as_ref());
                assert_eq!(last.map(|last| last.seq), is_member.then_some(head), "{who}");

                let request = v1::ListReceiptsRequest { room_id: room.clone(), ..Default::default() };
                let receipts = stream.call(request).await;
                let of = |receipts: v1::ListReceiptsResponse| -> Vec<String> {
                    receipts.receipts.into_iter().map(|receipt| receipt.user_id).collect()
                };
                let members = ["admin", "bob", "newcomer", "owner"].map(ToOwned::to_owned).to_vec();
                let is_told = is_member || name == "service";
                let expected = if is_told { Ok(members) } else { Err(NO.to_owned()) };
                assert_eq!(receipts.map(of).map_err(|failure| failure.reason), expected, "{who}");

                let request = v1::ListEventsRequest { room_id: room.clone(), ..Default::default() };
                let events = stream.call(request).await.map_err(|failure| failure.reason);
                let request = v1::ListMessagesRequest { room_id: room.clone(), ..Default::default() };
                let listed = stream.call(request).await.map_err(|failure| failure.reason);
                let Some((from, to)) = visible else {
                    assert_eq!(events.err().as_deref(), Some(NO), "{who}");
                    assert_eq!(listed.err().as_deref(), Some(NO), "{who}");
                    continue;
                };
                let expected: Vec<u64> = (from..=to).collect();
                let events = events.unwrap();
                assert_eq!((seqs(&events.events), events.head_seq), (expected.clone(), to), "{who}");
                let of_log = messages(&log);
                let of_log: Vec<_> = of_log.into_iter().filter(|seq| expected.contains(seq)).collect();
                assert_eq!(seqs(&listed.unwrap().messages), of_log, "{who}");
                if name == "service" {
                    // It can read any room, but only gets pushes of its own rooms.
                    continue;
                }
                // Also on a stream without cursors.
                let mut stream = person.resume(door, &[Person::cursor(room, 0)]).await;
                assert_eq!(seqs(&stream.events_up_to(room, to).await), expected, "{who}");
            }
        }
    }
}
