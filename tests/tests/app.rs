//! The app's own backend: rooms with its own ids, its own data, acting for itself and as its users.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::{Dialer, Door};
use parlance_client::{Config, Message, Session};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{DOORS, Person, Server, Signer, claims, fresh, now};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node that accepts the app's tokens, with its backend and two of its users.
pub(super) struct App {
    pub(super) server: Server,
    pub(super) backend: Person,
    pub(super) alice: Person,
    pub(super) bob: Person,
    signer: Signer,
    _dir: TempDir,
}

impl App {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with more options.
    pub(super) async fn start_with(options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let (key, secret) = (dir.path().join("key"), b"a secret of more than 32 bytes: 0123456789");
        std::fs::write(&key, secret).unwrap();
        let keyed = ["--user-rate", "0", "--jwt-secret-file", key.to_str().unwrap()];
        let server = Server::start_with(&[&keyed[..], options].concat()).await;
        let signer = Signer::Hs256(secret.to_vec());
        let person = |name: &str, scope: Value| {
            let mut claims = claims(name, now() + 3600);
            claims["scope"] = scope;
            server.person_with(name, &signer.token(&claims))
        };
        let backend = person("backend", "service".into());
        let (alice, bob) = (person("alice", Value::Null), person("bob", Value::Null));
        for id in ["alice", "bob"] {
            let user = v1::CreateUserRequest { user_id: id.to_owned(), ..Default::default() };
            backend.users().create_user(user).await.unwrap();
        }
        Self { server, backend, alice, bob, signer, _dir: dir }
    }

    /// Another user, who exists with their first call.
    pub(super) fn person(&self, name: &str) -> Person {
        self.server.person_with(name, &self.signer.token(&claims(name, now() + 3600)))
    }

    /// A REST call of the backend, for itself or as a user.
    pub(super) async fn rest(
        &self,
        verb: Method,
        path: &str,
        as_user: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let http = self.server.http();
        let mut call = http.call(verb, path).bearer(&self.backend.token);
        if let Some(user) = as_user {
            call = call.header("parlance-as-user", user);
        }
        if let Some(body) = &body {
            call = call.json(body);
        }
        let answer = call.answer().await;
        (answer.status, answer.json())
    }

    /// A group with an id chosen by the app, owned by alice, with bob as a member.
    async fn order(&self, id: &str) -> Value {
        let body = json!({
            "roomId": id, "kind": "ROOM_KIND_GROUP", "ownerId": "alice", "memberIds": ["bob"],
            "settings": {"title": "Order", "imageUrl": "https://example.org/a.png", "data": {"state": "open", "lines": [1, null]}},
        });
        let (status, created) = self.rest(Method::POST, "/v1/rooms", None, Some(body)).await;
        assert_eq!(status, 200, "{created}");
        created
    }
}

#[tokio::test]
async fn the_app_makes_rooms_of_its_own_ids_and_acts_in_them() {
    let app = App::start().await;
    let created = app.order("order-42").await;
    assert_eq!((&created["room"]["roomId"], created["isRepeat"].as_bool()), (&json!("order-42"), None));
    assert_eq!(app.order("order-42").await["isRepeat"], json!(true), "idempotent without a request id");
    let other = json!({"roomId": "order-42", "kind": "ROOM_KIND_CHANNEL"});
    let (status, refused) = app.rest(Method::POST, "/v1/rooms", None, Some(other)).await;
    assert_eq!((status, &refused["error"]["reason"]), (409, &json!("room_exists")));

    // For users it is like any room, but they cannot choose ids.
    let mut at_bob = app.bob.connect(Door::WebSocketJson).await;
    let room = app.bob.rooms().get_room(v1::GetRoomRequest { room_id: "order-42".to_owned() }).await.unwrap();
    let room = room.into_inner().room.unwrap();
    let settings = room.settings.unwrap();
    assert_eq!((settings.image_url.as_str(), room.member_count), ("https://example.org/a.png", 2));
    assert_eq!(settings.data.unwrap().fields.len(), 2);
    let own = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        room_id: "order-43".to_owned(),
        ..Default::default()
    };
    assert_eq!(app.bob.rooms().create_room(own).await.unwrap_err().code(), tonic::Code::PermissionDenied);

    // The app sends a message without being a member.
    let paid = json!({"clientMessageId": "1", "text": "paid", "kind": "system", "data": {"cents": 500}});
    let (status, sent) = app.rest(Method::POST, "/v1/rooms/order-42/messages", None, Some(paid)).await;
    assert_eq!(status, 200, "{sent}");
    let event = loop {
        let event = at_bob.event().await;
        if let Some(Body::Message(_)) = event.body {
            break event;
        }
    };
    let Some(Body::Message(message)) = &event.body else { unreachable!() };
    assert_eq!((event.actor_id.as_str(), event.service_id.as_str()), ("backend", ""));
    assert_eq!((message.kind.as_str(), message.data.as_ref().unwrap().fields.len()), ("system", 1));
    // And reads what users write.
    app.bob.say("order-42", "thank you").await;
    let (_, listed) = app.rest(Method::GET, "/v1/rooms/order-42/messages", None, None).await;
    let texts: Vec<_> =
        listed["messages"].as_array().unwrap().iter().map(|m| &m["message"]["text"]).collect();
    assert_eq!(texts, ["paid", "thank you"]);
    let inbox = app.alice.inbox().list_inbox(v1::ListInboxRequest::default()).await.unwrap().into_inner();
    assert_eq!(inbox.entries[0].unread_count, 2);
}

