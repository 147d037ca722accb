//! A room, everyone who calls, and the ways that they call by.

use std::collections::HashMap;

use futures::{StreamExt, stream};
use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::v1::{self, RoomKind};
use parlance_tests::{
    Conversation, Door, GrpcWeb, Operation, Person, RawGrpc, RawWebSocket, Refused, Server, Signer, claims,
    fresh, now,
};
use tempfile::TempDir;

use super::{NO_TOKEN, OK, Row};

/// Rooms that are set up at the same time.
const SCENES: usize = 16;

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

/// Whoever calls. The room is bob's from its beginning, as it is the owner's, the admin's and that of the muted; the
/// newcomer was added after the message that operations are about. The invited have not answered.
pub(super) const ACTORS: [&str; 12] = [
    "anonymous",
    "outsider",
    "invited",
    "bob",
    "muted",
    "newcomer",
    "removed",
    "banned",
    "admin",
    "owner",
    "service",
    "moderator",
];

pub(super) const DOORS: [Way; 7] = [
    Way::Grpc,
    Way::GrpcWeb,
    Way::WebSocket,
    Way::Rest,
    Way::BridgeWebSocket,
    Way::BridgeRest,
    Way::BridgeGrpc,
];

/// A way to call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    Grpc,
    GrpcWeb,
    WebSocket,
    Rest,
    BridgeWebSocket,
    BridgeRest,
    /// The listener of a node that bridges connect to.
    BridgeGrpc,
}

/// A node with a bridge in front of it, and everyone who calls.
pub(super) struct Stage {
    pub(super) node: Server,
    pub(super) bridge: Server,
    pub(super) people: HashMap<&'static str, Person>,
    permissions: Option<v1::RoomPermissions>,
    _dir: TempDir,
}

