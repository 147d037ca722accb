//! Who sees profiles and presence where these are shown to those who share rooms.

use parlance_core::RoomId;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use v1::server_frame::Frame;
use v1::signal::Signal;

use super::online::next_presence;
use crate::gate::Admitted;
use crate::testing::{Conversation, TestNode, add, caller, hello_to, remove, user, user_caller};
use crate::{Parts, ProfileRules, ShownTo};

const PRIVATE: ProfileRules = ProfileRules {
    all_search: false,
    own_changes: true,
    profiles: ShownTo::SharedRooms,
    presence: ShownTo::SharedRooms,
};

/// A node where strangers see nothing of each other, with a group of alice and bob, and carol, dora and eve.
async fn private() -> (TestNode, RoomId) {
    let (node, room) = TestNode::with_group_from(|parts| Parts { profiles: PRIVATE, ..parts }).await;
    for id in ["dora", "eve"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    (node, room)
}

async fn profile(node: &TestNode, viewer: &Admitted, whom: &str) -> Result<String, Failure> {
    let request = v1::GetUserRequest { user_id: whom.to_owned() };
    Ok(node.api.get_user(viewer, request).await.map(|found| found.user.unwrap().user_id)?)
}

async fn sees(node: &TestNode, viewer: &str, whom: &str) -> bool {
    profile(node, &caller(viewer), whom).await.is_ok()
}

async fn sees_online(node: &TestNode, viewer: &str, whom: &str) -> bool {
    let request = v1::GetPresenceRequest { user_ids: vec![whom.to_owned()] };
    node.api.get_presence(&caller(viewer), request).await.unwrap().presences[0].online
}

async fn writes(node: &TestNode, by: &str, to: &str) -> (String, u64) {
    let hello = hello_to(to, &format!("{by}-{to}-{}", node.store.reads()));
    let sent = node.api.send_message(&caller(by), hello).await.unwrap();
    (sent.room_id, sent.seq)
}

async fn create(node: &TestNode, by: &str, others: &[&str], id: &str) -> String {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: others.iter().map(|&other| other.to_owned()).collect(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    node.api.create_room(&caller(by), request).await.unwrap().room.unwrap().room_id
}

#[tokio::test]
async fn strangers_are_answered_as_users_who_do_not_exist() {
    let (node, _) = private().await;
    let _at_carol = Conversation::open(&node.api, caller("carol")).await;
    let mut answers = Vec::new();
    for id in ["carol", "nobody"] {
        let reads = node.store.reads();
        let refused = profile(&node, &caller("alice"), id).await.unwrap_err();
        let text = format!("{refused:?}").replace(id, "ID");
        answers.push((text, refused.reason.clone(), node.store.reads() - reads));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].1, "user_not_found");
    let user_ids = ["me", "nobody", "bob", "carol"].map(ToOwned::to_owned).to_vec();
    let found = node.api.get_users(&caller("alice"), v1::GetUsersRequest { user_ids }).await.unwrap();
    let found: Vec<_> = found.users.into_iter().map(|user| user.user_id).collect();
    assert_eq!(found, ["alice", "bob"]);
    assert!(!sees_online(&node, "alice", "carol").await && sees_online(&node, "carol", "carol").await);
    // The app sees everyone, but not as a user.
    let app = parlance_core::Caller { is_service: true, ..user_caller("backend") };
    assert!(profile(&node, &app.clone().into(), "carol").await.is_ok());
    let as_alice = app.acting_as(user("alice"));
    assert!(profile(&node, &as_alice.clone().into(), "carol").await.is_err());
    assert!(profile(&node, &as_alice.into(), "bob").await.is_ok());
}

#[tokio::test]
async fn profiles_go_with_the_history_and_presence_with_membership() {
    let (node, room) = private().await;
    let _sessions = [
        Conversation::open(&node.api, caller("alice")).await,
        Conversation::open(&node.api, caller("bob")).await,
        Conversation::open(&node.api, caller("carol")).await,
    ];
    assert!(sees(&node, "alice", "bob").await && sees_online(&node, "bob", "alice").await);
    add(&node.api, &room, "carol").await;
    assert!(sees(&node, "carol", "bob").await && sees_online(&node, "carol", "bob").await);
    remove(&node.api, &room, "bob").await;
    // What he wrote is still read, and what he read.
    for (viewer, whom) in [("alice", "bob"), ("carol", "bob"), ("bob", "alice"), ("bob", "carol")] {
        assert!(sees(&node, viewer, whom).await, "{viewer} of {whom}");
        assert!(!sees_online(&node, viewer, whom).await, "{viewer} of {whom}");
    }
    // Whoever comes later reads nothing of his here, and he nothing of theirs.
    add(&node.api, &room, "dora").await;
    assert!(sees(&node, "dora", "alice").await && sees(&node, "alice", "dora").await);
    assert!(!sees(&node, "dora", "bob").await && !sees(&node, "bob", "dora").await);
    let delete = v1::DeleteRoomRequest {
        room_id: room.to_string(),
        request_id: "delete".to_owned(),
        ..Default::default()
    };
    node.api.delete_room(&caller("alice"), delete).await.unwrap();
    assert!(!sees(&node, "alice", "carol").await && !sees_online(&node, "carol", "alice").await);
}

#[tokio::test]
async fn a_direct_room_shows_who_has_begun_it_and_who_has_answered() {
    let (node, _) = private().await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    let (room_id, seq) = writes(&node, "carol", "alice").await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    assert!(sees(&node, "alice", "carol").await && sees_online(&node, "alice", "carol").await);
    assert!(!sees(&node, "carol", "alice").await && !sees_online(&node, "carol", "alice").await);
    // Nothing is pushed to her either: no presence, no profile, no receipt.
    let rename = |name: &str| v1::UpdateUserRequest {
        user_id: "me".to_owned(),
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let read = v1::MarkReadRequest { room_id: room_id.clone(), seq, ..Default::default() };
    node.api.mark_read(&caller("alice"), read).await.unwrap();
    node.api.update_user(&caller("alice"), rename("Alice")).await.unwrap();
    loop {
        if let Frame::Signal(v1::Signal { signal: Some(Signal::UserUpdated(_)) }) = at_alice.next().await {
            break;
        }
    }
    let signals = at_carol.waiting().into_iter().filter(|frame| matches!(frame, Frame::Signal(_)));
    assert_eq!(signals.collect::<Vec<_>>(), []);
    let receipts = async |viewer: &str| {
        let request = v1::ListReceiptsRequest { room_id: room_id.clone(), ..Default::default() };
        node.api.list_receipts(&caller(viewer), request).await.unwrap().receipts.len()
    };
    assert_eq!((receipts("carol").await, receipts("alice").await), (1, 2));

    writes(&node, "alice", "carol").await;
    assert!(sees(&node, "carol", "alice").await && sees_online(&node, "carol", "alice").await);
    assert_eq!(receipts("carol").await, 2);
    drop(at_alice);
    while node.api.registry().online(&[user("alice")]).await != Ok(vec![false]) {
        tokio::task::yield_now().await;
    }
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    let _at_alice = Conversation::open(&node.api, caller("alice")).await;
    while !next_presence(&mut at_carol).await {}
}

/// A page of members as (id, name, picture), with the token for the next one.
async fn members(
    node: &TestNode,
    viewer: &Admitted,
    room_id: &str,
    page_token: &str,
) -> (Vec<[String; 3]>, String) {
    let request = v1::ListMembersRequest {
        room_id: room_id.to_owned(),
        page_token: page_token.to_owned(),
        page_size: 200,
    };
    let page = node.api.list_members(viewer, request).await.unwrap();
    let shown = |member: v1::Member| [member.user_id, member.display_name, member.image_url];
    (page.members.into_iter().map(shown).collect(), page.next_page_token)
}

async fn set_profile(node: &TestNode, id: &str, name: &str, image_url: &str) {
    let request = v1::UpdateUserRequest {
        user_id: "me".to_owned(),
        name: Some(name.to_owned()),
        image_url: Some(image_url.to_owned()),
        ..Default::default()
    };
    node.api.update_user(&caller(id), request).await.unwrap();
}

#[tokio::test]
async fn lists_of_members_have_their_names_and_pictures() {
    let (node, room) = private().await;
    set_profile(&node, "alice", "Alice", "https://example.org/a.png").await;
    set_profile(&node, "carol", "Carol", "").await;
    let alice = ["alice", "Alice", "https://example.org/a.png"];
    let batches = || node.store.calls().get("users_by_id").copied().unwrap_or(0);
    let before = batches();
    let (listed, _) = members(&node, &caller("bob"), room.as_str(), "").await;
    assert_eq!(listed, [alice, ["bob", "bob", ""]]);
    assert_eq!(batches() - before, 1);
    let app = parlance_core::Caller { is_service: true, ..user_caller("backend") };
    node.api
        .deactivate_user(
            &app.clone().into(),
            v1::DeactivateUserRequest { user_id: "alice".into(), ..Default::default() },
        )
        .await
        .unwrap();
    assert_eq!(members(&node, &caller("bob"), room.as_str(), "").await.0[0], alice, "as GetUsers shows her");

    // Beginning a direct room shows nothing of the other one.
    let (direct, _) = writes(&node, "carol", "bob").await;
    assert_eq!(
        members(&node, &caller("carol"), &direct, "").await.0,
        [["bob", "", ""], ["carol", "Carol", ""]]
    );
    assert_eq!(
        members(&node, &caller("bob"), &direct, "").await.0,
        [["bob", "bob", ""], ["carol", "Carol", ""]]
    );
    assert_eq!(members(&node, &app.into(), &direct, "").await.0[0], ["bob", "bob", ""]);
}

#[tokio::test]
async fn a_page_of_members_with_long_profiles_is_shorter() {
    let (node, room) = private().await;
    let name = "n".repeat(256);
    let image = format!("https://example.org/{}", "x".repeat(2_000));
    let ids: Vec<String> = (100..180).map(|number| format!("m{number}")).collect();
    for id in &ids {
        node.api.ensure_user(&caller(id)).await.unwrap();
        set_profile(&node, id, &name, &image).await;
    }
    for part in ids.chunks(40) {
        let request = v1::AddMembersRequest {
            room_id: room.to_string(),
            user_ids: part.to_vec(),
            request_id: part[0].clone(),
            ..Default::default()
        };
        node.api.add_members(&caller("alice"), request).await.unwrap();
    }
    let (first, token) = members(&node, &caller("alice"), room.as_str(), "").await;
    let (second, end) = members(&node, &caller("alice"), room.as_str(), &token).await;
    assert_eq!((first.len() + second.len(), end.as_str()), (82, ""));
    assert!(first.len() < 70 && first.last().map(|last| &last[0]) == Some(&token));
}

#[tokio::test]
async fn who_is_invited_sees_who_has_invited_them() {
    let (node, room) = private().await;
    let invite = v1::InviteMemberRequest {
        room_id: room.to_string(),
        user_id: "carol".to_owned(),
        request_id: "invite".to_owned(),
        ..Default::default()
    };
    node.api.invite_member(&caller("alice"), invite).await.unwrap();
    let _sessions = [
        Conversation::open(&node.api, caller("alice")).await,
        Conversation::open(&node.api, caller("carol")).await,
    ];
    assert!(sees(&node, "carol", "alice").await && !sees(&node, "carol", "bob").await);
    assert!(!sees(&node, "alice", "carol").await && !sees(&node, "bob", "carol").await);
    assert!(!sees_online(&node, "carol", "alice").await && !sees_online(&node, "alice", "carol").await);
    let decline = v1::DeclineInvitationRequest { room_id: room.to_string(), request_id: "decline".into() };
    node.api.decline_invitation(&caller("carol"), decline).await.unwrap();
    assert!(!sees(&node, "carol", "alice").await);
}

/// Only six rooms of each are listed here.
#[tokio::test]
async fn users_with_many_rooms_see_those_who_have_few() {
    let (node, _) = private().await;
    let mut rooms = Vec::new();
    for number in 0..12 {
        rooms.push(create(&node, "eve", &[], &format!("eve-{number}")).await);
    }
    rooms.sort();
    assert!(!sees(&node, "eve", "dora").await && !sees(&node, "dora", "eve").await);
    let request = v1::AddMembersRequest {
        room_id: rooms[11].clone(),
        user_ids: vec!["dora".to_owned()],
        request_id: "add".to_owned(),
        ..Default::default()
    };
    node.api.add_members(&caller("eve"), request).await.unwrap();
    let _sessions = [
        Conversation::open(&node.api, caller("eve")).await,
        Conversation::open(&node.api, caller("dora")).await,
    ];
    assert!(sees(&node, "eve", "dora").await && sees(&node, "dora", "eve").await);
    assert!(sees_online(&node, "eve", "dora").await && sees_online(&node, "dora", "eve").await);
    writes(&node, "dora", "carol").await;
    assert!(sees(&node, "carol", "dora").await && !sees(&node, "eve", "carol").await);
}

#[tokio::test]
async fn lists_are_closed_where_profiles_are_private_and_open_where_all_search() {
    let (node, _) = private().await;
    let refused = node.api.list_users(&caller("alice"), v1::ListUsersRequest::default()).await.unwrap_err();
    assert_eq!(Failure::from(refused).reason, "needs_scope");
    let search = || v1::SearchUsersRequest { name_prefix: "c".to_owned(), ..Default::default() };
    let refused = node.api.search_users(&caller("alice"), search()).await.unwrap_err();
    assert_eq!(Failure::from(refused).reason, "needs_scope");
    assert!(!node.api.get_server().open_profiles && !node.api.get_server().open_presence);
    let searching = ProfileRules { all_search: true, ..PRIVATE };
    let (node, _) = TestNode::with_group_from(|parts| Parts { profiles: searching, ..parts }).await;
    assert_eq!(node.api.search_users(&caller("alice"), search()).await.unwrap().users.len(), 1);
    assert!(sees(&node, "alice", "carol").await, "who is found is seen");
    assert!(node.api.get_server().open_profiles && !node.api.get_server().open_presence);
}
