//! Attributes of a later version survive changes by this one.

use parlance_store::UserChange;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{Action, Cursors, Name, SettingsChange, Title, UserId};

use crate::AnyStore;
use crate::contract::fixture::{NOW, Node, add, group, invite, profile, unique, user};
use crate::endpoint::faulty_dynamo;
use crate::tables::client;

/// An item by its table and keys.
type Row = (&'static str, Vec<(&'static str, String)>);

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

async fn set(client: &Client, (table, keys): &Row, name: &str, value: &str) {
    let mut update = client.update_item().table_name(*table).update_expression("SET #n = :v");
    for (key, id) in keys {
        update = update.key(*key, text(id));
    }
    let update = update.expression_attribute_names("#n", name).expression_attribute_values(":v", text(value));
    update.send().await.unwrap();
}

async fn get(client: &Client, (table, keys): &Row, name: &str) -> Option<AttributeValue> {
    let mut wanted = client.get_item().table_name(*table).consistent_read(true);
    for (key, id) in keys {
        wanted = wanted.key(*key, text(id));
    }
    wanted.send().await.unwrap().item.unwrap().remove(name)
}

#[tokio::test]
async fn unknown_attributes_survive_all_changes() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let client = client(&dynamodb).await;
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    store.create_user(profile(&bob, "Bob")).await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let room = node.id().to_string();
    let member = |user: &UserId| -> Row {
        ("parlance_rooms", vec![("room_id", room.clone()), ("item", format!("m#{user}"))])
    };
    let rows: [Row; 4] = [
        member(&bob),
        ("parlance_rooms", vec![("room_id", room.clone()), ("item", "#".to_owned())]),
        ("parlance_user_rooms", vec![("user_id", bob.to_string()), ("room_id", room.clone())]),
        ("parlance_users", vec![("user_id", bob.to_string())]),
    ];
    for row in &rows {
        set(&client, row, "later", "kept").await;
    }
    let title = Some(Title::parse("Team").unwrap());
    node.write(&[(&alice, Action::Remove { user: bob.clone() })]).await;
    node.write(&[(&alice, add(&[&bob]))]).await;
    node.write(&[(&alice, Action::Update(SettingsChange { title, ..Default::default() }))]).await;
    let head = node.head();
    store.advance(&bob, node.id(), Cursors { delivered: head, ..Default::default() }).await.unwrap();
    store.update_user(&bob, UserChange::rename(Name::parse("Robert").unwrap()), NOW).await.unwrap();
    for row in &rows {
        assert_eq!(get(&client, row, "later").await, Some(text("kept")), "{row:?}");
    }
    assert_eq!(node.stored().await.info.settings.title.as_str(), "Team");
    assert_eq!(store.member(node.id(), &bob).await.unwrap().unwrap().intervals.len(), 2);
}

#[tokio::test]
async fn unknown_parts_of_invitations_survive_the_next_one() {
    // Field 99, with the value 1.
    const LATER: [u8; 3] = [0x98, 0x06, 1];
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let client = client(&dynamodb).await;
    let tag = unique();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| user(tag, name));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    node.write(&[(&alice, invite(&[&bob]))]).await;
    let row: Row = ("parlance_rooms", vec![("room_id", node.id().to_string()), ("item", "i#".to_owned())]);
    set(&client, &row, "later", "kept").await;
    let Some(AttributeValue::B(record)) = get(&client, &row, "invitations").await else {
        panic!("no record")
    };
    let record = [record.as_ref(), &LATER].concat();
    let mut update = client.update_item().table_name(row.0).update_expression("SET invitations = :v");
    for (key, id) in &row.1 {
        update = update.key(*key, text(id));
    }
    update.expression_attribute_values(":v", AttributeValue::B(record.into())).send().await.unwrap();
    node.write(&[(&alice, invite(&[&carol]))]).await;
    assert_eq!(get(&client, &row, "later").await, Some(text("kept")));
    let Some(AttributeValue::B(record)) = get(&client, &row, "invitations").await else {
        panic!("no record")
    };
    assert!(record.as_ref().windows(LATER.len()).any(|part| part == LATER));
    assert_eq!(store.invitations(node.id()).await.unwrap().len(), 2);
}

/// A later version may allow longer texts.
#[tokio::test]
async fn values_beyond_the_limits_of_this_version_are_read() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let client = client(&dynamodb).await;
    let tag = unique();
    let alice = user(tag, "alice");
    store.create_user(profile(&alice, "Alice")).await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    // The chunk that created the room has its settings, too, and must not be the last one.
    node.say(&alice, "hello").await;
    let long = "x".repeat(20_000);
    let room: Row = ("parlance_rooms", vec![("room_id", node.id().to_string()), ("item", "#".to_owned())]);
    set(&client, &room, "title", &long).await;
    set(&client, &room, "topic", &long).await;
    set(&client, &("parlance_users", vec![("user_id", alice.to_string())]), "name", &long).await;
    let settings = node.stored().await.info.settings;
    assert_eq!((settings.title.as_str(), settings.topic.as_str()), (&*long, &*long));
    assert_eq!(store.user(&alice).await.unwrap().unwrap().name.as_str(), long);
}
