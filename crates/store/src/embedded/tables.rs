use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fjall::compaction::Fifo;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Snapshot};
use tokio::sync::watch;

use super::keys;
use super::limits::{ENGINE_WORKERS, MAX_JOURNAL_BYTES};
use super::options::Options;
use crate::StoreError;

/// One of the tables; see [`super::keys`] for their contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Users,
    Rooms,
    Log,
    Overlays,
    Members,
    UserRooms,
    Consumers,
}

const ALL: [(Table, &str); 7] = [
    (Table::Users, "users"),
    (Table::Rooms, "rooms"),
    (Table::Log, "log"),
    (Table::Overlays, "overlays"),
    (Table::Members, "members"),
    (Table::UserRooms, "user_rooms"),
    (Table::Consumers, "consumers"),
];

/// The change feed, which is not one of the tables: it does not store the number of its last commit, since each
/// commit has a record under its number, and all records may be trimmed.
const FEED: &str = "feed";

/// The number of the last commit that wrote to it, for each table.
///
/// Tables are flushed to disk independently; what one of them lacks shows only in its own number.
pub(super) type Commits = [u64; ALL.len()];

/// The last of all commits.
pub(super) fn last(commits: &Commits) -> u64 {
    commits.iter().copied().max().unwrap_or(0)
}

/// The state of the store after a commit.
pub(super) struct Visible {
    pub(super) snapshot: Snapshot,
    /// The number of that commit.
    pub(super) commit: u64,
}

/// The engine, and the state visible to readers.
pub(super) struct Tables {
    visible: ArcSwap<Visible>,
    /// The last commit visible to readers.
    published: watch::Sender<u64>,
    keyspaces: [Keyspace; ALL.len()],
    feed: Keyspace,
    pub(super) db: Database,
    /// Released last: until then the engine may still write.
    _lock: File,
}

impl Tables {
    pub(super) fn open(path: &Path, options: &Options, lock: &File) -> fjall::Result<Self> {
        let db = Database::builder(path)
            .worker_threads(ENGINE_WORKERS)
            .max_journaling_size(MAX_JOURNAL_BYTES)
            .max_cached_files(Some(options.open_files))
            .cache_size(options.cache_bytes)
            .open()?;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer_bytes);
        let mut keyspaces = Vec::with_capacity(ALL.len());
        for (_, name) in ALL {
            keyspaces.push(db.keyspace(name, create)?);
        }
        // Whole files of it are dropped, oldest first. This requires ascending keys.
        let trim = Fifo::new(options.feed_bytes, Some(options.feed_age.as_secs()));
        let feed = db.keyspace(FEED, || create().compaction_strategy(Arc::new(trim)))?;
        let keyspaces = keyspaces.try_into().unwrap_or_else(|_| unreachable!("one for each table"));
        let visible = ArcSwap::from_pointee(Visible { snapshot: db.snapshot(), commit: 0 });
        let tables =
            Self { visible, published: watch::Sender::new(0), keyspaces, feed, db, _lock: lock.try_clone()? };
        tables.publish(last(&tables.commits()?));
        Ok(tables)
    }

    pub(super) fn keyspace(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize]
    }

    pub(super) fn feed(&self) -> &Keyspace {
        &self.feed
    }

    /// The last commit in each table.
    pub(super) fn commits(&self) -> fjall::Result<Commits> {
        let mut commits = Commits::default();
        for (table, _) in ALL {
            if let Some(number) = self.keyspace(table).get(keys::COMMIT)? {
                commits[table as usize] =
                    number.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
            }
        }
        Ok(commits)
    }

    /// Makes everything written until now visible to readers, up to `commit`.
    ///
    /// Only called between commits. The engine's own visible state advances whenever it writes a table, even during a
    /// commit, and would show that commit partially.
    pub(super) fn publish(&self, commit: u64) {
        self.visible.store(Arc::new(Visible { snapshot: self.db.snapshot(), commit }));
        self.published.send_replace(commit);
    }

    /// The last commit visible to readers, with notifications of changes.
    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// The state after the last published commit.
    pub(super) fn visible(&self) -> Arc<Visible> {
        self.visible.load_full()
    }
}

/// Converts the engine's error for unreadable data.
pub(super) fn damaged(error: fjall::Error) -> StoreError {
    StoreError::Damaged(error.to_string())
}
