//! Requests to join a room, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh};

use crate::app::App;
use crate::fleet::person;

fn ask(room: &str) -> v1::RequestToJoinRequest {
    let note = "from the choir".to_owned();
    v1::RequestToJoinRequest { room_id: room.to_owned(), request_id: fresh("ask"), note }
}

fn withdraw(room: &str) -> v1::WithdrawJoinRequestRequest {
    v1::WithdrawJoinRequestRequest { room_id: room.to_owned(), request_id: fresh("withdraw") }
}

fn answer(room: &str, user: &Person, answer: v1::JoinRequestAnswer) -> v1::AnswerJoinRequestRequest {
    let (room_id, user_id, answer) = (room.to_owned(), user.id.clone(), answer.into());
    v1::AnswerJoinRequestRequest { room_id, user_id, answer, request_id: fresh("answer"), after_seq: None }
}

fn approve(room: &str, user: &Person) -> v1::AnswerJoinRequestRequest {
    answer(room, user, v1::JoinRequestAnswer::Approve)
}

fn reject(room: &str, user: &Person) -> v1::AnswerJoinRequestRequest {
    answer(room, user, v1::JoinRequestAnswer::Reject)
}

fn add(room: &str, user: &Person) -> v1::AddMembersRequest {
    let (room_id, user_ids) = (room.to_owned(), vec![user.id.clone()]);
    v1::AddMembersRequest { room_id, user_ids, request_id: fresh("add"), after_seq: None }
}

fn joined_by(room: &str, joining: v1::RoomJoining) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest {
        room_id: room.to_owned(),
        joining: Some(joining.into()),
        request_id: fresh("joining"),
        ..Default::default()
    }
}

/// A group that is joined by request.
async fn group(owner: &Person) -> String {
    let room = owner.group(&[]).await;
    owner.rooms().update_room(joined_by(&room, v1::RoomJoining::ByRequest)).await.unwrap();
    room
}

/// Who asks to join a room, all with the same note.
async fn asking(at: &mut Conversation, room: &str) -> Vec<String> {
    let request = v1::ListJoinRequestsRequest { room_id: room.to_owned(), ..Default::default() };
    let requests = at.call(request).await.unwrap().requests;
    assert!(requests.iter().all(|request| request.note == "from the choir"), "{requests:?}");
    requests.into_iter().map(|request| request.user_id).collect()
}

async fn own(at: &mut Conversation) -> Vec<v1::JoinRequest> {
    at.call(v1::ListJoinRequestsRequest::default()).await.unwrap().requests
}

async fn next_change(at: &mut Conversation) -> v1::JoinRequestChanged {
    loop {
        if let Signal::JoinRequestChanged(changed) = at.signal().await {
            return changed;
        }
    }
}

async fn refused<R: parlance_client::Request>(at: &mut Conversation, request: R) -> String
where
    R::Response: std::fmt::Debug,
{
    at.call(request).await.unwrap_err().reason
}

#[tokio::test]
async fn a_request_is_approved_withdrawn_or_rejected() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let room = group(&alice).await;
        let asks = ask(&room);
        at_bob.call(asks.clone()).await.unwrap();
        at_bob.call(asks).await.unwrap();
        let told = next_change(&mut at_bob).await;
        assert_eq!((told.room_id, told.request.unwrap().rejected), (room.clone(), false));
        let mine = own(&mut at_bob).await;
        assert_eq!((mine.len(), &mine[0].room_id, mine[0].kind()), (1, &room, v1::RoomKind::Group));
        assert_eq!(asking(&mut at_alice, &room).await, std::slice::from_ref(&bob.id));
        let of_room = v1::ListJoinRequestsRequest { room_id: room.clone(), ..Default::default() };
        assert_eq!(refused(&mut at_bob, of_room).await, "not_member");
        assert_eq!(refused(&mut at_bob, v1::GetRoomRequest { room_id: room.clone() }).await, "not_member");

        at_bob.call(withdraw(&room)).await.unwrap();
        assert_eq!(next_change(&mut at_bob).await.request, None);
        assert!(own(&mut at_bob).await.is_empty() && asking(&mut at_alice, &room).await.is_empty());

        at_bob.call(ask(&room)).await.unwrap();
        assert!(next_change(&mut at_bob).await.request.is_some());
        at_alice.call(reject(&room, &bob)).await.unwrap();
        assert!(next_change(&mut at_bob).await.request.unwrap().rejected);
        assert!(own(&mut at_bob).await[0].rejected);
        let failure = at_bob.call(ask(&room)).await.unwrap_err();
        assert_eq!(failure.reason, "request_rejected");
        assert!(failure.metadata.contains_key("until"), "{failure:?}");
        assert!(asking(&mut at_alice, &room).await.is_empty());

        assert_eq!(refused(&mut at_alice, approve(&room, &bob)).await, "join_request_not_found");
        at_alice.call(add(&room, &bob)).await.unwrap();
        assert!(own(&mut at_bob).await.is_empty());
        let log = bob.log(&room).await;
        let added =
            |event: &v1::Event| matches!(&event.body, Some(Body::MemberAdded(it)) if it.user_id == bob.id);
        assert!(log.iter().any(added));
        let log = alice.log(&room).await;
        let asked = log.iter().filter(|event| matches!(event.body, Some(Body::JoinRequested(_)))).count();
        let ended = log.iter().filter(|event| matches!(event.body, Some(Body::JoinRequestEnded(_)))).count();
        assert_eq!((asked, ended), (2, 2));
        assert!(!format!("{log:?}").contains("choir"), "no event has the note");

        let room = group(&alice).await;
        at_bob.call(ask(&room)).await.unwrap();
        assert!(next_change(&mut at_bob).await.request.is_some());
        let approval = approve(&room, &bob);
        let approved = at_alice.call(approval.clone()).await.unwrap().outcome.unwrap();
        assert!(approved.seq > 0);
        assert!(at_alice.call(approval).await.unwrap().outcome.unwrap().is_repeat);
        assert_eq!(next_change(&mut at_bob).await.request, None);
        at_bob.call(Person::message(&room, "thanks")).await.unwrap();
        let unspecified = answer(&room, &bob, v1::JoinRequestAnswer::Unspecified);
        assert_eq!(refused(&mut at_alice, unspecified).await, "invalid_field");
        let long = v1::RequestToJoinRequest { note: "x".repeat(301), ..ask(&room) };
        assert_eq!(refused(&mut at_bob, long).await, "invalid_field");
    })
    .await;
}

