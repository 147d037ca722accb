//! The unary calls: identical over REST, gRPC and as frames of `Chat`.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::json;
use parlance_proto::v1;
use parlance_proto::v1::send_message_request::Target;
use parlance_tests::{Door, OPERATIONS, Person, RawGrpc, Server};
use serde_json::{Value, json as object};

#[test]
fn the_table_of_operations_is_that_of_the_contract() {
    let services = json::pool().services().filter(|service| service.package_name() == "parlance.v1");
    let methods = services.flat_map(|service| {
        let service_name = service.name().to_owned();
        let unary = service.methods().filter(|method| !method.is_server_streaming()).collect::<Vec<_>>();
        unary.into_iter().map(move |method| format!("{service_name}/{}", method.name()))
    });
    let (mut contract, mut table) =
        (methods.collect::<Vec<_>>(), OPERATIONS.iter().map(|o| o.method).collect::<Vec<_>>());
    contract.sort();
    table.sort_unstable();
    assert_eq!(contract, table);
}

/// Operations for the app alone.
const APP_ONLY: [&str; 7] = [
    "UserService/DeactivateUser",
    "UserService/ReactivateUser",
    "UserService/DeleteUser",
    "UserService/ExportUser",
    "UserService/ListReports",
    "RoomService/ImportMessages",
    "RoomService/ExportRoom",
];

#[tokio::test]
async fn every_unary_call_answers_alike_through_every_door() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    server.person("mallory").await;
    // One of the calls asks for their direct room.
    let target = Some(Target::ToUser("mallory".to_owned()));
    alice
        .chat()
        .send_message(v1::SendMessageRequest { target, ..Person::message("", "hello") })
        .await
        .unwrap();
    let http = server.http();
    let grpc = RawGrpc::new(&server.address(), Some(&format!("Bearer {}", alice.token)));
    let mut chat = alice.connect(Door::WebSocketJson).await;
    for operation in &OPERATIONS {
        // Each on its own room, so that they do not affect each other.
        let room = async || {
            let room = alice.group(&[&bob]).await;
            // Nobody reports their own.
            let author = if operation.method == "ChatService/ReportMessage" { &bob } else { &alice };
            assert_eq!(author.say(&room, "hello").await, 4);
            room
        };
        let reason = |failure: Option<Failure>| failure.map(|failure| failure.reason).unwrap_or_default();

        // Nobody has the scope in local mode.
        let (expected, status) = match operation.method {
            method if APP_ONLY.contains(&method) => ("needs_scope", 403),
            // There is none.
            "UserService/ResolveReport" => ("report_not_found", 404),
            "RoomService/GetInvitationLink" => ("link_invalid", 404),
            _ => ("", 200),
        };
        let encoded = operation.encoded(&room().await);
        let answer = grpc.unary(&operation.grpc_path(), encoded).await;
        let failure = answer.err().map(|status| Failure::from_status(&status));
        assert_eq!(reason(failure), expected, "{} over gRPC", operation.method);

        let id = operation.method.replace('/', "-");
        chat.send_frame(operation.frame(&id, &room().await)).await;
        assert_eq!(reason(chat.reply(&id).await.err()), expected, "{} as a frame", operation.method);

        let (verb, room) = (operation.rest.0.clone(), room().await);
        let mut call = http.call(verb.clone(), &operation.rest_path(&room)).bearer(&alice.token);
        if verb == Method::POST || verb == Method::PATCH {
            call = call.json(&operation.json(&room));
        }
        let answer = call.answer().await;
        let answered = if answer.status == 200 { (200, String::new()) } else { answer.refused() };
        assert_eq!(answered, (status, expected.to_owned()), "{} over REST", operation.method);
    }
}

#[tokio::test]
async fn newcomer_can_chat_with_curl() {
    let server = Server::start().await;
    let http = server.http();
    let user = object!({"userId": "alice", "name": "Alice"});
    let created = http.call(Method::POST, "/v1/users").json(&user).answer().await.json();
    assert_eq!(created["user"]["name"], "Alice");
    let token = created["token"].as_str().unwrap().to_owned();
    http.call(Method::POST, "/v1/users").json(&object!({"userId": "bob"})).answer().await;

    let message = object!({"toUser": "bob", "clientMessageId": "1", "text": "hello"});
    let send = || http.call(Method::POST, "/v1/messages").bearer(&token).json(&message);
    let sent = send().answer().await.json();
    assert_eq!((sent["seq"].as_str(), sent.get("isRepeat")), (Some("4"), None));
    let repeat = send().answer().await.json();
    assert_eq!((&repeat["seq"], &repeat["isRepeat"]), (&sent["seq"], &Value::Bool(true)));

    let room = sent["roomId"].as_str().unwrap();
    let history = http.get(&format!("/v1/rooms/{room}/messages")).bearer(&token).answer().await.json();
    assert_eq!(history["messages"][0]["message"]["text"], "hello");
    let users = http.get("/v1/users").bearer(&token).answer().await.json();
    let users = users["users"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap());
    assert_eq!(users.collect::<Vec<_>>(), ["alice", "bob"]);
}

#[tokio::test]
async fn history_is_paged_both_ways() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let mut said = Vec::new();
    for number in 0..25 {
        said.push(alice.say(&room, &number.to_string()).await);
    }
    let http = server.http();
    let page = async |query: String| {
        let path = format!("/v1/rooms/{room}/messages?pageSize=10{query}");
        let page = http.get(&path).bearer(&bob.token).answer().await.json();
        let messages = page["messages"].as_array().cloned().unwrap_or_default();
        let seqs = messages.iter().map(|message| message["seq"].as_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(page["headSeq"], said.last().unwrap().to_string());
        let more = page["hasMore"].as_bool().unwrap_or_default();
        (seqs.collect::<Vec<_>>(), more, page["nextSeq"].as_str().unwrap_or("0").to_owned())
    };

    let mut forwards = Vec::new();
    assert_eq!(page("&afterSeq=0".to_owned()).await, page("&afterSeq=1".to_owned()).await);
    let mut query = "&afterSeq=0".to_owned();
    loop {
        let (seqs, more, next) = page(query).await;
        forwards.extend(seqs);
        if !more {
            break;
        }
        query = format!("&afterSeq={next}");
    }
    assert_eq!(forwards, said);

    let mut backwards = Vec::new();
    let mut query = String::new();
    loop {
        let (seqs, more, next) = page(query).await;
        backwards.splice(0..0, seqs);
        if !more {
            break;
        }
        query = format!("&beforeSeq={next}");
    }
    assert_eq!(backwards, said);
    assert_eq!(page(format!("&afterSeq={}&beforeSeq={}", said[3], said[6])).await.0, said[4..6]);
}

#[tokio::test]
async fn fields_at_fault_are_named_as_in_json() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let group = object!({"kind": "ROOM_KIND_GROUP"});
    let http = server.http();
    let call = http.call(Method::POST, "/v1/rooms").json(&group).bearer(&alice.token);
    let error = call.answer().await.json()["error"].take();
    assert_eq!(error["fieldViolations"][0]["field"], "requestId");
    assert_eq!(error["message"], "requestId: must not be empty");
}
