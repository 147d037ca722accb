//! What users who are blocked by others cannot do, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh};
use serde_json::json;

use crate::fleet::person;

fn block(user: &Person) -> v1::BlockUserRequest {
    v1::BlockUserRequest { user_id: user.id.clone(), request_id: fresh("block") }
}

fn unblock(user: &Person) -> v1::UnblockUserRequest {
    v1::UnblockUserRequest { user_id: user.id.clone(), request_id: fresh("unblock") }
}

fn message_to(user: &Person) -> v1::SendMessageRequest {
    let target = Some(Target::ToUser(user.id.clone()));
    v1::SendMessageRequest { target, ..Person::message("", "hello") }
}

fn direct_with(user: &Person) -> v1::CreateRoomRequest {
    let member_ids = vec![user.id.clone()];
    v1::CreateRoomRequest { kind: v1::RoomKind::Direct.into(), member_ids, ..Default::default() }
}

fn group_with(user: &Person) -> v1::CreateRoomRequest {
    let (member_ids, request_id) = (vec![user.id.clone()], fresh("group"));
    v1::CreateRoomRequest { kind: v1::RoomKind::Group.into(), member_ids, request_id, ..Default::default() }
}

async fn blocked(at: &mut Conversation) -> Vec<String> {
    let page = at.call(v1::ListBlockedRequest::default()).await.unwrap();
    page.blocks.into_iter().map(|block| block.user_id).collect()
}

/// Sends the request, which is refused because of `by`.
async fn not_accepted<R: parlance_client::Request>(at: &mut Conversation, request: R, by: &Person)
where
    R::Response: std::fmt::Debug,
{
    let refused = at.call(request).await.unwrap_err();
    let user = refused.metadata.get("user_id").map(String::as_str);
    assert_eq!((refused.reason.as_str(), user), ("not_accepted", Some(by.id.as_str())));
}

#[tokio::test]
async fn whoever_is_blocked_cannot_write_in_private_nor_add_to_rooms() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let carol = server.person(&fresh("carol")).await;
        let (mut at_alice, mut at_phone) = (alice.connect(door).await, alice.connect(Door::Grpc).await);
        let (mut at_bob, mut at_carol) = (bob.connect(door).await, carol.connect(door).await);
        let direct = at_bob.call(message_to(&alice)).await.unwrap().room_id;
        let shared = bob.group(&[&alice]).await;
        let others = bob.group(&[&carol]).await;

        for user in [&bob, &carol] {
            let stored = at_alice.call(block(user)).await.unwrap().block.unwrap();
            assert!(stored.user_id == user.id && stored.since.is_some());
            assert_eq!(at_alice.call(block(user)).await.unwrap().block, Some(stored), "again");
        }
        let changed = loop {
            if let Signal::BlockChanged(changed) = at_phone.signal().await {
                break changed;
            }
        };
        assert_eq!(changed, v1::BlockChanged { user_id: bob.id.clone(), blocked: true });
        assert_eq!(blocked(&mut at_phone).await, [bob.id.clone(), carol.id.clone()]);
        assert!(blocked(&mut at_bob).await.is_empty(), "one's own list");

        // The direct room is there with bob, and not with carol.
        not_accepted(&mut at_bob, Person::message(&direct, "more"), &alice).await;
        not_accepted(&mut at_bob, message_to(&alice), &alice).await;
        not_accepted(&mut at_carol, message_to(&alice), &alice).await;
        not_accepted(&mut at_carol, direct_with(&alice), &alice).await;
        assert_eq!(at_bob.call(direct_with(&alice)).await.unwrap().room.unwrap().room_id, direct);
        let add = v1::AddMembersRequest {
            room_id: others,
            user_ids: vec![alice.id.clone()],
            request_id: fresh("add"),
            after_seq: None,
        };
        not_accepted(&mut at_bob, add.clone(), &alice).await;
        not_accepted(&mut at_carol, group_with(&alice), &alice).await;
        // What everybody reads is for clients to hide; and alice may still write.
        at_bob.call(Person::message(&shared, "in the group")).await.unwrap();
        at_alice.call(message_to(&bob)).await.unwrap();

        at_phone.call(unblock(&bob)).await.unwrap();
        at_phone.call(unblock(&bob)).await.unwrap();
        assert_eq!(blocked(&mut at_alice).await, std::slice::from_ref(&carol.id));
        at_bob.call(message_to(&alice)).await.unwrap();
        at_bob.call(add).await.unwrap();
        let myself = v1::BlockUserRequest { user_id: alice.id.clone(), request_id: fresh("block") };
        assert_eq!(at_alice.call(myself).await.unwrap_err().reason, "invalid_field");
        let nobody = v1::BlockUserRequest { user_id: "nobody".to_owned(), request_id: fresh("block") };
        assert_eq!(at_alice.call(nobody).await.unwrap_err().reason, "user_not_found");
    })
    .await;
}

