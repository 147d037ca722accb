//! Invitations to rooms, and the lists of those who are invited.

use std::time::Duration;

use parlance_core::{
    Action, Invitation, Invitations, Joining, LinkHash, Listed, Reason, RequestEnd, RoomId, SettingsChange,
    Timestamp, UserId,
};
use parlance_store::Invited;

use super::fixture::{AnyStore, NOW, Node, add, group, invite, unique, user};

/// When an invitation of [`invite`] expires.
const UNTIL: Timestamp = Timestamp(NOW.0 + 60_000);

async fn invitations(node: &Node) -> Invitations {
    node.store.invitations(node.id()).await.unwrap()
}

async fn list(store: &AnyStore, user: &UserId) -> Vec<Invited> {
    store.invited_to(user, None, 10).await.unwrap()
}

fn invited(node: &Node, seq: u64, note: &str) -> Invited {
    Invited { room: node.id().clone(), listed: Listed { seq, note: Reason::stored(note) } }
}

fn at(node: &Node, seq: u64) -> Vec<Invited> {
    vec![invited(node, seq, "")]
}

pub(crate) async fn invitations_are_written_with_their_events(store: AnyStore) {
    let tag = unique();
    let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"].map(|name| user(tag, name));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    assert_eq!((invitations(&node).await, list(&store, &bob).await), (Invitations::default(), Vec::new()));
    let first = node.write(&[(&alice, invite(&[&bob, &carol, &dora]))]).await;
    let invitation = |seq| Invitation { by: alice.clone(), at: NOW, until: UNTIL, seq };
    let of = |users: &[(&UserId, u64)], changed| {
        let of = users.iter().map(|(user, seq)| ((*user).clone(), invitation(*seq)));
        Invitations::new(changed, of.collect())
    };
    let all = of(&[(&bob, first), (&carol, first + 1), (&dora, first + 2)], first + 2);
    assert_eq!(invitations(&node).await, all);
    assert_eq!(list(&store, &carol).await, at(&node, first + 1));

    let joined = node.write(&[(&bob, Action::Accept)]).await;
    assert_eq!(invitations(&node).await, of(&[(&carol, first + 1), (&dora, first + 2)], joined));
    assert!(store.member(node.id(), &bob).await.unwrap().unwrap().is_active());
    let declined = node.write(&[(&carol, Action::Decline)]).await;
    assert_eq!(invitations(&node).await, of(&[(&dora, first + 2)], declined));
    assert_eq!((list(&store, &bob).await, list(&store, &carol).await), (Vec::new(), Vec::new()));
    // The list of somebody who is added by another one stays; the room decides.
    let added = node.write(&[(&alice, add(&[&dora]))]).await;
    assert_eq!(invitations(&node).await, of(&[], added));
    assert_eq!(list(&store, &dora).await, at(&node, first + 2));
}

pub(crate) async fn invitations_of_a_creation_are_stored(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let creation = group(&alice, &[]).inviting(std::slice::from_ref(&bob), UNTIL);
    let mut node = Node::create(&store, creation).await;
    assert_eq!(node.stored().await.head().seq(), 3);
    let invitation = Invitation { by: alice.clone(), at: NOW, until: UNTIL, seq: 3 };
    assert_eq!(invitations(&node).await, Invitations::new(3, [(bob.clone(), invitation)].into()));
    assert_eq!(list(&store, &bob).await, at(&node, 3));
    node.write(&[(&bob, Action::Accept)]).await;
    assert!(list(&store, &bob).await.is_empty());
}

pub(crate) async fn rooms_that_a_user_was_invited_to_are_paged_by_id(store: AnyStore) {
    let tag = unique();
    // A user whose id has hers as a prefix.
    let [alice, bob, bobby] = ["alice", "bob", "bob.a"].map(|name| user(tag, name));
    let ids = ["a", "a+", "a.b", "aa", "b"].map(|name| RoomId::parse(&format!("{tag:016x}-{name}")).unwrap());
    for id in ids.iter().rev() {
        let mut creation = group(&alice, &[]).inviting(&[bob.clone(), bobby.clone()], UNTIL);
        creation.info.id = id.clone();
        Node::create(&store, creation).await;
    }
    let page = async |after: Option<&RoomId>, limit| {
        let rooms = store.invited_to(&bob, after, limit).await.unwrap();
        rooms.into_iter().map(|invited| invited.room).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 100).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(&ids[1]), 2).await, ids[2..4]);
    assert_eq!(page(Some(&ids[4]), 2).await, []);
}

