//! Unreadable rows: each counts for itself alone.

use std::sync::Arc;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{
    Creation, NewRoom, ReportList, RequestId, RoomId, RoomKind, Settings, Timestamp, Title, UserId,
};
use parlance_faults::dynamodb::Dynamodb;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, EventKey, Removed, RoomProgress, Wanted,
};
use parlance_store::feed::Position;
use parlance_store::{ReportStore, StoreError};

use crate::contract::fixture::{AnyStore, NOW, Node, group, nonce, settings, unique, user};
use crate::contract::reports::report;
use crate::endpoint::faulty_dynamo;
use crate::tables::client;

/// Puts a row of the table of consumers as it should not be.
async fn put(dynamodb: &Dynamodb, consumer: &str, item: &str, value: Option<&[u8]>) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = client(dynamodb).await.put_item().table_name("parlance_consumers");
    let put = put.item("consumer", text(consumer)).item("item", text(item));
    let value = value.map(|value| AttributeValue::B(Blob::new(value)));
    let put = match value {
        Some(value) => put.item("v", value),
        None => put,
    };
    put.send().await.unwrap();
}

fn name(name: &str) -> ConsumerName {
    ConsumerName::parse(name).unwrap()
}

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

#[tokio::test]
async fn damaged_rows_of_consumers_hide_no_others() {
    const UNREADABLE: &[u8] = &[0xff; 5];
    let (store, dynamodb) = faulty_dynamo().await;
    let state = ConsumerState {
        position: Position::numbered("store", 1),
        target: "test".to_owned(),
        paused: false,
        disabled: String::new(),
        walk: None,
        created_at: NOW,
        failing_since: None,
        behind_since: None,
    };
    let done = RoomProgress { done: EventKey { epoch: 1, seq: 7 }, pending: true, ..RoomProgress::default() };
    let rooms = vec![(room(1), done.clone()), (room(5), done.clone())];
    let write = ConsumerWrite { state: Some(state.clone()), rooms, fence: None };
    store.write_consumer(&name("hook"), write).await.unwrap();
    put(&dynamodb, "#consumers", "broken", Some(UNREADABLE)).await;
    put(&dynamodb, "#consumers", "empty", None).await;
    put(&dynamodb, "#consumers", "Not a name", Some(UNREADABLE)).await;

    let listed = store.consumers().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["broken", "empty", "hook"]);
    assert_eq!(listed[2].1, Ok(state));
    for (name, row) in &listed[..2] {
        assert!(matches!(row, Err(StoreError::Damaged(what)) if what.contains(name.as_str())), "{row:?}");
        assert_eq!(store.remove_consumer(name).await.unwrap(), Some(Removed::default()));
    }
    assert_eq!(store.consumers().await.unwrap().len(), 1);

    // Rooms whose rows are unreadable start over, and a row that names no room says nothing.
    put(&dynamodb, "hook", "room-2", Some(UNREADABLE)).await;
    put(&dynamodb, "hook", "room-3", None).await;
    put(&dynamodb, "hook", "not a room", Some(UNREADABLE)).await;
    let anew = RoomProgress { pending: true, ..RoomProgress::default() };
    let expected = [(room(1), done.clone()), (room(2), anew.clone()), (room(3), anew), (room(5), done)];
    let page = store.rooms(&name("hook"), Wanted::Pending, None, 100).await.unwrap();
    assert_eq!(page.rooms, expected);
    let all: Vec<RoomId> = (1..6).map(room).collect();
    let mut found = store.progress(&name("hook"), &all).await.unwrap();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(found, expected);
    let removed = store.remove_consumer(&name("hook")).await.unwrap();
    assert_eq!(removed, Some(Removed { rooms: 5, pending: 4, parked: 0 }));
}

