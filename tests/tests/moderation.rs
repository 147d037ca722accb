//! Bans and mutes that end, and slow mode, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use http::Method;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{Cluster, DOORS, Person, Server, fresh};
use serde_json::{Value, json};

/// A REST call of `person`'s.
async fn rest(server: &Server, person: &Person, verb: Method, path: &str, body: Value) -> (u16, Value) {
    let http = server.http();
    let call = http.call(verb.clone(), path).bearer(&person.token);
    let call = if matches!(verb, Method::GET | Method::DELETE) { call } else { call.json(&body) };
    let answer = call.answer().await;
    (answer.status, answer.json())
}

fn mute(room: &str, user: &Person) -> v1::MuteMemberRequest {
    v1::MuteMemberRequest {
        room_id: room.to_owned(),
        user_id: user.id.clone(),
        request_id: fresh("mute"),
        reason: "too loud".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn muted_member_is_refused_over_every_transport() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    bob.say(&room, "loud").await;
    for door in DOORS {
        let (mut owner, mut member) = (alice.connect(door).await, bob.connect(door).await);
        let outcome = owner.call(mute(&room, &bob)).await.unwrap().outcome.unwrap();
        let refused = member.call(Person::message(&room, "and still")).await.unwrap_err();
        assert_eq!((refused.reason.as_str(), refused.metadata.get("until")), ("muted", None), "{door}");
        let event = loop {
            let event = member.event().await;
            if event.seq == outcome.seq {
                break event;
            }
        };
        let expected =
            v1::MemberMuted { user_id: bob.id.clone(), until: None, reason: "too loud".to_owned() };
        assert_eq!(event.body, Some(Body::MemberMuted(expected)), "{door}");
        let unmute = v1::UnmuteMemberRequest {
            room_id: room.clone(),
            user_id: bob.id.clone(),
            request_id: fresh("unmute"),
            after_seq: None,
        };
        owner.call(unmute).await.unwrap();
        member.call(Person::message(&room, "thank you")).await.unwrap();
    }

    let path = format!("/v1/rooms/{room}/mutes");
    let body = json!({"userId": bob.id, "duration": "3600s", "reason": "spam", "requestId": "rest"});
    let (status, muted) = rest(&server, &alice, Method::POST, &path, body.clone()).await;
    assert_eq!(status, 200, "{muted}");
    let (_, again) = rest(&server, &alice, Method::POST, &path, body).await;
    assert_eq!(again["outcome"]["isRepeat"], json!(true), "a repeat mutes for no longer");
    let (_, members) =
        rest(&server, &alice, Method::GET, &format!("/v1/rooms/{room}/members"), json!({})).await;
    let row =
        members["members"].as_array().unwrap().iter().find(|row| row["userId"] == json!(bob.id)).unwrap();
    let until = row["mute"]["until"].as_str().unwrap();
    let message = json!({"clientMessageId": "rest", "text": "x"});
    let (status, refused) =
        rest(&server, &bob, Method::POST, &format!("/v1/rooms/{room}/messages"), message).await;
    let error = &refused["error"];
    assert_eq!((status, &error["reason"]), (403, &json!("muted")));
    assert_eq!(error["metadata"]["until"], json!(until));
    let (status, _) =
        rest(&server, &alice, Method::DELETE, &format!("{path}/{}?requestId=2", bob.id), json!({})).await;
    assert_eq!(status, 200);
    bob.say(&room, "quietly").await;
    for bad in [json!("0s"), json!("-5s"), json!("400000000s")] {
        let body = json!({"userId": bob.id, "duration": bad, "requestId": "bad"});
        let (status, refused) = rest(&server, &alice, Method::POST, &path, body).await;
        assert_eq!((status, &refused["error"]["reason"]), (400, &json!("invalid_field")), "{bad}");
    }
}

#[tokio::test]
async fn a_ban_ends_by_itself() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Channel.into(),
        member_ids: vec![bob.id.clone()],
        request_id: fresh("room"),
        ..Default::default()
    };
    let room = alice.rooms().create_room(request).await.unwrap().into_inner().room.unwrap().room_id;
    let ban = async |duration: &str| {
        let body =
            json!({"userId": bob.id, "duration": duration, "reason": "spam", "requestId": fresh("ban")});
        let (status, banned) =
            rest(&server, &alice, Method::POST, &format!("/v1/rooms/{room}/bans"), body).await;
        assert_eq!(status, 200, "{banned}");
        banned
    };
    let join = async || {
        let request_id = fresh("join");
        let request = v1::JoinRoomRequest { room_id: room.clone(), request_id, after_seq: None };
        bob.rooms().join_room(request).await
    };
    ban("3600s").await;
    assert_eq!(join().await.unwrap_err().code(), tonic::Code::PermissionDenied);
    let banned = ban("0.001s").await;
    let Some(Body::MemberBanned(event)) = alice.log(&room).await.pop().unwrap().body else {
        panic!("{banned}")
    };
    assert_eq!((event.user_id.as_str(), event.reason.as_str()), (bob.id.as_str(), "spam"));
    assert!(event.until.is_some());
    // Over by the clock of the server, which asks again until then.
    while join().await.is_err() {
        tokio::task::yield_now().await;
    }
    bob.say(&room, "back").await;
}