#[tokio::test]
async fn the_app_acts_as_its_users_through_every_door() {
    let app = App::start().await;
    app.order("order-1").await;
    for door in DOORS {
        let mut backend = app.backend.connect(door).await;
        let id = fresh("as");
        let send = Person::message("order-1", "in bob's name");
        let operation = Some(v1::client_frame::Operation::SendMessage(send));
        let frame = v1::ClientFrame { request_id: id.clone(), as_user: "bob".to_owned(), operation };
        backend.send_frame(frame).await;
        backend.reply(&id).await.unwrap();
        // With that user's permissions.
        let update = v1::UpdateRoomRequest {
            room_id: "order-1".to_owned(),
            title: Some("x".to_owned()),
            request_id: fresh("update"),
            ..Default::default()
        };
        let operation = Some(v1::client_frame::Operation::UpdateRoom(update));
        backend
            .send_frame(v1::ClientFrame { request_id: "2".to_owned(), as_user: "bob".to_owned(), operation })
            .await;
        assert_eq!(backend.reply("2").await.unwrap_err().reason, "needs_role", "{door}");
        let last = app.alice.log("order-1").await.pop().unwrap();
        assert_eq!((last.actor_id.as_str(), last.service_id.as_str()), ("bob", "backend"), "{door}");
        // And nobody else may.
        let mut alice = app.alice.connect(door).await;
        let operation = Some(v1::client_frame::Operation::SendMessage(Person::message("order-1", "forged")));
        alice
            .send_frame(v1::ClientFrame { request_id: "3".to_owned(), as_user: "bob".to_owned(), operation })
            .await;
        assert_eq!(alice.reply("3").await.unwrap_err().reason, "needs_scope", "{door}");
    }
    let body = json!({"clientMessageId": "rest", "text": "by REST"});
    let path = "/v1/rooms/order-1/messages";
    let (status, sent) = app.rest(Method::POST, path, Some("alice"), Some(body)).await;
    assert_eq!(status, 200, "{sent}");
    let last = app.bob.log("order-1").await.pop().unwrap();
    assert_eq!((last.actor_id.as_str(), last.service_id.as_str()), ("alice", "backend"));
    // By the Rust client, too.
    let dialer = Dialer::new(Door::Grpc, app.server.address());
    let (session, updates) = Session::start(Config::new(dialer, app.backend.token.clone()));
    drop(updates);
    let bob = session.as_user("bob");
    let sent = bob.send_message(Message::to_room("order-1", "by Rust")).await.unwrap();
    let last = app.alice.log("order-1").await.pop().unwrap();
    assert_eq!((last.seq, last.actor_id.as_str(), last.service_id.as_str()), (sent.seq, "bob", "backend"));
    let rooms = bob.call(v1::ListRoomsRequest::default()).await.unwrap().rooms;
    assert_eq!(rooms[0].room_id, "order-1");
    for (user, reason) in [("", "invalid_field"), ("a b", "invalid_field"), ("stranger", "not_member")] {
        let refused = session.as_user(user).send_message(Message::to_room("order-1", "me, too")).await;
        assert_eq!(refused.unwrap_err().failure().unwrap().reason, reason, "{user}");
    }
    // Their rooms, their inbox, and their direct room.
    let (_, rooms) = app.rest(Method::GET, "/v1/rooms", Some("bob"), None).await;
    assert_eq!(rooms["rooms"][0]["roomId"], json!("order-1"));
    let (status, _) = app.rest(Method::GET, "/v1/users/alice/direct/bob", None, None).await;
    assert_eq!(status, 404);
    let hello = json!({"toUser": "bob", "clientMessageId": "direct", "text": "hello"});
    let (_, sent) = app.rest(Method::POST, "/v1/messages", Some("alice"), Some(hello)).await;
    let (_, found) = app.rest(Method::GET, "/v1/users/bob/direct/alice", None, None).await;
    assert_eq!(found["room"]["roomId"], sent["roomId"]);
    let http = app.server.http();
    let forged =
        http.get("/v1/rooms").bearer(&app.alice.token).header("parlance-as-user", "bob").answer().await;
    assert_eq!(forged.refused(), (403, "needs_scope".to_owned()));
}

