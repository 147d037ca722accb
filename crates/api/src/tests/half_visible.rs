//! Member lists that were read while a change was half visible: its chunk, but not yet its rows.
use parlance_core::{Action, Authority, Command, Member, RequestId, RoomId, UserId};
use parlance_core::{Role, limits::MAX_PAGE_SIZE};

use super::outage::start;
use crate::Api;
use crate::testing::{TestNode, add, caller, group, remove, say, user};
use parlance_store::MemberStore;

async fn rows(node: &TestNode, room: &RoomId) -> Vec<Member> {
    node.store.members(room, None, MAX_PAGE_SIZE).await.unwrap()
}

async fn submit(api: &Api, room: &RoomId, id: &str, actor: &str, action: Action) {
    let request = RequestId::parse(id).unwrap();
    let command = Command { actor: user(actor), authority: Authority::Member, request, after: None, action };
    api.rooms().submit(room, command).await.unwrap();
}

#[tokio::test]
async fn removed_member_does_not_become_the_owner() {
    let (node, room) = TestNode::with_group().await;
    for id in ["alice", "bob", "carol"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    add(&node.api, &room, "carol").await;
    let other = node.other();
    let admin = Action::SetRole { user: user("bob"), role: Role::Admin };
    submit(&node.api, &room, "admin", "alice", admin).await;
    let before = rows(&node, &room).await;
    // A node that has the room but not bob's row.
    let third = node.other();
    say(&third, &room, "hello").await;
    remove(&other, &room, "bob").await;
    // It learns that there are further events, and reads them.
    let unchanged = Action::SetRole { user: user("carol"), role: Role::Member };
    submit(&third, &room, "unchanged", "alice", unchanged).await;
    *node.store.stale_list.lock().unwrap() = Some(before);
    submit(&third, &room, "leave", "alice", Action::Leave).await;
    assert!(node.store.stale_list.lock().unwrap().is_none(), "it was read");
    let rows = rows(&node, &room).await;
    let active: Vec<_> =
        rows.iter().filter(|row| row.is_active()).map(|row| (row.user.as_str(), row.role)).collect();
    assert_eq!(active, [("carol", Role::Owner)]);
}

/// Takes seconds in a large room, while others write.
#[tokio::test]
async fn members_are_read_once_during_new_events() {
    let (node, room) = TestNode::with_group().await;
    for id in ["carol", "dora"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
        add(&node.api, &room, id).await;
    }
    let other = node.other();
    let goes_on = {
        let (other, room) = (other.clone(), room.clone());
        async move {
            say(&other, &room, "meanwhile").await;
            let admin = Action::SetRole { user: user("dora"), role: Role::Admin };
            submit(&other, &room, "dora", "alice", admin).await;
            remove(&other, &room, "bob").await;
        }
    };
    let third = node.other();
    say(&third, &room, "hello").await;
    *node.store.after_list.lock().unwrap() = Some(Box::pin(goes_on));
    let lists = || node.store.calls().get("members").copied().unwrap_or(0);
    let before = lists();
    submit(&third, &room, "leave", "alice", Action::Leave).await;
    assert_eq!(lists() - before, 1);
    let rows = rows(&node, &room).await;
    let active = rows.iter().filter(|row| row.is_active()).map(|row| (row.user.as_str(), row.role));
    assert_eq!(active.collect::<Vec<_>>(), [("carol", Role::Member), ("dora", Role::Owner)]);
}

#[tokio::test]
async fn new_member_is_notified() {
    let (node, _registry, mut published) = start().await;
    node.api.ensure_user(&caller("carol")).await.unwrap();
    let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    let before = rows(&node, &room).await;
    add(&node.other(), &room, "carol").await;
    *node.store.stale_list.lock().unwrap() = Some(before);
    while published.try_recv().is_ok() {}
    for text in ["one", "two"] {
        say(&node.api, &room, text).await;
        let (users, _) = published.try_recv().unwrap();
        let users: Vec<&str> = users.iter().map(UserId::as_str).collect();
        assert_eq!(users, ["alice", "bob", "carol"], "{text}");
    }
    assert!(node.store.stale_list.lock().unwrap().is_none(), "it was read");
}
