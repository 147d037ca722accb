//! What becomes of additions by strangers.

use std::num::NonZeroU32;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_proto::v1;

use super::invitations::{accept, group, invite, rooms_of};
use crate::testing::{TestNode, caller, hello_to};
use crate::{Additions, Error, Parts, PeopleLimits};

/// A node that takes consent, with a group of alice and bob, and carol and dora.
async fn consenting() -> (TestNode, String) {
    consenting_with(PeopleLimits::NONE).await
}

async fn consenting_with(limits: PeopleLimits) -> (TestNode, String) {
    let change = |parts| Parts { additions: Additions::Invite, limits, ..parts };
    let (node, room) = TestNode::with_group_from(change).await;
    node.api.ensure_user(&caller("dora")).await.unwrap();
    (node, room.to_string())
}

async fn adds(node: &TestNode, room: &str, users: &[&str], id: &str) -> v1::AddMembersResponse {
    tries_to_add(node, "alice", room, users, id).await.unwrap()
}

async fn tries_to_add(
    node: &TestNode,
    by: &str,
    room: &str,
    users: &[&str],
    id: &str,
) -> Result<v1::AddMembersResponse, Error> {
    let request = v1::AddMembersRequest {
        room_id: room.to_owned(),
        user_ids: users.iter().map(|&user| user.to_owned()).collect(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    node.api.add_members(&caller(by), request).await
}

/// Whether alice adds `whom` to a new group, rather than inviting them.
async fn knows(node: &TestNode, whom: &str, id: &str) -> bool {
    group(node, "alice", &[whom], id).await.invited_user_ids.is_empty()
}

async fn writes(node: &TestNode, by: &str, to: &str) {
    node.api.send_message(&caller(by), hello_to(to, &format!("{by}-{to}"))).await.unwrap();
}

#[tokio::test]
async fn strangers_are_invited_and_those_who_know_each_other_are_added() {
    let (node, first) = consenting().await;
    let created = group(&node, "alice", &["bob", "carol"], "second").await;
    let room = created.room.unwrap();
    assert_eq!((created.invited_user_ids.clone(), room.member_count), (vec!["carol".to_owned()], 2));
    let again = group(&node, "alice", &["bob", "carol"], "second").await;
    assert!(again.is_repeat);
    assert_eq!(again.invited_user_ids, created.invited_user_ids);
    assert_eq!(rooms_of(&node, "carol").await, std::slice::from_ref(&room.room_id));

    // A message that nobody has answered makes nobody known, an answer does.
    writes(&node, "alice", "dora").await;
    let mixed = adds(&node, &first, &["bob", "carol", "dora"], "mixed").await;
    assert_eq!(mixed.invited_user_ids, ["carol", "dora"]);
    writes(&node, "dora", "alice").await;
    let repeated = adds(&node, &first, &["bob", "carol", "dora"], "mixed").await;
    assert!(repeated.outcome.unwrap().is_repeat);
    assert_eq!(repeated.invited_user_ids, mixed.invited_user_ids, "the first answer");
    assert!(adds(&node, &room.room_id, &["dora"], "dora").await.invited_user_ids.is_empty());

    // Whoever shares a group is known; a channel, which anyone joins, is none.
    accept(&node, "carol", &first).await.unwrap();
    assert!(adds(&node, &room.room_id, &["carol"], "carol").await.invited_user_ids.is_empty());
    node.api.ensure_user(&caller("eve")).await.unwrap();
    let channel = v1::CreateRoomRequest {
        kind: v1::RoomKind::Channel.into(),
        request_id: "channel".into(),
        ..Default::default()
    };
    let channel = node.api.create_room(&caller("alice"), channel).await.unwrap().room.unwrap().room_id;
    let join = v1::JoinRoomRequest { room_id: channel, request_id: "join".into(), ..Default::default() };
    node.api.join_room(&caller("eve"), join).await.unwrap();
    assert_eq!(adds(&node, &first, &["eve"], "eve").await.invited_user_ids, ["eve"]);
}

/// It takes many reads to find out who knows whom.
#[tokio::test]
async fn whoever_may_not_add_members_is_refused_before_acquaintances_are_searched() {
    let (node, room) = consenting().await;
    let searched = || node.store.calls().get("rooms_of").copied().unwrap_or(0);
    let before = searched();
    for by in ["dora", "bob"] {
        let refused = tries_to_add(&node, by, &room, &["carol"], "add").await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    }
    assert_eq!(searched(), before);
}

#[tokio::test]
async fn many_strangers_are_invited_all_or_none_and_members_cost_nothing() {
    let limits =
        PeopleLimits { invitations: NonZeroU32::new(1), new_rooms: NonZeroU32::new(1), ..PeopleLimits::NONE };
    let (node, room) = consenting_with(limits).await;
    let strangers: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    for id in &strangers {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    let strangers: Vec<&str> = strangers.iter().map(String::as_str).collect();
    let first = adds(&node, &room, &strangers[..30], "thirty").await;
    assert_eq!(first.invited_user_ids.len(), 30);
    for _ in 0..35 {
        invite(&node, "alice", &room, "carol").await.unwrap();
    }
    // 15 of 80 are left, or one or two more on a slow machine.
    let searched = || node.store.calls().get("rooms_of").copied().unwrap_or(0);
    let before = searched();
    let refused = tries_to_add(&node, "alice", &room, &strangers, "all").await.unwrap_err();
    let Error::RateLimited(delay) = refused else { panic!("{refused:?}") };
    assert!(delay > Duration::from_secs(2) && delay <= Duration::from_secs(25), "{delay:?}");
    // More than the burst of new rooms.
    for _ in 0..210 {
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Group.into(),
            member_ids: strangers.iter().map(|&id| id.to_owned()).collect(),
            request_id: "refused".into(),
            ..Default::default()
        };
        assert!(matches!(node.api.create_room(&caller("alice"), request).await, Err(Error::RateLimited(_))));
    }
    assert_eq!(searched(), before, "nor are acquaintances searched");
    // Nothing was taken for that, neither invitations nor new rooms.
    let created = group(&node, "alice", &["s30", "s31"], "second").await;
    assert_eq!(created.invited_user_ids.len(), 2);
    let rest = adds(&node, &room, &strangers[32..40], "rest").await;
    assert_eq!(rest.invited_user_ids.len(), 8);
    while invite(&node, "alice", &room, "carol").await.is_ok() {}
    // A repeat is answered, and members are no strangers.
    assert_eq!(adds(&node, &room, &strangers[..30], "thirty").await.invited_user_ids, first.invited_user_ids);
    let refused = tries_to_add(&node, "alice", &room, &["bob", "bob", "alice"], "members").await;
    assert_eq!(refused.unwrap().outcome.unwrap().seq, 0);
}

#[tokio::test]
async fn a_shared_group_is_found_behind_many_channels() {
    let (node, _) = consenting().await;
    let backend = crate::gate::Admitted::from(parlance_core::Caller {
        is_service: true,
        is_admin: true,
        ..crate::testing::user_caller("backend")
    });
    let creates = async |kind: v1::RoomKind, id: String| {
        let request = v1::CreateRoomRequest {
            kind: kind.into(),
            room_id: id,
            owner_id: "alice".into(),
            member_ids: vec!["carol".into()],
            ..Default::default()
        };
        node.api.create_room(&backend, request).await.unwrap();
    };
    for number in 0..25 {
        creates(v1::RoomKind::Channel, format!("a-channel-{number:02}")).await;
    }
    assert!(!knows(&node, "carol", "before").await);
    creates(v1::RoomKind::Group, "b-group".to_owned()).await;
    assert!(knows(&node, "carol", "after").await);
}

/// Their ids come before those of most groups.
#[tokio::test]
async fn a_shared_group_is_found_behind_many_direct_rooms() {
    let (node, room) = consenting().await;
    assert!(!RoomId::parse(&room).unwrap().is_direct());
    for number in 0..32 {
        let peer = format!("peer{number}");
        node.api.ensure_user(&caller(&peer)).await.unwrap();
        writes(&node, "alice", &peer).await;
        writes(&node, "bob", &peer).await;
    }
    assert!(knows(&node, "bob", "second").await);
}

#[tokio::test]
async fn opening_a_direct_room_says_nothing_and_the_first_message_does() {
    let (node, _) = consenting().await;
    let opens = v1::CreateRoomRequest {
        kind: v1::RoomKind::Direct.into(),
        member_ids: vec!["alice".into()],
        ..Default::default()
    };
    node.api.create_room(&caller("carol"), opens).await.unwrap();
    assert!(!knows(&node, "carol", "opened").await);
    writes(&node, "dora", "alice").await;
    assert!(knows(&node, "dora", "written").await);
}

#[tokio::test]
async fn whoever_names_a_stranger_twice_invites_them_once() {
    let (node, room) = consenting().await;
    let added = adds(&node, &room, &["carol", "bob", "carol", "alice"], "twice").await;
    assert_eq!(added.invited_user_ids, ["carol"]);
    assert_eq!(rooms_of(&node, "carol").await, std::slice::from_ref(&room));
    let again = adds(&node, &room, &["carol"], "again").await;
    assert_eq!((again.outcome.unwrap().seq, again.invited_user_ids), (0, vec!["carol".to_owned()]));
    accept(&node, "carol", &room).await.unwrap();
}
