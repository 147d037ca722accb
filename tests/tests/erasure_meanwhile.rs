//! Users who are deleted while they, or other deletions, do something.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::future::join_all;
use parlance_client::Request as _;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::ErasedMessages;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::send_message_request::Target;
use parlance_tests::{Cluster, Conversation, Person, fresh};

use crate::app::App;
use crate::erasure::{delete, exported, member_ids, messages, react, reactions};

#[tokio::test]
async fn a_deletion_that_runs_twice_at_once_removes_everything() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    for number in 0..20 {
        let seq = app.alice.say(&room, &format!("alice {number}")).await;
        for emoji in ["👍", "🎉", "👀"] {
            react(&app.bob, &room, seq, emoji).await;
        }
        app.bob.say(&room, &format!("bob {number}")).await;
    }
    let twice = (0..2).map(|_| async {
        let mut at_app = app.backend.connect(Door::Grpc).await;
        delete(&mut at_app, "bob", ErasedMessages::Remove).await
    });
    join_all(twice).await;
    assert_eq!(reactions(&app.alice, &room).await, 0);
    assert!(messages(&app.alice, &room).await.iter().all(|(text, deleted)| *deleted == text.is_empty()));
    assert_eq!(member_ids(&app.alice, &room).await, ["alice"]);
}

#[tokio::test]
async fn what_a_deleted_user_does_on_another_node_meanwhile_is_removed_too() {
    let cluster = Box::pin(Cluster::start(2)).await;
    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(1, "bob"));
    for person in [&alice, &bob] {
        person.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    }
    let room = alice.group(&[&bob]).await;
    let channel = alice.channel().await;
    let backend = cluster.nodes[0].person_with("backend", &cluster.service_token("backend"));
    let talking = async {
        let mut said = 0;
        while bob.chat().send_message(Person::message(&room, "still here")).await.is_ok() {
            said += 1;
        }
        said
    };
    let deleting = async {
        let mut at_app = backend.connect(Door::Grpc).await;
        delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    };
    let (said, ()) = tokio::join!(talking, deleting);
    assert!(said > 0, "bob said something");
    let texts = messages(&alice, &room).await;
    assert!(texts.iter().all(|(_, deleted)| *deleted), "{texts:?}");
    assert_eq!(member_ids(&alice, &room).await, ["alice"]);
    // The other node does not take the user for one who exists.
    let other = cluster.person(1, "alice");
    let add = v1::AddMembersRequest {
        room_id: channel,
        user_ids: vec!["bob".to_owned()],
        request_id: fresh("add"),
        after_seq: None,
    };
    assert_eq!(other.rooms().add_members(add).await.unwrap_err().code(), tonic::Code::NotFound);
}

/// Makes one room after the other and writes in it, until that is refused.
async fn talk(carol: &Person, alice: &Person) {
    loop {
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Group.into(),
            member_ids: vec![alice.id.clone()],
            request_id: fresh("room"),
            ..Default::default()
        };
        let Ok(created) = carol.rooms().create_room(request).await else { return };
        let room = created.into_inner().room.unwrap().room_id;
        if carol.chat().send_message(Person::message(&room, "a secret")).await.is_err() {
            return;
        }
    }
}

/// Begins a conversation with each of them, all at once in one session, which ends with the account.
async fn talk_in_session(mut session: Conversation, others: &[String]) {
    for other in others {
        let first = v1::SendMessageRequest {
            target: Some(Target::ToUser(other.clone())),
            ..Person::message("", "a secret")
        };
        session.send(first.into_operation()).await;
    }
    session.end().await;
}

/// None of the calls that are carried out while the account is closed leaves anything behind the walk through the rooms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_user_does_meanwhile_is_removed_too() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let others: Vec<_> = (0..16).map(|number| format!("other-{number}")).collect();
    for other in &others {
        let user = v1::CreateUserRequest { user_id: other.clone(), ..Default::default() };
        app.backend.users().create_user(user).await.unwrap();
    }
    for number in 0..10 {
        let carol = app.person(&format!("carol-{number}"));
        carol.group(&[&app.alice]).await;
        let sessions = [carol.connect(Door::Grpc).await, carol.connect(Door::WebSocketJson).await];
        let (some, more) = others.split_at(8);
        let in_sessions = sessions.into_iter().zip([some, more]);
        let in_sessions = join_all(in_sessions.map(|(session, others)| talk_in_session(session, others)));
        let talking = join_all((0..4).map(|_| talk(&carol, &app.alice)));
        let deleting = delete(&mut at_app, &carol.id, ErasedMessages::Remove);
        tokio::join!(talking, in_sessions, deleting);
        for item in exported(&mut at_app, &carol.id).await {
            match item {
                Item::Event(event) => {
                    if let Some(Body::Message(message)) = &event.body {
                        assert_eq!(message.text, "", "{event:?}");
                    }
                }
                Item::Room(room) if room.room_id.starts_with('r') => {
                    assert_eq!(member_ids(&app.alice, &room.room_id).await, ["alice"]);
                }
                _ => {}
            }
        }
    }
}