#[tokio::test]
async fn blocks_over_rest_are_paged() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let http = server.http();
    for id in ["bob", "carol", "dora"] {
        server.person(id).await;
        let call = http.call(Method::POST, "/v1/blocks").bearer(&alice.token);
        assert_eq!(call.json(&json!({"userId": id})).answer().await.status, 200);
    }
    let page = async |path: &str| http.call(Method::GET, path).bearer(&alice.token).answer().await.json();
    let first = page("/v1/blocks?pageSize=2").await;
    let ids = |page: &serde_json::Value| {
        let blocks = page["blocks"].as_array().unwrap().iter();
        blocks.map(|block| block["userId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let token = first["nextPageToken"].as_str().unwrap();
    assert_eq!((ids(&first), token), (vec!["bob".to_owned(), "carol".to_owned()], "carol"));
    assert_eq!(ids(&page(&format!("/v1/blocks?pageSize=2&pageToken={token}")).await), ["dora"]);
    let lifted = http.call(Method::DELETE, "/v1/blocks/carol").bearer(&alice.token).answer().await;
    assert_eq!(lifted.status, 200);
    assert_eq!(ids(&page("/v1/blocks").await), ["bob", "dora"]);
}

#[tokio::test]
async fn blocks_and_presence_cross_nodes() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let (bob, carol) = (person(&cluster, 1, "bob").await, person(&cluster, 1, "carol").await);
    alice.group(&[&bob, &carol]).await;
    let direct = bob.chat().send_message(message_to(&alice)).await.unwrap().into_inner().room_id;
    let (mut at_bob, mut at_carol) = (bob.connect(Door::Grpc).await, carol.connect(Door::Grpc).await);
    alice.users().block_user(block(&bob)).await.unwrap();
    // The other node hears of it, however briefly later.
    while bob.chat().send_message(Person::message(&direct, "hello")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let presence_of = async |asking: &Person| {
        let request = v1::GetPresenceRequest { user_ids: vec![alice.id.clone()] };
        asking.users().get_presence(request).await.unwrap().into_inner().presences[0].online
    };
    let _at_alice = alice.connect(Door::Grpc).await;
    loop {
        match at_carol.signal().await {
            Signal::Presence(presence) if presence.user_id == alice.id => {
                assert!(presence.online);
                break;
            }
            _ => {}
        }
    }
    assert_eq!((presence_of(&bob).await, presence_of(&carol).await), (false, true));
    // One signal is for all sessions of a node: what bob did not get with carol, he does not get.
    let dora = person(&cluster, 0, "dora").await;
    dora.group(&[&bob]).await;
    let _at_dora = dora.connect(Door::Grpc).await;
    loop {
        match at_bob.signal().await {
            Signal::Presence(presence) if presence.user_id == dora.id => break,
            Signal::Presence(presence) if presence.user_id == alice.id => assert!(!presence.online),
            _ => {}
        }
    }
    alice.users().unblock_user(unblock(&bob)).await.unwrap();
    while bob.chat().send_message(Person::message(&direct, "hello")).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(presence_of(&bob).await);
}
