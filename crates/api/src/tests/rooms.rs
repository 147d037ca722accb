//! Rooms on a node whose store is slow or fails.
use std::time::Duration;

use parlance_core::{
    Action, Authority, Command, DataChange, Message, Refusal, RequestId, Role, RoomId, Text,
};
use parlance_faults::ControlledStore;
use parlance_hub::Waken;
use parlance_proto::cluster::v1::{Envelope, envelope::Content};
use parlance_proto::v1;
use parlance_rooms::Error;
use parlance_runtime::random;
use parlance_store::{LogStore, StoreError};
use prost::Message as _;
use tokio::time::{Instant, sleep};
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use super::outage;
use crate::testing::{Conversation, TestNode, add, caller, group, say, soon, user};

#[tokio::test]
async fn members_learn_of_a_room_whose_creator_hangs_up() {
    let node = TestNode::start();
    let mailbox = node.api.hub().open(&user("bob"), None);
    let creation = group("first");
    let room = creation.info.id.clone();
    let api = node.api.clone();
    let creator = tokio::spawn(async move { api.rooms().create(creation).await.map(drop) });
    // Committed, but not answered yet.
    soon(node.store.committed.acquire()).await.unwrap().forget();
    creator.abort();
    assert!(creator.await.unwrap_err().is_cancelled());
    node.store.answer_all();
    let Waken::Attach(attach) = soon(mailbox.next()).await else { panic!("not an attach") };
    assert_eq!(attach.room, room);
}

#[tokio::test(start_paused = true)]
async fn room_that_is_asked_while_the_node_ends_does_not_keep_it() {
    let node = TestNode::start();
    node.store.answer_all();
    let (room, _) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
    node.api.rooms().close();
    let action = Action::Send(Message::plain(Text::parse("late").unwrap()));
    let request = RequestId::parse("late").unwrap();
    let command =
        Command { actor: user("alice"), authority: Authority::Member, request, after: None, action };
    node.api.rooms().submit(&room.info.id, command).await.unwrap();
    assert_eq!(node.api.rooms().usage(), (0, 0));
    soon(node.api.stop(Duration::from_secs(3_600))).await;
}

#[tokio::test]
async fn repeated_creation_notifies_members_not_notified_before() {
    let node = TestNode::start();
    node.store.answer_all();
    node.api.rooms().create(group("first")).await.unwrap();
    // As if the creator's node had died before it published anything.
    let mailbox = node.api.hub().open(&user("bob"), None);
    let (room, is_repeat) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
    assert!(is_repeat);
    let Waken::Attach(attach) = soon(mailbox.next()).await else { panic!("not an attach") };
    assert_eq!(attach.room, room.info.id);
}

/// Commands of one stream are decided in order, although the first one needs a user lookup.
#[tokio::test]
async fn a_message_after_an_addition_is_seen_by_who_was_added() {
    let (node, room) = TestNode::with_group().await;
    let other = node.other();
    let mut alice = Conversation::open(&node.api, caller("alice")).await;
    alice.catch_up().await;
    for round in 0..5 {
        let newcomer = format!("newcomer-{round}");
        // A user that is not yet in this node's cache.
        other.ensure_user(&caller(&newcomer)).await.unwrap();
        let add = v1::AddMembersRequest {
            room_id: room.to_string(),
            user_ids: vec![newcomer.clone()],
            request_id: newcomer.clone(),
            ..Default::default()
        };
        let welcome = v1::SendMessageRequest {
            text: format!("welcome {newcomer}"),
            client_message_id: format!("welcome-{round}"),
            target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
            ..Default::default()
        };
        alice.send(Operation::AddMembers(add)).await;
        alice.send(Operation::SendMessage(welcome)).await;
        let mut kinds = Vec::new();
        while kinds.len() < 2 {
            if let Frame::Event(event) = alice.next().await {
                kinds.push(matches!(event.body, Some(v1::event::Body::Message(_))));
            }
        }
        assert_eq!(kinds, [false, true], "{newcomer} is a member, then welcomed");
    }
}

/// The row of a non-member cannot be read: neither members nor other non-members are affected.
#[tokio::test]
async fn a_damaged_row_of_a_stranger_fails_their_own_command_only() {
    let (node, room) = TestNode::with_group().await;
    let missing = RoomId::parse(&format!("{}{}", &room.as_str()[..1], "0".repeat(room.as_str().len() - 1)));
    let rooms = node.api.rooms();
    let command = |actor: &str, action| Command {
        actor: user(actor),
        authority: Authority::Member,
        request: RequestId::parse(&random::bits().to_string()).unwrap(),
        after: None,
        action,
    };
    let text = |text| Text::parse(text).unwrap();
    let hello = |actor| command(actor, Action::Send(Message::plain(text("hello"))));
    let unchanged = Action::SetRole { user: user("bob"), role: Role::Member };
    for room in [room, missing.unwrap()] {
        let refused = |error| match error {
            Error::RoomNotFound | Error::Refused { refusal: Refusal::NotMember, .. } => {}
            other => panic!("{other:?}"),
        };
        // From now on their rows are cached here, if there is a room.
        for stranger in ["carol", "dora"] {
            refused(rooms.submit(&room, hello(stranger)).await.unwrap_err());
        }
        node.store.damaged_rows.lock().unwrap().insert(user("carol"));
        let (carol, dora, alice) = tokio::join!(
            rooms.submit(&room, hello("carol")),
            rooms.submit(&room, hello("dora")),
            rooms.submit(&room, command("alice", unchanged.clone())),
        );
        assert!(matches!(carol, Err(Error::Store(StoreError::Damaged(_)))), "{carol:?}");
        refused(dora.unwrap_err());
        assert!(matches!(alice, Ok(_) | Err(Error::RoomNotFound)), "{alice:?}");
        node.store.damaged_rows.lock().unwrap().clear();
    }
}

