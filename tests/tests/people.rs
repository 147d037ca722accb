//! Who sees profiles and presence, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Cluster, Conversation, DOORS, Person, fresh};

use crate::app::App;
use crate::fleet::person;

/// The reason for which the profile of `whom` is refused, if it is.
async fn refused(at: &mut Conversation, whom: &str) -> Option<String> {
    let request = v1::GetUserRequest { user_id: whom.to_owned() };
    at.call(request).await.err().map(|failure| failure.reason)
}

async fn is_online(at: &mut Conversation, whom: &str) -> bool {
    let request = v1::GetPresenceRequest { user_ids: vec![whom.to_owned()] };
    at.call(request).await.unwrap().presences[0].online
}

async fn write_to(from: &Person, to: &str) -> v1::SendMessageResponse {
    let target = Some(Target::ToUser(to.to_owned()));
    let request = v1::SendMessageRequest { target, ..Person::message("", "hello") };
    from.chat().send_message(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn strangers_see_nothing_of_each_other_unless_configured() {
    let app = App::start().await;
    let mut open = Vec::new();
    for door in DOORS {
        open.push((app.alice.connect(door).await, app.bob.connect(door).await));
    }
    for (at_alice, _) in &mut open {
        assert_eq!(refused(at_alice, "bob").await.as_deref(), Some("user_not_found"));
        assert_eq!(refused(at_alice, "nobody").await.as_deref(), Some("user_not_found"));
        assert_eq!(refused(at_alice, "me").await, None);
        assert!(!is_online(at_alice, "bob").await && is_online(at_alice, "alice").await);
    }
    let http = app.server.http();
    let get = async |path: &str| http.call(Method::GET, path).bearer(&app.alice.token).answer().await;
    assert_eq!(get("/v1/users/bob").await.status, 404);
    let profiles = get("/v1/profiles?userIds=bob&userIds=alice").await.json();
    assert_eq!(
        (profiles["users"].as_array().unwrap().len(), &profiles["users"][0]["userId"]),
        (1, &"alice".into())
    );
    let (status, found) = app.rest(Method::GET, "/v1/users/bob", None, None).await;
    assert_eq!((status, &found["user"]["userId"]), (200, &"bob".into()));
    assert_eq!(app.rest(Method::GET, "/v1/users/bob", Some("alice"), None).await.0, 404);

    app.alice.group(&[&app.bob]).await;
    for (at_alice, at_bob) in &mut open {
        assert_eq!((refused(at_alice, "bob").await, refused(at_bob, "alice").await), (None, None));
        assert!(is_online(at_alice, "bob").await && is_online(at_bob, "alice").await);
    }
}

#[tokio::test]
async fn everyone_sees_everyone_where_it_is_configured() {
    let app = App::start_with(&["--profiles", "everyone"]).await;
    let _at_bob = app.bob.connect(Door::Grpc).await;
    let mut at_alice = app.alice.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_alice, "bob").await, None);
    assert!(!is_online(&mut at_alice, "bob").await);
    let app = App::start_with(&["--presence", "everyone"]).await;
    let _at_bob = app.bob.connect(Door::Grpc).await;
    let mut at_alice = app.alice.connect(Door::Grpc).await;
    assert!(refused(&mut at_alice, "bob").await.is_some() && is_online(&mut at_alice, "bob").await);
}

/// Waits for the presence of `whom`, having seen nothing of `never`.
async fn next_presence(at: &mut Conversation, whom: &str, never: &str) {
    loop {
        match at.signal().await {
            Signal::Presence(presence) if presence.user_id == whom => return,
            Signal::Presence(presence) => assert_ne!(presence.user_id, never),
            Signal::Typing(typing) => assert_ne!(typing.user_id, never),
            _ => {}
        }
    }
}

#[tokio::test]
async fn who_begins_a_direct_room_learns_nothing_until_the_answer_on_any_node() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let carol = person(&cluster, 0, "carol").await;
    let (room, _) = (write_to(&bob, "alice").await.room_id, bob.group(&[&carol]).await);
    let mut at_bob = bob.connect(Door::Grpc).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    at_alice.call(v1::SendTypingRequest { room_id: room.clone() }).await.unwrap();
    // One who is known comes after her: his presence is the next that arrives.
    let at_carol = carol.connect(Door::Grpc).await;
    next_presence(&mut at_bob, "carol", "alice").await;
    assert!(!is_online(&mut at_bob, "alice").await);
    assert_eq!(refused(&mut at_bob, "alice").await.as_deref(), Some("user_not_found"));
    drop((at_alice, at_carol));
    next_presence(&mut at_bob, "carol", "alice").await;

    let seq = alice.say(&room, "who are you?").await;
    at_bob.events_up_to(&room, seq).await;
    let mut at_alice = alice.connect(Door::WebSocketJson).await;
    next_presence(&mut at_bob, "alice", "nobody").await;
    assert!(is_online(&mut at_bob, "alice").await && is_online(&mut at_alice, "bob").await);
    assert_eq!((refused(&mut at_bob, "alice").await, refused(&mut at_alice, "bob").await), (None, None));
    let request = v1::GetUsersRequest { user_ids: ["alice", "carol", "dora"].map(ToOwned::to_owned).into() };
    assert_eq!(at_bob.call(request).await.unwrap().users.len(), 2);
    let rename = v1::UpdateUserRequest {
        user_id: "me".to_owned(),
        name: Some("Alice".to_owned()),
        request_id: fresh("rename"),
        ..Default::default()
    };
    at_alice.call(rename).await.unwrap();
    while !matches!(at_bob.signal().await, Signal::UserUpdated(user) if user.user_id == "alice") {}
}
