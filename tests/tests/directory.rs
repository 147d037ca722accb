//! The directory of channels, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh};
use serde_json::json;

use crate::app::App;
use crate::fleet::person;

fn list(prefix: &str, page_size: u32) -> v1::ListDirectoryRequest {
    v1::ListDirectoryRequest { title_prefix: prefix.to_owned(), page_size, ..Default::default() }
}

/// All titles found by `prefix`, over all pages.
async fn titles(at: &mut Conversation, prefix: &str, page_size: u32) -> Vec<String> {
    let (mut titles, mut request) = (Vec::new(), list(prefix, page_size));
    loop {
        let page = at.call(request.clone()).await.unwrap();
        assert_eq!(page.unreadable_room_ids, Vec::<String>::new());
        titles.extend(page.rooms.into_iter().map(|room| room.title));
        if page.next_page_token.is_empty() {
            return titles;
        }
        request.page_token = page.next_page_token;
    }
}

fn channel(title: &str) -> v1::CreateRoomRequest {
    let settings = v1::RoomSettings {
        title: title.to_owned(),
        topic: "What is new".to_owned(),
        image_url: "https://example.org/news.png".to_owned(),
        listed: true,
        ..Default::default()
    };
    v1::CreateRoomRequest {
        kind: v1::RoomKind::Channel.into(),
        settings: Some(settings),
        request_id: fresh("room"),
        ..Default::default()
    }
}

async fn create(owner: &Person, title: &str) -> String {
    owner.rooms().create_room(channel(title)).await.unwrap().into_inner().room.unwrap().room_id
}

fn update(room: &str) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest { room_id: room.to_owned(), request_id: fresh("update"), ..Default::default() }
}

async fn refused<R: parlance_client::Request>(at: &mut Conversation, request: R) -> String
where
    R::Response: std::fmt::Debug,
{
    at.call(request).await.unwrap_err().reason
}

#[tokio::test]
async fn channels_are_found_by_the_beginning_of_their_title() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let tag = fresh("t");
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let mut rooms = Vec::new();
        for name in ["News", "new Music", "NEW  movies", "Old"] {
            rooms.push(at_alice.call(channel(&format!("{tag} {name}"))).await.unwrap().room.unwrap().room_id);
        }
        let of = |names: &[&str]| names.iter().map(|name| format!("{tag} {name}")).collect::<Vec<_>>();
        for size in [1, 2, 0] {
            let found = titles(&mut at_bob, &format!("{tag}  NEW"), size).await;
            assert_eq!(found, of(&["NEW  movies", "new Music", "News"]), "in pages of {size}");
            assert_eq!(
                titles(&mut at_bob, &format!("{tag} new m"), size).await,
                found[..2],
                "in pages of {size}"
            );
        }
        let found = at_bob.call(list(&format!("{tag} old"), 0)).await.unwrap().rooms.pop().unwrap();
        let expected = v1::DirectoryEntry {
            room_id: rooms[3].clone(),
            title: format!("{tag} Old"),
            topic: "What is new".to_owned(),
            image_url: "https://example.org/news.png".to_owned(),
            member_count: 1,
            joining: v1::RoomJoining::Open.into(),
        };
        assert_eq!(found, expected);

        // Everyone who is banned sees the same, and JoinRoom says that they are.
        let join = v1::JoinRoomRequest {
            room_id: rooms[3].clone(),
            request_id: fresh("join"),
            ..Default::default()
        };
        at_bob.call(join.clone()).await.unwrap();
        assert_eq!(at_bob.call(list(&format!("{tag} old"), 0)).await.unwrap().rooms[0].member_count, 2);
        let ban = v1::BanMemberRequest {
            room_id: rooms[3].clone(),
            user_id: bob.id.clone(),
            request_id: fresh("ban"),
            ..Default::default()
        };
        at_alice.call(ban).await.unwrap();
        assert_eq!(at_bob.call(list(&format!("{tag} old"), 0)).await.unwrap().rooms, [expected]);
        let join = v1::JoinRoomRequest { request_id: fresh("join"), ..join };
        assert_eq!(refused(&mut at_bob, join).await, "banned");

        let renamed = v1::UpdateRoomRequest { title: Some(format!("{tag} Gone")), ..update(&rooms[0]) };
        at_alice.call(renamed).await.unwrap();
        at_alice.call(v1::UpdateRoomRequest { listed: Some(false), ..update(&rooms[1]) }).await.unwrap();
        let delete = v1::DeleteRoomRequest {
            room_id: rooms[2].clone(),
            request_id: fresh("delete"),
            ..Default::default()
        };
        at_alice.call(delete).await.unwrap();
        let leave = v1::LeaveRoomRequest {
            room_id: rooms[3].clone(),
            request_id: fresh("leave"),
            ..Default::default()
        };
        at_alice.call(leave).await.unwrap();
        assert_eq!(titles(&mut at_bob, &tag, 0).await, of(&["Gone"]));

        let long = list(&"x".repeat(257), 0);
        assert_eq!(refused(&mut at_bob, long).await, "invalid_field");
        for token in ["?", "r1 other"] {
            let bad = v1::ListDirectoryRequest { page_token: token.to_owned(), ..list(&tag, 0) };
            assert_eq!(refused(&mut at_bob, bad).await, "invalid_field");
        }
    })
    .await;
}