/// What one command needs cannot be read: commands decided in the same batch are not affected.
#[tokio::test]
async fn an_unreadable_message_fails_its_own_command_only() {
    for error in [StoreError::Damaged("a message".into()), StoreError::Overloaded] {
        check_unreadable_message(error).await;
    }
}

async fn check_unreadable_message(error: StoreError) {
    let (node, room) = TestNode::with_group().await;
    // Written by another node: the room's actor here starts with the last one.
    let other = node.other();
    let unreadable = say(&other, &room, "damaged").await;
    let whole = say(&other, &room, "whole").await;
    node.store.unreadable_messages.lock().unwrap().insert((room.clone(), unreadable), error.clone());
    let command = |id: &str, action| Command {
        actor: user("alice"),
        authority: Authority::Member,
        request: RequestId::parse(id).unwrap(),
        after: None,
        action,
    };
    let text = |text| Text::parse(text).unwrap();
    let rooms = node.api.rooms();
    // All of them are queued when the room's actor starts.
    let (before, bad, good, after) = tokio::join!(
        rooms.submit(&room, command("1", Action::Send(Message::plain(text("before"))))),
        rooms.submit(
            &room,
            command("2", Action::Edit { target: unreadable, text: text("y"), data: DataChange::default() })
        ),
        rooms.submit(
            &room,
            command("3", Action::Edit { target: whole, text: text("z"), data: DataChange::default() })
        ),
        rooms.submit(&room, command("4", Action::Send(Message::plain(text("after"))))),
    );
    assert_eq!(bad.unwrap_err(), Error::Store(error));
    let seqs = [before, good, after].map(|outcome| outcome.unwrap().first);
    assert_eq!(seqs, [whole + 1, whole + 2, whole + 3]);
}

/// Runs `work` on other threads while paused time does not advance: paused time waits for blocking
/// tasks, but not for other threads.
async fn while_time_stands(work: impl AsyncFnOnce() + Send + 'static) {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work())).await.unwrap();
}

/// Whether the room's feed reaches `head` within `limit`.
pub(super) async fn delivered_within(node: &TestNode, room: &RoomId, head: u64, limit: Duration) -> bool {
    let known = || node.api.hub().feed(room).and_then(|feed| feed.known()).map_or(0, |known| known.head);
    let deadline = Instant::now() + limit;
    while known() < head && Instant::now() < deadline {
        sleep(Duration::from_secs(1)).await;
        // The duration of the node's own reads.
        let (store, room) = (node.store.clone(), room.clone());
        while_time_stands(async move || drop(store.room(&room).await)).await;
    }
    known() >= head
}

/// Sends into a store that does not answer.
async fn send_unanswered(node: &TestNode, room: &RoomId, id: &str) {
    let action = Action::Send(Message::plain(Text::parse("late").unwrap()));
    let request = RequestId::parse(id).unwrap();
    let command =
        Command { actor: user("alice"), authority: Authority::Member, request, after: None, action };
    node.store.hold_appends();
    assert_eq!(node.api.rooms().submit(room, command).await, Err(Error::Contention));
}

#[tokio::test(start_paused = true)]
async fn append_that_lands_minutes_later_is_delivered_within_a_minute() {
    let (node, room) = TestNode::with_group().await;
    let (_mailbox, _listening) = node.live("bob", &room).await;
    let head = || async { node.store.room(&room).await.unwrap().unwrap().head().seq() };
    for wait in [0, 1, 4, 100, 280] {
        let before = head().await;
        send_unanswered(&node, &room, &format!("late-{wait}")).await;
        sleep(Duration::from_secs(wait)).await;
        let store = node.store.clone();
        while_time_stands(async move || store.land_appends().await).await;
        let limit = Duration::from_secs(61);
        let expected = head().await;
        assert_eq!(expected, before + 1, "it landed");
        assert!(delivered_within(&node, &room, expected, limit).await, "landed after {wait} s");
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_append_is_searched_only_as_long_as_it_may_land() {
    let (node, room) = TestNode::with_group().await;
    send_unanswered(&node, &room, "late").await;
    let before = node.store.reads();
    sleep(2 * ControlledStore::LATE_APPEND).await;
    let looked = node.store.reads() - before;
    assert!((5..=12).contains(&looked), "{looked} reads");
    let before = node.store.reads();
    sleep(ControlledStore::LATE_APPEND).await;
    assert_eq!(node.store.reads(), before);
}

#[tokio::test(start_paused = true)]
async fn node_that_ends_does_not_wait_for_what_may_land() {
    let (node, room) = TestNode::with_group().await;
    send_unanswered(&node, &room, "late").await;
    let begun = Instant::now();
    node.api.stop(Duration::from_secs(3_600)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn next_message_announces_members_added_by_a_dead_node() {
    let (node, _registry, mut published) = outage::start().await;
    node.api.ensure_user(&caller("carol")).await.unwrap();
    // Nobody is notified of this node's writes.
    let dead = node.other();
    let room = dead.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    add(&dead, &room, "carol").await;
    while published.try_recv().is_ok() {}
    let mut said = Vec::new();
    for text in ["one", "two"] {
        say(&node.api, &room, text).await;
        let (users, payload) = published.try_recv().unwrap();
        assert_eq!(users, [user("alice"), user("bob"), user("carol")]);
        said.push(Envelope::decode(payload).unwrap().content.unwrap());
    }
    assert!(matches!(&said[0], Content::Head(hint) if hint.user_ids == ["carol"]), "{said:?}");
    assert!(matches!(&said[1], Content::Chunk(_)), "once is enough: {said:?}");
    dead.stop(Duration::from_secs(3_600)).await;
}