#[tokio::test]
async fn data_of_messages_is_merged_by_edits_and_goes_with_them() {
    let app = App::start().await;
    app.order("order-7").await;
    let path = "/v1/rooms/order-7/messages";
    let card = json!({"clientMessageId": "1", "kind": "custom:card", "data": {"state": "open", "due": 5}});
    let (status, sent) = app.rest(Method::POST, path, Some("bob"), Some(card)).await;
    assert_eq!(status, 200, "{sent}");
    let seq = sent["seq"].as_str().unwrap();
    let edit = json!({"data": {"state": "paid"}, "unsetData": ["due"], "requestId": "2"});
    let (status, edited) = app.rest(Method::PATCH, &format!("{path}/{seq}"), Some("bob"), Some(edit)).await;
    assert_eq!(status, 200, "{edited}");
    let shown = || async {
        let (_, found) = app.rest(Method::GET, &format!("{path}/{seq}"), Some("alice"), None).await;
        found["message"]["message"].clone()
    };
    let message = shown().await;
    assert_eq!((&message["kind"], &message["data"]), (&json!("custom:card"), &json!({"state": "paid"})));
    for bad in [
        json!({"clientMessageId": "3", "text": "x", "data": {"long": "x".repeat(4096)}}),
        json!({"clientMessageId": "3", "text": "x", "kind": "poll"}),
        json!({"clientMessageId": "3", "text": "", "data": {"a": 1}}),
    ] {
        let (status, refused) = app.rest(Method::POST, path, Some("bob"), Some(bad)).await;
        assert_eq!((status, &refused["error"]["reason"]), (400, &json!("invalid_field")), "{refused}");
    }
    app.rest(Method::DELETE, &format!("{path}/{seq}?requestId=4"), Some("bob"), None).await;
    let message = shown().await;
    assert_eq!((&message["deleted"], message.get("data")), (&json!(true), None));
    let log = app.alice.log("order-7").await;
    let edits = log.iter().filter_map(|event| match &event.body {
        Some(Body::MessageEdited(edited)) => Some(edited.data.clone()),
        _ => None,
    });
    assert_eq!(edits.collect::<Vec<_>>(), [None], "nor do its edits show it");
}