#[tokio::test]
async fn a_channel_says_how_it_is_joined() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut at_bob = bob.connect(Door::WebSocketJson).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let room = alice.channel().await;
    let join =
        || v1::JoinRoomRequest { room_id: room.clone(), request_id: fresh("join"), ..Default::default() };
    assert_eq!(refused(&mut at_bob, ask(&room)).await, "not_by_request");
    at_alice.call(joined_by(&room, v1::RoomJoining::ByRequest)).await.unwrap();
    assert_eq!(refused(&mut at_bob, join()).await, "by_request");
    let seen = at_bob.call(v1::GetRoomRequest { room_id: room.clone() }).await.unwrap().room.unwrap();
    assert_eq!(seen.settings.unwrap().joining(), v1::RoomJoining::ByRequest);
    at_alice.call(joined_by(&room, v1::RoomJoining::ByInvitation)).await.unwrap();
    assert_eq!(refused(&mut at_bob, join()).await, "not_joinable");
    at_alice.call(joined_by(&room, v1::RoomJoining::Unspecified)).await.unwrap();
    at_bob.call(join()).await.unwrap();
    let group = alice.group(&[]).await;
    assert_eq!(refused(&mut at_bob, ask(&group)).await, "not_member");
    let open = joined_by(&group, v1::RoomJoining::Open);
    assert_eq!(refused(&mut at_alice, open).await, "invalid_field");
    let settings = v1::RoomSettings { joining: v1::RoomJoining::Open.into(), ..Default::default() };
    let open = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        settings: Some(settings),
        request_id: fresh("room"),
        ..Default::default()
    };
    assert_eq!(refused(&mut at_alice, open).await, "invalid_field");
}

