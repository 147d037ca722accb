//! Rooms on a node whose store is in the way.
use parlance_core::{Action, Command, RequestId, Text};
use parlance_hub::Waken;
use parlance_rooms::Error;
use parlance_store::StoreError;

use crate::testing::{TestNode, group, say, soon, user};

#[tokio::test]
async fn members_learn_of_a_room_whose_creator_hangs_up() {
    let node = TestNode::start();
    let mailbox = node.api.hub().open(&user("bob"), None);
    let creation = group("first");
    let room = creation.info.id.clone();
    let api = node.api.clone();
    let creator = tokio::spawn(async move { api.rooms().create(creation).await.map(drop) });
    // Committed, and not answered yet.
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
    let action = Action::Send { text: Text::parse("late").unwrap(), reply_to: None };
    let request = RequestId::parse("late").unwrap();
    let command = Command { actor: user("alice"), request, after: None, action };
    node.api.rooms().submit(&room.info.id, command).await.unwrap();
    assert_eq!(node.api.rooms().usage(), (0, 0));
    soon(node.api.stop()).await;
}

#[tokio::test]
async fn creating_a_room_again_tells_members_who_were_not_told() {
    let node = TestNode::start();
    node.store.answer_all();
    node.api.rooms().create(group("first")).await.unwrap();
    // As if the first creator's node had died before it told anyone.
    let mailbox = node.api.hub().open(&user("bob"), None);
    let (room, is_repeat) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
    assert!(is_repeat);
    let Waken::Attach(attach) = soon(mailbox.next()).await else { panic!("not an attach") };
    assert_eq!(attach.room, room.info.id);
}

/// What one command needs cannot be read: those that are decided beside it do not suffer.
#[tokio::test]
async fn a_damaged_message_fails_its_own_command_only() {
    let (node, room) = TestNode::with_group().await;
    // By another node: the room's actor here begins with the last one.
    let other = node.other();
    let damaged = say(&other, &room, "damaged").await;
    let whole = say(&other, &room, "whole").await;
    node.store.damaged_messages.lock().unwrap().insert((room.clone(), damaged));
    let command = |id: &str, action| Command {
        actor: user("alice"),
        request: RequestId::parse(id).unwrap(),
        after: None,
        action,
    };
    let text = |text| Text::parse(text).unwrap();
    let rooms = node.api.rooms();
    // All of them are waiting when the room's actor begins.
    let (before, bad, good, after) = tokio::join!(
        rooms.submit(&room, command("1", Action::Send { text: text("before"), reply_to: None })),
        rooms.submit(&room, command("2", Action::Edit { target: damaged, text: text("y") })),
        rooms.submit(&room, command("3", Action::Edit { target: whole, text: text("z") })),
        rooms.submit(&room, command("4", Action::Send { text: text("after"), reply_to: None })),
    );
    let bad = bad.unwrap_err();
    assert!(matches!(bad, Error::Store(StoreError::Damaged(_))), "{bad}");
    let seqs = [before, good, after].map(|outcome| outcome.unwrap().first);
    assert_eq!(seqs, [whole + 1, whole + 2, whole + 3]);
}