#[tokio::test]
async fn who_changes_settings_lists_a_channel_and_nobody_a_group() {
    let app = App::start().await;
    let (alice, bob) = (app.alice.clone(), app.bob.clone());
    let mut at_bob = bob.connect(Door::WebSocketJson).await;
    let room = create(&alice, "Club").await;
    let listed = |listed, room: &str| v1::UpdateRoomRequest { listed: Some(listed), ..update(room) };
    assert_eq!(refused(&mut at_bob, listed(false, &room)).await, "not_member");
    bob.rooms()
        .join_room(v1::JoinRoomRequest {
            room_id: room.clone(),
            request_id: fresh("join"),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(refused(&mut at_bob, listed(false, &room)).await, "needs_role");
    app.backend.rooms().update_room(listed(false, &room)).await.unwrap();
    assert_eq!(titles(&mut at_bob, "", 0).await, Vec::<String>::new());
    app.backend.rooms().update_room(listed(true, &room)).await.unwrap();
    assert_eq!(titles(&mut at_bob, "", 0).await, ["Club"]);

    let group = alice.group(&[]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_alice, listed(true, &group)).await, "invalid_field");
    let listed_group = v1::CreateRoomRequest { kind: v1::RoomKind::Group.into(), ..channel("Group") };
    assert_eq!(refused(&mut at_alice, listed_group).await, "invalid_field");
}

#[tokio::test]
async fn the_directory_over_rest() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let http = server.http();
    for title in ["Ants", "Bees"] {
        let body = json!({
            "kind": "ROOM_KIND_CHANNEL",
            "requestId": fresh("room"),
            "settings": {"title": title, "listed": true},
        });
        let answer = http.call(Method::POST, "/v1/rooms").bearer(&alice.token).json(&body).answer().await;
        assert_eq!(answer.status, 200);
    }
    let page = async |query: &str| {
        let answer = http.get(&format!("/v1/directory{query}")).bearer(&alice.token).answer().await;
        assert_eq!(answer.status, 200);
        answer.json()
    };
    let first = page("?pageSize=1").await;
    assert_eq!(first["rooms"][0]["title"], "Ants");
    assert_eq!(first["rooms"][0]["memberCount"], "1");
    let token = first["nextPageToken"].as_str().unwrap().replace(' ', "%20");
    assert_eq!(page(&format!("?pageSize=1&pageToken={token}")).await["rooms"][0]["title"], "Bees");
    assert_eq!(page("?titlePrefix=b").await["rooms"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_directory_is_the_same_on_all_nodes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = create(&alice, "Everywhere").await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    assert_eq!(titles(&mut at_bob, "every", 0).await, ["Everywhere"]);
    bob.rooms()
        .join_room(v1::JoinRoomRequest {
            room_id: room.clone(),
            request_id: fresh("join"),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut at_alice = alice.connect(Door::Grpc).await;
    assert_eq!(at_alice.call(list("every", 0)).await.unwrap().rooms[0].member_count, 2);
}
