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

/// One of the tables; see [`super::keys`] for what is in them.
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

/// The change feed, which is none of the tables: it holds no number of its last commit, since each
/// commit has a record there under its number, and what is trimmed may be all of it.
const FEED: &str = "feed";

/// The number of the last commit that wrote to it, for each table.
///
/// Tables reach the disk each at its own time; what one of them lacks shows in its own
/// number only.
pub(super) type Commits = [u64; ALL.len()];

/// The last commit of all.
pub(super) fn last(commits: &Commits) -> u64 {
    commits.iter().copied().max().unwrap_or(0)
}

/// The store after a commit.
pub(super) struct Visible {
    pub(super) snapshot: Snapshot,
    /// The number of that commit.
    pub(super) commit: u64,
}

/// The engine, and what readers may see of it.
pub(super) struct Tables {
    visible: ArcSwap<Visible>,
    /// The last commit that readers see.
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
        // Whole files of it are dropped, the oldest first. That needs keys that only rise.
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

    /// What each table holds.
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

    /// Lets readers see what is written now, up to `commit`.
    ///
    /// Called between commits only. The engine's own idea of what is visible moves
    /// whenever it writes a table, also while a commit is under way, and would show
    /// that commit half applied.
    pub(super) fn publish(&self, commit: u64) {
        self.visible.store(Arc::new(Visible { snapshot: self.db.snapshot(), commit }));
        self.published.send_replace(commit);
    }

    /// The last commit that readers see, as it changes.
    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// The store after the last commit that was published.
    pub(super) fn visible(&self) -> Arc<Visible> {
        self.visible.load_full()
    }
}

/// What the engine says of data that it cannot read.
pub(super) fn damaged(error: fjall::Error) -> StoreError {
    StoreError::Damaged(error.to_string())
}
