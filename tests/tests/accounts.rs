//! Users found by name, and users who are deactivated, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_tests::{Cluster, Conversation, DOORS, Http, Person, Server, eventually, for_each_door, fresh};
use serde_json::{Value, json};
use tonic::Code;

use crate::app::App;

fn search(prefix: &str, page_size: u32) -> v1::SearchUsersRequest {
    v1::SearchUsersRequest { name_prefix: prefix.to_owned(), page_size, ..Default::default() }
}

/// Everyone found, over all pages.
async fn found(at: &mut Conversation, prefix: &str, page_size: u32) -> Vec<String> {
    let (mut ids, mut request) = (Vec::new(), search(prefix, page_size));
    loop {
        let page = at.call(request.clone()).await.unwrap();
        ids.extend(page.users.into_iter().map(|user| user.user_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

fn deactivate(user: &str) -> v1::DeactivateUserRequest {
    v1::DeactivateUserRequest { user_id: user.to_owned(), request_id: fresh("deactivate") }
}

fn reactivate(user: &str) -> v1::ReactivateUserRequest {
    v1::ReactivateUserRequest { user_id: user.to_owned(), request_id: fresh("reactivate") }
}

/// Who the token is accepted as by a node.
async fn whoami(http: &Http, token: &str) -> Result<(), String> {
    let answer = http.get("/v1/users/me").bearer(token).answer().await;
    if answer.status == 200 { Ok(()) } else { Err(answer.refused().1) }
}

fn is_deactivated() -> Result<(), String> {
    Err("user_deactivated".to_owned())
}

#[tokio::test]
async fn users_are_searched_by_the_beginning_of_their_name() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let tag = fresh("t");
        let asking = server.person(&fresh("asking")).await;
        let mut at = asking.connect(door).await;
        let mut ids = Vec::new();
        for name in ["Zoe", "anna", "Anna B", "ANNA  C", "Bo Anna"] {
            let request = v1::CreateUserRequest { name: format!("{tag} {name}"), ..Default::default() };
            let made = asking.users().create_user(request).await.unwrap().into_inner();
            ids.push(made.user.unwrap().user_id);
        }
        let [zoe, anna, b, c, bo] = &ids[..] else { unreachable!() };
        for size in [1, 2, 0] {
            assert_eq!(found(&mut at, &format!("{tag} aNN"), size).await, [anna, b, c].map(Clone::clone));
            assert_eq!(found(&mut at, &format!("{tag} anna  b"), size).await, std::slice::from_ref(b));
            assert_eq!(found(&mut at, &tag, size).await, [anna, b, c, bo, zoe].map(Clone::clone));
        }
        // By the present name.
        let renamed = v1::UpdateUserRequest {
            user_id: zoe.clone(),
            name: Some(format!("{tag} Anna A")),
            request_id: fresh("rename"),
            ..Default::default()
        };
        let refused = at.call(renamed).await.unwrap_err();
        assert_eq!(refused.reason, "needs_scope", "not one's own");
        assert_eq!(at.call(search(" ", 0)).await.unwrap_err().reason, "invalid_field");
        let bad = v1::SearchUsersRequest { page_token: "?".to_owned(), ..search("a", 0) };
        assert_eq!(at.call(bad).await.unwrap_err().reason, "invalid_field");
    })
    .await;
}

#[tokio::test]
async fn the_server_says_who_searches_and_who_renames() {
    let app = App::start_with(&["--user-search", "on", "--own-profile", "off"]).await;
    let mut at_alice = app.alice.connect(Door::WebSocketJson).await;
    assert_eq!(found(&mut at_alice, "BO", 0).await, ["bob"]);
    let own = |name: Option<&str>, url: Option<&str>| v1::UpdateUserRequest {
        user_id: "me".to_owned(),
        name: name.map(ToOwned::to_owned),
        image_url: url.map(ToOwned::to_owned),
        request_id: fresh("own"),
        ..Default::default()
    };
    for change in [own(Some("Root"), None), own(None, Some("https://example.org/a.png"))] {
        assert_eq!(at_alice.call(change).await.unwrap_err().reason, "needs_scope");
    }
    // Not by creating oneself, either, again or for the first time.
    let created = |name: &str, image: &str, update| v1::CreateUserRequest {
        user_id: "alice".to_owned(),
        name: name.to_owned(),
        image_url: image.to_owned(),
        update,
        ..Default::default()
    };
    for update in [true, false] {
        for (name, image) in [("Root", ""), ("", "https://example.org/a.png")] {
            let refused = at_alice.call(created(name, image, update)).await.unwrap_err();
            assert_eq!(refused.reason, "needs_scope");
        }
        at_alice.call(created("", "", update)).await.unwrap();
    }
    let named = json!({"name": "Roberta"});
    let (status, _) = app.rest(Method::PATCH, "/v1/users/bob", None, Some(named)).await;
    assert_eq!(status, 200);
    assert_eq!(found(&mut at_alice, "bo", 0).await, Vec::<String>::new());
    assert_eq!(found(&mut at_alice, "rob", 0).await, ["bob"]);
}

#[tokio::test]
async fn a_deactivated_user_does_nothing_until_reactivated() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    for door in DOORS {
        let mut at_app = app.backend.connect(door).await;
        let mut open = Vec::new();
        for door in DOORS {
            open.push(app.bob.connect(door).await);
        }
        let user = at_app.call(deactivate("bob")).await.unwrap().user.unwrap();
        assert!(user.deactivated && !user.deleted);
        for mut conversation in open {
            let failure = conversation.end().await.failure.unwrap();
            assert_eq!((failure.code, failure.reason.as_str()), (Code::Unauthenticated, "token_revoked"));
        }
        let http = app.server.http();
        assert_eq!(whoami(&http, &app.bob.token).await, is_deactivated());
        let refused = app.bob.chat().send_message(Person::message(&room, "hello")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let as_bob = json!({"text": "hello", "clientMessageId": fresh("m")});
        let path = format!("/v1/rooms/{room}/messages");
        let (status, answer) = app.rest(Method::POST, &path, Some("bob"), Some(as_bob)).await;
        assert_eq!((status, &answer["error"]["reason"]), (403, &json!("user_deactivated")));
        assert!(found(&mut at_app, "bob", 0).await.is_empty());
        // Others still see who they were, and write to the room.
        let seen =
            app.alice.users().get_user(v1::GetUserRequest { user_id: "bob".to_owned() }).await.unwrap();
        assert!(seen.into_inner().user.unwrap().deactivated);
        app.alice.say(&room, "bob?").await;
        // Again: nothing changes.
        assert!(at_app.call(deactivate("bob")).await.unwrap().user.unwrap().deactivated);

        let user = at_app.call(reactivate("bob")).await.unwrap().user.unwrap();
        assert!(!user.deactivated);
        assert_eq!(whoami(&http, &app.bob.token).await, Ok(()), "with the token from before");
        assert_eq!(found(&mut at_app, "bob", 0).await, ["bob"]);
        let mut again = app.bob.connect(door).await;
        again.call(Person::message(&room, "back")).await.unwrap();
        let nobody = at_app.call(deactivate("nobody")).await.unwrap_err();
        assert_eq!(nobody.reason, "user_not_found");
        let own = again.call(deactivate("bob")).await.unwrap_err();
        assert_eq!(own.reason, "needs_scope");
    }
    let (status, answer) =
        app.rest(Method::POST, "/v1/users/bob/deactivate", None, Some(json!({"requestId": "r"}))).await;
    assert_eq!((status, &answer["user"]["deactivated"]), (200, &Value::Bool(true)));
}

#[tokio::test]
async fn a_deactivation_survives_a_restart() {
    let mut app = App::start().await;
    app.backend.users().deactivate_user(deactivate("bob")).await.unwrap();
    app.server.stop().await;
    app.server.start_again().await;
    assert_eq!(whoami(&app.server.http(), &app.bob.token).await, is_deactivated());
    let refused = Conversation::open(&app.server.address(), &app.bob.token, Door::Grpc, &[]).await;
    assert_eq!(refused.err().map(|failure| failure.reason), Some("user_deactivated".to_owned()));
}

#[tokio::test]
async fn every_node_ends_the_sessions_of_a_deactivated_user() {
    let cluster = Box::pin(Cluster::start(2)).await;
    let backend = cluster.nodes[0].person_with("backend", &cluster.service_token("backend"));
    let alice = crate::fleet::person(&cluster, 1, "alice").await;
    let mut on_the_other = alice.connect(Door::Grpc).await;
    backend.users().deactivate_user(deactivate("alice")).await.unwrap();
    let failure = on_the_other.end().await.failure.unwrap();
    assert_eq!(failure.reason, "token_revoked");
    for node in &cluster.nodes {
        let http = node.http();
        eventually("it is known there", async || {
            (whoami(&http, &alice.token).await == is_deactivated()).then_some(())
        })
        .await;
    }
    backend.users().reactivate_user(reactivate("alice")).await.unwrap();
    for node in &cluster.nodes {
        assert_eq!(whoami(&node.http(), &alice.token).await, Ok(()));
    }
}