#[tokio::test]
async fn profiles_carry_pictures_and_data_and_are_read_together() {
    let app = App::start().await;
    let upsert = json!({"userId": "bob", "name": "Bob", "imageUrl": "https://a/b.png", "data": {"team": 7, "vip": true}, "update": true});
    let (_, updated) = app.rest(Method::POST, "/v1/users", None, Some(upsert)).await;
    assert_eq!((&updated["user"]["name"], &updated["isRepeat"]), (&json!("Bob"), &json!(true)));
    let change = json!({"data": {"team": 8}, "unsetData": ["vip"]});
    app.rest(Method::PATCH, "/v1/users/bob", None, Some(change)).await;
    let (_, found) =
        app.rest(Method::GET, "/v1/profiles?userIds=bob&userIds=nobody&userIds=alice", None, None).await;
    let users = found["users"].as_array().unwrap();
    assert_eq!(users.len(), 2);
    assert_eq!(
        (&users[0]["imageUrl"], &users[0]["data"]),
        (&json!("https://a/b.png"), &json!({"team": 8.0}))
    );
    let (status, _) =
        app.rest(Method::PATCH, "/v1/users/bob", None, Some(json!({"imageUrl": "javascript:1"}))).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_deleted_room_is_gone_at_once() {
    let app = App::start().await;
    app.order("order-9").await;
    let said = app.bob.say("order-9", "secret").await;
    let mut streams = Vec::new();
    for door in DOORS {
        streams.push(app.bob.connect(door).await);
    }
    let (status, deleted) = app.rest(Method::DELETE, "/v1/rooms/order-9?requestId=1", None, None).await;
    assert_eq!(status, 200, "{deleted}");
    for stream in &mut streams {
        while stream.event().await.body != Some(Body::RoomDeleted(v1::RoomDeleted {})) {}
    }
    let room_id = "order-9".to_owned();
    // Nor does this node, which knows the room, take anything else of it.
    for stream in &mut streams {
        let room_id = room_id.clone();
        let typing = stream.call(v1::SendTypingRequest { room_id: room_id.clone() }).await;
        assert_eq!(typing.unwrap_err().reason, "room_deleted");
        let read = v1::MarkReadRequest { room_id: room_id.clone(), seq: said, ..Default::default() };
        assert_eq!(stream.call(read).await.unwrap_err().reason, "room_deleted");
        // Its end is received like any other event, so that it is not delivered again and again.
        let received = v1::AcknowledgeDeliveryRequest { room_id, seq: said, ..Default::default() };
        stream.call(received).await.unwrap();
    }
    let refused = app
        .bob
        .chat()
        .list_messages(v1::ListMessagesRequest { room_id: room_id.clone(), ..Default::default() })
        .await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::NotFound);
    let get = v1::GetMessageRequest { room_id: room_id.clone(), seq: said };
    assert_eq!(app.bob.chat().get_message(get).await.unwrap_err().code(), tonic::Code::NotFound);
    let send = app.bob.chat().send_message(Person::message("order-9", "still there?")).await;
    assert_eq!(send.unwrap_err().code(), tonic::Code::NotFound);
    let rooms = app.bob.rooms().list_rooms(v1::ListRoomsRequest::default()).await.unwrap().into_inner();
    assert!(rooms.rooms.is_empty());
    let inbox = app.bob.inbox().list_inbox(v1::ListInboxRequest::default()).await.unwrap().into_inner();
    assert!(inbox.entries.is_empty());
    // A device that reconnects gets the removal and nothing before it.
    for door in DOORS {
        let mut stream = app.bob.resume(door, &[Person::cursor("order-9", 0)]).await;
        let gap = stream.gap().await;
        assert_eq!((gap.reason(), gap.from_seq, gap.to_seq), (v1::GapReason::Retention, 1, said), "{door}");
        assert_eq!(stream.event().await.body, Some(Body::RoomDeleted(v1::RoomDeleted {})), "{door}");
    }
    let (status, again) = app
        .rest(Method::POST, "/v1/rooms", None, Some(json!({"roomId": "order-9", "kind": "ROOM_KIND_GROUP"})))
        .await;
    assert_eq!((status, &again["error"]["reason"]), (404, &json!("room_deleted")));
}

#[tokio::test]
async fn rooms_are_frozen_and_kept_for_announcements() {
    let app = App::start().await;
    app.order("order-5").await;
    let path = "/v1/rooms/order-5";
    let update = json!({"permissions": {"post": "ROLE_ADMIN", "react": "ROLE_OWNER"}, "requestId": "1"});
    let (status, refused) = app.rest(Method::PATCH, path, Some("bob"), Some(update.clone())).await;
    assert_eq!((status, &refused["error"]["reason"]), (403, &json!("needs_role")));
    let (status, updated) = app.rest(Method::PATCH, path, Some("alice"), Some(update)).await;
    assert_eq!(status, 200, "{updated}");
    let refused = app.bob.chat().send_message(Person::message("order-5", "and I?")).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
    app.alice.say("order-5", "an announcement").await;
    let unset = json!({"unsetPermissions": ["ROOM_PERMISSION_REACT"], "requestId": "3"});
    let (status, updated) = app.rest(Method::PATCH, path, Some("alice"), Some(unset)).await;
    assert_eq!(status, 200, "{updated}");
    app.rest(Method::PATCH, path, None, Some(json!({"frozen": true, "requestId": "2"}))).await;
    let refused = app.alice.chat().send_message(Person::message("order-5", "another")).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::FailedPrecondition);
    let (_, room) = app.rest(Method::GET, path, None, None).await;
    let settings = &room["room"]["settings"];
    assert_eq!(
        (&settings["frozen"], &settings["permissions"]),
        (&json!(true), &json!({"post": "ROLE_ADMIN"}))
    );
    assert_eq!(
        settings["data"],
        json!({"state": "open", "lines": [1.0, null]}),
        "what was not named has stayed"
    );
}