pub(crate) async fn a_forgotten_room_stays_if_the_user_was_invited_again(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let first = node.write(&[(&alice, invite(&[&bob]))]).await;
    node.write(&[(&bob, Action::Decline)]).await;
    let again = node.write(&[(&alice, invite(&[&bob]))]).await;
    let forget = async |seq| {
        store.forget_invited(&bob, &invited(&node, seq, "")).await.unwrap();
        list(&store, &bob).await
    };
    assert_eq!(forget(first).await, at(&node, again));
    assert_eq!(forget(again).await, []);
    assert_eq!(forget(again).await, []);
    assert_eq!(invitations(&node).await.get(&bob).unwrap().seq, again, "the room's own");
}

pub(crate) async fn invitations_are_in_no_list_of_rooms_or_members(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    node.write(&[(&alice, invite(&[&bob]))]).await;
    let page = store.rooms_of(&bob, None, 10).await.unwrap();
    assert_eq!((page.rows.len(), page.damaged.len()), (0, 0));
    assert_eq!(store.members(node.id(), None, 10).await.unwrap().len(), 1);
    assert_eq!(store.user_room(&bob, node.id()).await.unwrap(), None);
}

pub(crate) async fn links_and_requests_are_stored_with_the_invitations(store: AnyStore) {
    let tag = unique();
    let [alice, bob, carol, dora] = ["alice", "bob", "carol", "dora"].map(|name| user(tag, name));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let hash = LinkHash::new([7; LinkHash::BYTES]);
    let make = Action::CreateLink { hash, lasts: Duration::from_secs(60), max_uses: 2 };
    let link = node.write(&[(&alice, make)]).await;
    let made = invitations(&node).await.link(link).cloned().unwrap();
    assert_eq!((made.hash, made.by, made.at, made.until), (hash, alice.clone(), NOW, UNTIL));
    assert_eq!((made.max_uses, made.uses), (2, 0));
    node.write(&[(&bob, Action::JoinByLink { hash })]).await;
    assert_eq!(invitations(&node).await.link(link).unwrap().uses, 1);

    let note = Reason::parse_new("from the choir").unwrap();
    let by_request = SettingsChange { joining: Some(Joining::ByRequest), ..SettingsChange::default() };
    node.write(&[(&alice, Action::Update(by_request))]).await;
    assert_eq!(node.stored().await.info.settings.joining, Joining::ByRequest);
    let asked = node.write(&[(&carol, Action::Request { note: note.clone() })]).await;
    assert_eq!(list(&store, &carol).await, [invited(&node, asked, "from the choir")]);
    let listed = store.listed_with(node.id(), &[bob.clone(), carol.clone()]).await.unwrap();
    assert_eq!(listed, [(carol.clone(), Listed { seq: asked, note })].into());
    let issued = store.issued(node.id()).await.unwrap();
    assert_eq!((issued.links().count(), issued.requests().count()), (1, 0));
    node.write(&[(&alice, Action::Reject { user: carol.clone() })]).await;
    assert_eq!(list(&store, &carol).await, at(&node, asked), "they find that they were rejected");
    assert!(invitations(&node).await.request_of(&carol).unwrap().is_rejected());
    node.write(&[(&dora, Action::Request { note: Reason::default() })]).await;
    node.write(&[(&dora, Action::Withdraw)]).await;
    let withdrawn = invitations(&node).await.request_of(&dora).cloned().unwrap();
    assert_eq!((withdrawn.ended, withdrawn.withdrawals), (Some(RequestEnd::Withdrawn), 1));
    assert!(list(&store, &dora).await.is_empty());
    let revoked = node.write(&[(&alice, Action::RevokeLink { link })]).await;
    let all = invitations(&node).await;
    assert_eq!((all.link(link), all.changed_at()), (None, revoked));
}