#[tokio::test]
async fn requests_over_rest_are_paged() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = group(&alice).await;
    for id in ["bob", "carol", "dora"] {
        let guest = server.person(id).await;
        let path = format!("/v1/rooms/{room}/join_request");
        let call = server.http();
        let call = call.call(Method::POST, &path).bearer(&guest.token);
        let answer = call.json(&serde_json::json!({"requestId": fresh("ask")})).answer().await;
        assert_eq!(answer.status, 200);
    }
    let http = server.http();
    let page = async |query: &str| {
        let path = format!("/v1/join_requests?roomId={room}{query}");
        http.get(&path).bearer(&alice.token).answer().await.json()
    };
    let first = page("&pageSize=2").await;
    assert_eq!(first["requests"].as_array().unwrap().len(), 2);
    let token = first["nextPageToken"].as_str().unwrap();
    let rest = page(&format!("&pageSize=2&pageToken={token}")).await;
    assert_eq!(rest["requests"][0]["userId"], "dora");
    let path = format!("/v1/rooms/{room}/join_requests/dora/answer");
    let call = http.call(Method::POST, &path).bearer(&alice.token);
    let reject = serde_json::json!({"answer": "JOIN_REQUEST_ANSWER_REJECT", "requestId": fresh("reject")});
    let answer = call.json(&reject).answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(page("").await["requests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn requests_cross_nodes_and_are_bounded_for_each_user() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = group(&alice).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    at_bob.call(ask(&room)).await.unwrap();
    assert!(next_change(&mut at_bob).await.request.is_some());
    alice.rooms().answer_join_request(reject(&room, &bob)).await.unwrap();
    assert!(next_change(&mut at_bob).await.request.unwrap().rejected);
    for _ in 0..20 {
        let room = group(&alice).await;
        at_bob.call(ask(&room)).await.unwrap();
    }
    let failure = at_bob.call(ask(&group(&alice).await)).await.unwrap_err();
    assert_eq!(failure.reason, "too_many_join_requests");
}

#[tokio::test]
async fn of_answers_at_once_on_two_nodes_one_counts() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let guest = person(&cluster, 1, "guest").await;
    let room = alice.group(&[&bob]).await;
    alice.rooms().update_room(joined_by(&room, v1::RoomJoining::ByRequest)).await.unwrap();
    let admin = v1::SetRoleRequest {
        room_id: room.clone(),
        user_id: bob.id.clone(),
        role: v1::Role::Admin.into(),
        request_id: fresh("role"),
        ..Default::default()
    };
    alice.rooms().set_role(admin).await.unwrap();
    guest.rooms().request_to_join(ask(&room)).await.unwrap();
    let (mut of_alice, mut of_bob) = (alice.rooms(), bob.rooms());
    let (one, other) = tokio::join!(
        of_alice.answer_join_request(approve(&room, &guest)),
        of_bob.answer_join_request(approve(&room, &guest))
    );
    let seqs = [one, other].map(|answer| answer.unwrap().into_inner().outcome.unwrap().seq);
    assert_eq!(seqs.iter().filter(|seq| **seq > 0).count(), 1, "{seqs:?}");
    let log = guest.log(&room).await;
    let added =
        |event: &&v1::Event| matches!(&event.body, Some(Body::MemberAdded(it)) if it.user_id == guest.id);
    assert_eq!(log.iter().filter(added).count(), 1);
}

#[tokio::test]
async fn nobody_who_was_banned_or_deleted_meanwhile_is_approved() {
    let app = App::start().await;
    let (alice, bob, carol) = (app.alice.clone(), app.bob.clone(), app.person("carol"));
    let room = alice.group(&[&bob]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    at_alice.call(joined_by(&room, v1::RoomJoining::ByRequest)).await.unwrap();
    alice.remove(&room, &bob).await;
    bob.rooms().request_to_join(ask(&room)).await.unwrap();
    carol.rooms().request_to_join(ask(&room)).await.unwrap();
    let ban = v1::BanMemberRequest {
        room_id: room.clone(),
        user_id: bob.id.clone(),
        request_id: fresh("ban"),
        ..Default::default()
    };
    at_alice.call(ban).await.unwrap();
    assert_eq!(refused(&mut at_alice, approve(&room, &bob)).await, "target_banned");
    let mut at_bob = bob.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_bob, ask(&room)).await, "banned");
    let delete = v1::DeleteUserRequest {
        user_id: carol.id.clone(),
        request_id: fresh("delete"),
        ..Default::default()
    };
    app.backend.users().delete_user(delete).await.unwrap();
    assert_eq!(refused(&mut at_alice, approve(&room, &carol)).await, "join_request_not_found");
    assert!(asking(&mut at_alice, &room).await.is_empty());
}

#[tokio::test]
async fn who_asks_is_added_by_strangers_and_a_deleted_user_asks_no_more() {
    let app = App::start_with(&["--additions", "invite"]).await;
    let (alice, bob) = (app.alice.clone(), app.bob.clone());
    let room = group(&alice).await;
    bob.rooms().request_to_join(ask(&room)).await.unwrap();
    let added = alice.rooms().add_members(add(&room, &bob)).await.unwrap().into_inner();
    assert!(added.invited_user_ids.is_empty() && added.outcome.unwrap().seq > 0);
    let mut at_bob = bob.connect(Door::Grpc).await;
    at_bob.call(Person::message(&room, "thanks")).await.unwrap();

    let other = group(&alice).await;
    at_bob.call(ask(&other)).await.unwrap();
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let export = v1::ExportUserRequest { user_id: bob.id.clone(), page_token: String::new() };
    let items = at_app.call(export).await.unwrap().items.into_iter().filter_map(|item| item.item);
    let is_asked = |item: &Item| matches!(item, Item::JoinRequest(it) if it.room_id == other && it.note == "from the choir");
    assert_eq!(items.filter(is_asked).count(), 1);
    let delete =
        v1::DeleteUserRequest { user_id: bob.id.clone(), request_id: fresh("delete"), ..Default::default() };
    at_app.call(delete).await.unwrap();
    let mut at_alice = alice.connect(Door::Grpc).await;
    assert!(asking(&mut at_alice, &other).await.is_empty());
}
