//! Damage to data in tables: detected when the store opens, or on read.

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, KeyspaceCreateOptions};
use parlance_core::RoomId;
use parlance_store::{AppendError, StoreError};

use crate::fixture::{AnyStore, Node, group, send, user};
use crate::sample::{Sample, runtime, tables_of};

#[test]
fn any_byte_of_a_table() {
    let sample = Sample::in_tables();
    for table in ["log", "overlays", "user_rooms"] {
        let path = tables_of(sample.dir(), table).swap_remove(0);
        let path = path.strip_prefix(sample.dir()).unwrap();
        // The end is a list of sections whose size the engine does not verify in one
        // byte: it would allocate more memory than there is and abort.
        let end = sample.files[path].len() - 500;
        for at in (0..end).step_by(41) {
            sample.change(|files| files.get_mut(path).unwrap()[at] ^= 1 << (at % 8));
            sample.check_honest();
        }
    }
}

#[test]
fn a_table_that_is_cut_short_or_gone() {
    let sample = Sample::in_tables();
    let path = tables_of(sample.dir(), "log").swap_remove(0);
    let path = path.strip_prefix(sample.dir()).unwrap().to_owned();
    let files = sample.change(|files| files.get_mut(&path).unwrap().truncate(100));
    sample.check_refused(&files);
    let files = sample.change(|files| drop(files.remove(&path)));
    sample.check_refused(&files);
}

#[test]
fn the_engines_own_files() {
    let sample = Sample::in_tables();
    for file in ["engine/version", "engine/keyspaces/3/current"] {
        let files = sample.change(|files| files.get_mut(Path::new(file)).unwrap()[0] ^= 1);
        sample.check_refused(&files);
    }
    let files = sample.change(|files| drop(files.remove(Path::new("engine/version"))));
    sample.check_refused(&files);
    // Taken for a leftover; nothing is lost.
    sample.change(|files| drop(files.remove(Path::new("engine/lock"))));
    sample.check_whole();
}

/// A room is created with its log: without one, it is damaged, not new.
#[test]
fn a_room_without_a_log() {
    let sample = Sample::in_journal();
    {
        let engine = Database::builder(sample.dir().join("engine")).open().unwrap();
        let table = |name| engine.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        // The last commit was a message.
        let last = table("log").get([0]).unwrap().unwrap();
        let next = u64::from_be_bytes(last.as_ref().try_into().unwrap()) + 1;
        let room = table("rooms").get(format!("{}\0", sample.room)).unwrap().unwrap();
        let mut batch = engine.batch();
        batch.insert(&table("rooms"), [0], next.to_be_bytes());
        batch.insert(&table("rooms"), "ghost\0", room);
        batch.commit().unwrap();
    }
    let store: AnyStore = Arc::new(sample.open().unwrap());
    let mut creation = group(&user(1, "alice"), &[]);
    creation.info.id = RoomId::parse("ghost").unwrap();
    let node = Node { store: store.clone(), room: creation.clone().into_room() };
    let (append, _) = node.decide(&[(&user(1, "alice"), send("hello?"))]);
    runtime().block_on(async {
        assert!(matches!(store.room(node.id()).await, Err(StoreError::Damaged(_))));
        assert!(matches!(store.create_room(creation).await, Err(StoreError::Damaged(_))));
        let answer = store.append(node.id(), append).await;
        assert!(matches!(answer, Err(AppendError::Store(StoreError::Damaged(_)))), "{answer:?}");
    });
}