#[tokio::test]
async fn slow_mode_is_exact_across_nodes() {
    const INTERVAL: Duration = Duration::from_secs(3600);
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(0, "bob"));
    let there = cluster.person(1, "bob");
    for person in [&alice, &bob] {
        person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    }
    let room = alice.group(&[&bob]).await;
    let update = v1::UpdateRoomRequest {
        room_id: room.clone(),
        slow_mode_seconds: Some(3600),
        request_id: fresh("slow"),
        ..Default::default()
    };
    alice.rooms().update_room(update).await.unwrap();
    // As many as there are tries at once, on both nodes: one is the first.
    let tries = (0..8).map(|number| {
        let mut chat = if number % 2 == 0 { bob.chat() } else { there.chat() };
        let message = Person::message(&room, &format!("try {number}"));
        async move { chat.send_message(message).await }
    });
    let (sent, refused): (Vec<_>, Vec<_>) =
        futures::future::join_all(tries).await.into_iter().partition(Result::is_ok);
    assert_eq!((sent.len(), refused.len()), (1, 7));
    for status in refused {
        let failure = parlance_proto::error::Failure::from_status(&status.unwrap_err());
        assert_eq!(failure.reason, "slow_mode");
        assert!(failure.retry_after.is_some_and(|wait| wait <= INTERVAL && wait > INTERVAL / 2));
    }
    for door in DOORS {
        let mut member = there.connect(door).await;
        let refused = member.call(Person::message(&room, "again")).await.unwrap_err();
        assert_eq!(refused.reason, "slow_mode", "{door}");
    }
    // Those who moderate are not slowed down.
    alice.say(&room, "one").await;
    alice.say(&room, "two").await;
    let log = alice.log(&room).await;
    let of_bob =
        log.iter().filter(|event| event.actor_id == bob.id && matches!(event.body, Some(Body::Message(_))));
    assert_eq!(of_bob.count(), 1);
}

#[tokio::test]
async fn bans_are_listed_for_those_who_moderate() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let banned = ["carol", "dora", "emil", "fay"];
    for id in banned {
        let person = server.person(id).await;
        alice.add(&room, &person).await;
        let duration = (id == "emil").then_some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
        let user_id = id.to_owned();
        let request = v1::BanMemberRequest {
            room_id: room.clone(),
            user_id,
            duration,
            request_id: fresh("ban"),
            ..Default::default()
        };
        alice.rooms().ban_member(request).await.unwrap();
    }
    let request = v1::ListBansRequest { room_id: room.clone(), page_size: 2, page_token: String::new() };
    for door in DOORS {
        let (mut owner, mut member) = (alice.connect(door).await, bob.connect(door).await);
        assert_eq!(member.call(request.clone()).await.unwrap_err().reason, "needs_role", "{door}");
        // Emil's ban is over by the clock of the server, if not yet then soon.
        let ids = loop {
            let (mut ids, mut request) = (Vec::new(), request.clone());
            loop {
                let page = owner.call(request.clone()).await.unwrap();
                assert!(page.members.len() <= 2);
                ids.extend(page.members.into_iter().map(|member| member.user_id));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            if ids.len() < banned.len() {
                break ids;
            }
        };
        assert_eq!(ids, ["carol", "dora", "fay"], "{door}");
    }
    let (status, listed) =
        rest(&server, &alice, Method::GET, &format!("/v1/rooms/{room}/bans"), json!({})).await;
    assert_eq!((status, listed["members"].as_array().map(Vec::len)), (200, Some(3)));
}