#[tokio::test]
async fn a_damaged_report_hides_no_others() {
    let (store, dynamodb) = faulty_dynamo().await;
    let (alice, bob) = (user(unique(), "alice"), user(unique(), "bob"));
    let reports = [report(&alice, &bob, NOW), report(&alice, &bob, NOW), report(&alice, &bob, NOW)];
    for report in &reports {
        store.create_report(report.clone(), true).await.unwrap();
    }
    let client = client(&dynamodb).await;
    let broken = AttributeValue::S(format!("#report {}", reports[1].id));
    let items = client.scan().table_name("parlance_user_rooms").send().await.unwrap().items.unwrap();
    let mut item = items.into_iter().find(|item| item.values().any(|value| *value == broken)).unwrap();
    for value in item.values_mut().filter(|value| value.is_b()) {
        *value = AttributeValue::B(Blob::new([0xff; 5]));
    }
    client.put_item().table_name("parlance_user_rooms").set_item(Some(item)).send().await.unwrap();
    // Nor do places that cannot be read.
    let list = ReportList::By(alice);
    for place in ["no place", "0", "~"] {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = client.put_item().table_name("parlance_user_rooms");
        let put = put.item("user_id", text(&format!("#reports {list}"))).item("room_id", text(place));
        put.send().await.unwrap();
    }
    for size in [1, 10] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.reports(&list, after.as_ref(), size).await.unwrap();
            found.extend(page.reports);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.sort_by_key(|report| report.id.clone());
        let mut expected = vec![reports[0].clone(), reports[2].clone()];
        expected.sort_by_key(|report| report.id.clone());
        assert_eq!(found, expected, "{size}");
    }
}

/// Pages go on behind rows that cannot be read, however many.
#[tokio::test]
async fn damaged_rows_of_lists_hide_no_others() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let client = client(&dynamodb).await;
    let (alice, bob) = (user(unique(), "alice"), user(unique(), "bob"));
    let until = Timestamp(NOW.0 + 60_000);
    let mut rooms = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let mut creation = group(&alice, &[]).inviting(std::slice::from_ref(&bob), until);
        creation.info.id = RoomId::parse(&format!("{:x}-{name}", unique())).unwrap();
        Node::create(&store, creation.clone()).await;
        rooms.push(creation.info.id);
    }
    let put = async |user: &str, room: &str| {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = client.put_item().table_name("parlance_user_rooms");
        let put = put.item("user_id", text(user)).item("room_id", text(room));
        put.item("seq", text("no number")).item("members", text("no number")).send().await.unwrap();
    };
    for room in &rooms[..2] {
        put(bob.as_str(), &format!(" invited {room}")).await;
    }
    let mut left: Vec<RoomId> = rooms[2..].to_vec();
    left.sort();
    let mut found = Vec::new();
    while let Some(next) = store.invited_to(&bob, found.last(), 1).await.unwrap().pop() {
        found.push(next.room);
    }
    assert_eq!(found, left);

    // No rows of the directory can be read but one, in whatever partition.
    let channel = listed_channel(&store, &alice, "zeta").await;
    for number in 0..8 {
        for name in ["alpha", "beta", "gamma"] {
            put(&format!("#listed {number}"), &format!("{name}\u{1}broken{number}")).await;
        }
    }
    let nothing = Title::parse("").unwrap().folded();
    let page = store.listed_rooms(&nothing, None, 1).await.unwrap();
    assert_eq!(page.rooms.iter().map(|room| room.info.id.clone()).collect::<Vec<_>>(), [channel]);
}

/// Creates a channel that is in the directory.
async fn listed_channel(store: &AnyStore, owner: &UserId, title: &str) -> RoomId {
    let settings = Settings { listed: true, ..settings(title) };
    let request = RequestId::parse(&format!("{:x}", unique())).unwrap();
    let id = RoomId::created_unkeyed(owner, &request);
    let new = NewRoom {
        id: id.clone(),
        creator: owner,
        service: None,
        owner: None,
        request: &request,
        kind: RoomKind::Channel,
        settings,
    };
    Node::create(store, Creation::shared(new, &[], nonce(), NOW)).await;
    id
}
