//! The embedded engine: the tables as keyspaces of one LSM store, one committer that batches
//! pending operations and syncs once, and readers that see only synced commits.

mod append;
mod committer;
mod consumers;
mod directory;
mod fault;
mod feed;
#[cfg(test)]
mod golden;
mod identity;
mod invitation_rows;
mod invitations;
mod journal;
mod keys;
#[cfg(test)]
mod later;
mod limits;
mod listed;
mod listed_rows;
mod members;
mod open;
mod opened;
mod options;
mod recovery;
mod reports;
mod revocation_file;
mod revocations;
mod room_ids;
mod tables;
mod transaction;
mod users;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use parlance_core::{Append, Chunk, Creation, Entry, Event, Overlay, RoomId, SeqRange};
use tokio::sync::Semaphore;

use self::committer::Committer;
pub use self::fault::OpenError;
pub use self::options::{Durability, Options};
use self::tables::{Table, Tables};
use self::view::View;
use crate::identity::Identity;
use crate::record::decode_chunk;
use crate::{AppendError, Created, LogStore, RoomIds, Store, StoreError, StoredRoom};
use limits::READERS;

/// A store on this machine: the tables as keyspaces of one LSM store, one committer that
/// batches pending operations and syncs once, and readers that see only synced commits.
pub struct Embedded {
    tables: Arc<Tables>,
    committer: Committer,
    readers: Arc<Semaphore>,
    dir: PathBuf,
    /// Serialises access to the file of revocations.
    revoking: tokio::sync::Mutex<revocation_file::Known>,
    identity: Identity,
    room_ids: RoomIds,
}

impl Embedded {
    /// Opens the store in `dir`, or creates it.
    ///
    /// Blocks while the journal is replayed.
    ///
    /// # Errors
    /// See [`OpenError`]; for example, acknowledged data is damaged.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = open::open(dir, &options)?;
        let (tables, identity) = (opened.tables.clone(), opened.identity.clone());
        let room_ids = opened.room_ids.clone();
        let committer = Committer::start(opened, options.durability);
        Ok(Self {
            tables,
            committer,
            readers: Arc::new(Semaphore::new(READERS)),
            dir: dir.to_owned(),
            revoking: tokio::sync::Mutex::default(),
            identity,
            room_ids,
        })
    }

    /// Makes clients start over, as after a restore that the store cannot detect itself (of a
    /// whole volume, for example): sets a new identity, and a higher epoch for all rooms,
    /// which it returns. Both take effect at the next open.
    ///
    /// # Errors
    /// If the data directory cannot be written.
    pub fn restored(&self) -> io::Result<u64> {
        Ok(identity::renew(&self.dir, &self.identity)?.epoch)
    }

    /// Whether the store was restored from a backup, or copied.
    pub fn is_restored(&self) -> bool {
        self.identity.is_restored()
    }

    /// Stops the committer once everything accepted is durable. Later writes fail. The
    /// directory is unlocked once the store is dropped, too.
    pub async fn close(&self) {
        self.committer.close().await;
    }

    /// Runs `read` on a snapshot of the store, off the async threads.
    async fn view<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = |_| StoreError::Failed("the store is closed".into());
        let permit = self.readers.clone().acquire_owned().await.map_err(closed)?;
        let tables = self.tables.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&View::new(tables))
        });
        task.await.unwrap_or_else(|error| match error.is_panic() {
            // The engine panics on some kinds of damage.
            true => Err(StoreError::Damaged(error.to_string())),
            false => Err(StoreError::Failed(error.to_string())),
        })
    }

    /// Runs `read` for each of `rooms`, on one snapshot as long as all of them can be read.
    async fn view_each<T: Send + 'static>(
        &self,
        rooms: &[RoomId],
        read: impl Fn(&View, &RoomId) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Vec<Result<T, StoreError>> {
        if rooms.is_empty() {
            return Vec::new();
        }
        let (ids, each) = (rooms.to_vec(), read.clone());
        let all = self.view(move |view| Ok(ids.iter().map(|room| each(view, room)).collect::<Vec<_>>()));
        match all.await {
            Ok(all) => all,
            // The engine panicked: it will again on what is damaged, and only there.
            Err(StoreError::Damaged(_)) => {
                let each = rooms.iter().map(|room| {
                    let (room, read) = (room.clone(), read.clone());
                    self.view(move |view| read(view, &room))
                });
                join_all(each).await
            }
            Err(error) => rooms.iter().map(|_| Err(error.clone())).collect(),
        }
    }
}

#[async_trait]
impl LogStore for Embedded {
    async fn create_room(&self, mut creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        let epoch = self.identity.epoch;
        creation.info.epoch = creation.info.epoch.max(epoch);
        let created = self.committer.commit(|txn| append::create(txn, creation)).await??;
        Ok(created.map(|room| Identity::raise(epoch, room)))
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        let room = room.clone();
        self.committer.commit(move |txn| append::append(txn, &room, append)).await?
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        let room = room.clone();
        let stored = self.view(move |view| view.room(&room)).await?;
        Ok(stored.map(|stored| Identity::raise(self.identity.epoch, stored)))
    }

    async fn rooms(&self, rooms: &[RoomId]) -> Vec<Result<Option<StoredRoom>, StoreError>> {
        let stored = self.view_each(rooms, View::room).await;
        let raised =
            |stored: Option<StoredRoom>| stored.map(|room| Identity::raise(self.identity.epoch, room));
        stored.into_iter().map(|stored| stored.map(raised)).collect()
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        let room = room.clone();
        self.view(move |view| {
            let bytes = view.get(Table::Log, &keys::chunk(&room, first_seq))?;
            bytes.map(|bytes| decode_chunk(&room, first_seq, &bytes)).transpose()
        })
        .await
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        let room = room.clone();
        self.view(move |view| {
            let mut events = 0;
            let mut chunks = Vec::new();
            for chunk in view.chunks(&room, head.saturating_add(1), u64::MAX)? {
                if events >= limit {
                    break;
                }
                let chunk = chunk?;
                events += chunk.events().len();
                chunks.push(chunk);
            }
            Ok(chunks)
        })
        .await
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let room = room.clone();
        self.view(move |view| {
            let mut chunks: Vec<Chunk> = Vec::new();
            let mut count = 0;
            for chunk in view.chunks(&room, 1, seq.saturating_sub(1))?.rev() {
                if count >= limit {
                    break;
                }
                let chunk = chunk?;
                count += chunk.events().len();
                chunks.push(chunk);
            }
            let events = chunks.into_iter().rev().flat_map(Chunk::into_events);
            Ok(events.filter(|event| event.seq < seq).collect())
        })
        .await
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read_within(room, range, limit, latest, usize::MAX).await
    }

    async fn read_within(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let room = room.clone();
        self.view(move |view| view.read(&room, range, limit, latest, bytes)).await
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        let room = room.clone();
        self.view(move |view| view.overlay(&room, seq)).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        let room = room.clone();
        self.view(move |view| view.count_deleted(&room, range)).await
    }
}

#[async_trait]
impl Store for Embedded {
    async fn identity(&self) -> Result<String, StoreError> {
        Ok(self.identity.id.clone())
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        Ok(self.room_ids.clone())
    }

    async fn failed(&self) -> String {
        self.committer.failed().await
    }
}
