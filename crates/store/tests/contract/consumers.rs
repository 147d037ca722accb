//! Contract of every table of consumers.

use std::sync::Arc;

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, EventKey, Parked, Removed, RoomProgress, Walk,
    Wanted,
};
use parlance_store::feed::Position;

use crate::contract::fixture::{NOW, unique};

pub(crate) type AnyConsumers = Arc<dyn ConsumerTable>;

fn name(tag: u64, name: &str) -> ConsumerName {
    ConsumerName::parse(&format!("{name}-{tag:016x}")).unwrap()
}

fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number:03}")).unwrap()
}

fn state(number: u64) -> ConsumerState {
    ConsumerState {
        position: Position::numbered("store", number),
        target: "webhook https://example.com/".to_owned(),
        paused: false,
        disabled: String::new(),
        walk: None,
        created_at: NOW,
        failing_since: None,
        behind_since: None,
    }
}

fn progress(seq: u64, pending: bool) -> RoomProgress {
    RoomProgress { done: EventKey { epoch: 1, seq }, pending, ..RoomProgress::default() }
}

pub(crate) async fn a_consumer_is_read_as_it_was_written(table: AnyConsumers) {
    let name = name(unique(), "hook");
    assert_eq!(table.consumer(&name).await.unwrap(), None);
    let walks = [None, Some(Walk { after: None }), Some(Walk { after: Some(room(7)) })];
    for (number, walk) in walks.into_iter().enumerate() {
        let paused = number == 1;
        let disabled = if number == 2 { "answers 410" } else { "" }.to_owned();
        let behind_since = (number == 1).then_some(NOW);
        let state = ConsumerState { walk, paused, disabled, behind_since, ..state(number as u64) };
        let write = ConsumerWrite { state: Some(state.clone()), ..ConsumerWrite::default() };
        table.write_consumer(&name, write).await.unwrap();
        assert_eq!(table.consumer(&name).await.unwrap(), Some(state));
    }
}

pub(crate) async fn consumers_are_listed_without_their_rooms(table: AnyConsumers) {
    let tag = unique();
    let names = [name(tag, "a"), name(tag, "a-b"), name(tag, "b")];
    for (number, name) in names.iter().enumerate() {
        let rooms = (0..20).map(|room_number| (room(room_number), progress(1, true))).collect();
        let write = ConsumerWrite { state: Some(state(number as u64)), rooms, fence: None };
        table.write_consumer(name, write).await.unwrap();
    }
    let listed = table.consumers().await.unwrap();
    let mut ours: Vec<_> = listed.iter().filter(|(name, _)| names.contains(name)).collect();
    assert!(ours.is_sorted_by(|(a, _), (b, _)| a < b));
    ours.sort_by_key(|(_, state)| state.clone().unwrap().position.number_in("store"));
    assert_eq!(ours.len(), names.len());
    for (number, (name, found)) in ours.into_iter().enumerate() {
        assert_eq!((name, found), (&names[number], &Ok(state(number as u64))));
    }
}

pub(crate) async fn a_removed_consumer_leaves_nothing_and_others_stay(table: AnyConsumers) {
    let tag = unique();
    let (gone, longer) = (name(tag, "a"), name(tag, "a-b"));
    let parked = Some(Parked { reason: "refused".to_owned(), since: NOW });
    let rooms: Vec<_> = (0..60)
        .map(|number| {
            let parked = parked.clone().filter(|_| number % 20 == 0);
            (room(number), RoomProgress { parked, ..progress(number, number % 10 == 0) })
        })
        .collect();
    assert_eq!(table.remove_consumer(&gone).await.unwrap(), None);
    for name in [&gone, &longer] {
        let write = ConsumerWrite { state: Some(state(1)), rooms: rooms.clone(), fence: None };
        table.write_consumer(name, write).await.unwrap();
    }
    let removed = table.remove_consumer(&gone).await.unwrap();
    assert_eq!(removed, Some(Removed { rooms: 60, pending: 6, parked: 3 }));
    assert_eq!(table.consumer(&gone).await.unwrap(), None);
    assert!(table.consumers().await.unwrap().iter().all(|(name, _)| *name != gone));
    let all: Vec<_> = rooms.iter().map(|(room, _)| room.clone()).collect();
    assert_eq!(table.progress(&gone, &all).await.unwrap(), []);
    assert_eq!(table.rooms(&gone, Wanted::Pending, None, 100).await.unwrap().rooms, []);
    assert_eq!(table.remove_consumer(&gone).await.unwrap(), None);
    assert_eq!(table.consumer(&longer).await.unwrap(), Some(state(1)));
    assert_eq!(table.progress(&longer, &all).await.unwrap().len(), 60);
}

pub(crate) async fn pending_rooms_are_paged(table: AnyConsumers) {
    let (name, other) = (name(unique(), "hook"), name(unique(), "other"));
    let parked = Parked { reason: "refused".to_owned(), since: Timestamp(NOW.0 + 1) };
    let rooms: Vec<_> = (0..40)
        .map(|number| {
            let parked = (number == 4).then(|| parked.clone());
            (room(number), RoomProgress { parked, ..progress(number, number % 4 == 0) })
        })
        .collect();
    table
        .write_consumer(&name, ConsumerWrite { rooms: rooms.clone(), ..ConsumerWrite::default() })
        .await
        .unwrap();
    let others = vec![(room(1), progress(1, true))];
    table.write_consumer(&other, ConsumerWrite { rooms: others, ..ConsumerWrite::default() }).await.unwrap();
    let pending: Vec<_> = rooms.iter().filter(|(_, progress)| progress.pending).cloned().collect();
    for size in [1, 3, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = table.rooms(&name, Wanted::Pending, after.as_ref(), size).await.unwrap();
            assert!(page.rooms.len() <= size);
            found.extend(page.rooms);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, pending, "in pages of {size}");
    }
    let mut two = table.progress(&name, &[room(4), room(5), room(99)]).await.unwrap();
    two.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(two, rooms[4..6]);
}

pub(crate) async fn a_row_is_replaced_and_others_stay(table: AnyConsumers) {
    let name = name(unique(), "hook");
    let rooms = vec![(room(1), progress(1, true)), (room(2), progress(2, true))];
    table.write_consumer(&name, ConsumerWrite { state: Some(state(1)), rooms, fence: None }).await.unwrap();
    let rooms = vec![(room(1), progress(9, false))];
    table.write_consumer(&name, ConsumerWrite { rooms, ..ConsumerWrite::default() }).await.unwrap();
    assert_eq!(table.consumer(&name).await.unwrap(), Some(state(1)));
    let page = table.rooms(&name, Wanted::Pending, None, 10).await.unwrap();
    assert_eq!(page.rooms, [(room(2), progress(2, true))]);
    assert_eq!(table.progress(&name, &[room(1)]).await.unwrap(), [(room(1), progress(9, false))]);
}