/// A room in which everyone is what they are called.
pub(super) struct Scene {
    pub(super) room: String,
    /// The message that operations are about.
    pub(super) message: u64,
    /// The first event that the newcomer, the removed and the banned see, and all other additions.
    pub(super) added: u64,
    /// The last one that the removed sees.
    pub(super) removed: u64,
    /// The last one that the banned sees.
    pub(super) banned: u64,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let dir = TempDir::new().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, SECRET).unwrap();
        let options = ["--user-rate", "0", "--sync", "off", "--jwt-secret-file", key.to_str().unwrap()];
        let node = Server::start_with(&[&options[..], &["--edge-listen", "127.0.0.1:0"]].concat()).await;
        let bridge = Server::start_bridge(&[&node.bridges()]).await;
        let signer = Signer::Hs256(SECRET.to_vec());
        let mut people = HashMap::new();
        for name in ACTORS.into_iter().skip(1).chain(["mallory", "leaver"]) {
            let mut claims = claims(name, now() + 3600);
            match name {
                "service" => claims["scope"] = "service".into(),
                "moderator" => claims["scope"] = "admin".into(),
                _ => {}
            }
            let person = node.person_with(name, &signer.token(&claims));
            person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
            people.insert(name, person);
        }
        Self { node, bridge, people, permissions: None, _dir: dir }
    }

    /// The same with rooms in which actions take other roles than usual.
    pub(super) fn with_permissions(mut self, permissions: v1::RoomPermissions) -> Self {
        self.permissions = Some(permissions);
        self
    }

    /// gRPC in the name of `actor`.
    pub(super) fn grpc(&self, actor: &str, way: Way) -> RawGrpc {
        let bearer = self.people.get(actor).map(|person| format!("Bearer {}", person.token));
        let address = if way == Way::BridgeGrpc { self.node.bridges() } else { self.node.address() };
        RawGrpc::new(&address, bearer.as_deref())
    }

    pub(super) fn person(&self, name: &str) -> &Person {
        &self.people[name]
    }

    pub(super) async fn scene(&self, kind: RoomKind) -> Scene {
        let owner = self.person("owner");
        let settings = v1::RoomSettings {
            history_visibility: v1::HistoryVisibility::SinceJoined.into(),
            permissions: self.permissions,
            ..Default::default()
        };
        let request = v1::CreateRoomRequest {
            kind: kind.into(),
            settings: Some(settings),
            member_ids: ["bob", "admin", "muted"].map(ToOwned::to_owned).into(),
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
            ..Default::default()
        };
        let banned = owner.rooms().ban_member(request).await.unwrap().into_inner().outcome.unwrap().seq;
        let request = v1::MuteMemberRequest {
            room_id: room.clone(),
            user_id: "muted".to_owned(),
            request_id: fresh("mute"),
            ..Default::default()
        };
        owner.rooms().mute_member(request).await.unwrap();
        let request = v1::InviteMemberRequest {
            room_id: room.clone(),
            user_id: "invited".to_owned(),
            request_id: fresh("invite"),
            ..Default::default()
        };
        owner.rooms().invite_member(request).await.unwrap();
        owner.say(&room, "without them").await;
        Scene { room, message, added, removed, banned }
    }

    /// How `operation` ends for `actor` through `way`: "ok" or the reason.
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
        let server =
            if matches!(way, Way::BridgeRest | Way::BridgeWebSocket) { &self.bridge } else { &self.node };
        match way {
            Way::Grpc | Way::BridgeGrpc => {
                let grpc = self.grpc(actor, way);
                outcome(grpc.unary(&operation.grpc_path(), operation.encode(&request)).await)
            }
            Way::GrpcWeb => {
                let (http, encoded) = (server.http(), operation.encode(&request));
                let mut call = GrpcWeb::call_encoded(&http, token, &operation.grpc_path(), &encoded).await;
                let status = call.status().await;
                outcome(if status.code() == tonic::Code::Ok { Ok(()) } else { Err(status) })
            }
            Way::WebSocket | Way::BridgeWebSocket => {
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
            Way::Rest | Way::BridgeRest => {
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

    /// A user may have only so many invitations.
    async fn end_invitation(&self, room: &str) {
        let request = v1::RevokeInvitationRequest {
            room_id: room.to_owned(),
            user_id: "invited".to_owned(),
            request_id: fresh("revoke"),
            ..Default::default()
        };
        // The room may have been deleted.
        let _ = self.person("service").rooms().revoke_invitation(request).await;
    }

    /// Calls what the rows say in rooms of a kind, and compares.
    pub(super) async fn check(&self, kind: RoomKind, rows: &[Row]) {
        let mut streams = HashMap::new();
        // Where everything is refused, nothing changes.
        let untouched = self.scene(kind).await;
        let before = self.person("owner").log(&untouched.room).await;
        let mut wrong = Vec::new();
        let every_door = std::env::var_os("PARLANCE_TEST_EVERY_DOOR").is_some();
        for (nth, (method, expected)) in rows.iter().enumerate() {
            let operation = Operation::named(method);
            let changes =
                |expected: &str| expected == OK && operation.has_room() && operation.rest.0 != Method::GET;
            let changing = expected.iter().position(|expected| changes(expected));
            let cells = ACTORS.into_iter().zip(expected).enumerate();
            let cells = cells.flat_map(|(actor, (name, expected))| {
                // Each change takes a room of its own: the first actor comes through every door, the others through
                // one each, which is another for the next operation.
                let is_one_enough = !every_door && changes(expected) && changing != Some(actor);
                let one = DOORS[(nth + actor) % DOORS.len()];
                let ways = DOORS.into_iter().filter(move |way| !is_one_enough || *way == one);
                ways.map(move |way| {
                    let is_stream = matches!(way, Way::WebSocket | Way::BridgeWebSocket);
                    // Nobody has a stream without a token, not even for what needs none.
                    let is_refused = is_stream && name == "anonymous";
                    (name, way, if is_refused { NO_TOKEN } else { *expected })
                })
            });
            let cells = stream::iter(cells.collect::<Vec<_>>()).map(|(actor, way, expected)| async move {
                let own = if changes(expected) { Some(self.scene(kind).await) } else { None };
                (actor, way, expected, own)
            });
            for (actor, way, expected, own) in cells.buffered(SCENES).collect::<Vec<_>>().await {
                let scene = own.as_ref().unwrap_or(&untouched);
                let got = self.call(operation, scene, actor, way, &mut streams).await;
                if got != expected {
                    wrong.push(format!("{method} by {actor} through {way:?}: {got}, not {expected}"));
                }
                if own.is_some() {
                    self.end_invitation(&scene.room).await;
                }
            }
        }
        assert!(wrong.is_empty(), "in a {kind:?}:\n{}", wrong.join("\n"));
        assert_eq!(self.person("owner").log(&untouched.room).await, before);
    }
}

pub(super) fn outcome<T, E: Refused>(result: Result<T, E>) -> String {
    match result.map_err(Refused::failure) {
        Ok(_) => OK.to_owned(),
        Err(Failure { reason, .. }) => reason,
    }
}
