use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parlance_client_core::{StoreChange, StoredCommand};
use prost::Message as _;

use super::CommandStore;

/// The start of a file, with the version of its format.
const HEADER: &[u8; 16] = b"parlance queue 1";

/// Bytes before a batch: its length and its checksum.
const PREFIX: usize = 8;

/// A file is rewritten when it has more bytes than this, and four times the size of its contents.
const COMPACT_BYTES: u64 = 64 * 1024;

/// Stores commands in a file: consecutive batches of changes, each with its checksum. A batch cut off by a crash is ignored;
/// damage anywhere else is an error, and leaves the file unchanged. One process uses the file at a time.
#[derive(Debug, Clone)]
pub struct FileCommandStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    journal: Mutex<Option<Journal>>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    /// Where the next batch starts.
    end: u64,
    records: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    changes: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    id: String,
    /// Absent if it is deleted.
    #[prost(bytes = "vec", optional, tag = "2")]
    record: Option<Vec<u8>>,
}

impl FileCommandStore {
    /// Stores commands in the file at `path`, which is created when a session starts. Its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Shared { path: path.into(), journal: Mutex::new(None) }))
    }
}

#[async_trait]
impl CommandStore for FileCommandStore {
    async fn load(&self) -> Result<Vec<StoredCommand>, String> {
        self.run(|shared, journal| {
            let journal = match journal {
                Some(journal) => journal,
                None => journal.insert(Journal::open(&shared.path)?),
            };
            let records = journal.records.iter();
            Ok(records.map(|(id, record)| StoredCommand { id: id.clone(), record: record.clone() }).collect())
        })
        .await
    }

    async fn write(&self, changes: Vec<StoreChange>) -> Result<(), String> {
        self.run(|shared, journal| {
            let mut open = match journal.take() {
                Some(open) => open,
                None => Journal::open(&shared.path)?,
            };
            // After an error it is read again, since its contents are unknown then.
            open.append(changes)?;
            if open.end > COMPACT_BYTES.max(4 * open.kept_bytes()) {
                open = open.compacted(&shared.path)?;
            }
            *journal = Some(open);
            Ok(())
        })
        .await
    }
}

impl FileCommandStore {
    /// Runs on a thread that may block on the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &mut Option<Journal>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let mut journal = shared.journal.lock().unwrap_or_else(PoisonError::into_inner);
            work(&shared, &mut journal).map_err(|error| format!("{}: {error}", shared.path.display()))
        });
        done.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|_| io::Error::other("another process has the file"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut journal = Self { file, end: HEADER.len() as u64, records: BTreeMap::new() };
        if bytes.len() < HEADER.len() && HEADER.starts_with(&bytes) {
            // New, or cut off during its creation.
            journal.file.set_len(0)?;
            journal.file.rewind()?;
            journal.file.write_all(HEADER)?;
            journal.file.sync_all()?;
            sync_folder(path)?;
            return Ok(journal);
        }
        let Some(mut rest) = bytes.strip_prefix(HEADER.as_slice()) else {
            return Err(invalid("is no queue of this version"));
        };
        while !rest.is_empty() {
            let Some((batch, left)) = next_batch(rest)? else { break };
            journal.end += (rest.len() - left.len()) as u64;
            journal.apply(batch);
            rest = left;
        }
        journal.file.set_len(journal.end)?;
        Ok(journal)
    }

    fn append(&mut self, changes: Vec<StoreChange>) -> io::Result<()> {
        let changes = changes.into_iter().map(|StoreChange { id, record }| Entry { id, record });
        let batch = Batch { changes: changes.collect() };
        let bytes = framed(&batch)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.end += bytes.len() as u64;
        self.apply(batch);
        Ok(())
    }

    fn apply(&mut self, batch: Batch) {
        for Entry { id, record } in batch.changes {
            match record {
                Some(record) => self.records.insert(id, record),
                None => self.records.remove(&id),
            };
        }
    }

    fn kept_bytes(&self) -> u64 {
        self.records.iter().map(|(id, record)| (id.len() + record.len()) as u64).sum()
    }

    /// Rewrites it to a new file without deleted commands.
    fn compacted(self, path: &Path) -> io::Result<Self> {
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&beside)?;
        file.try_lock().map_err(|_| io::Error::other("another process has the file"))?;
        let changes = self.records.iter();
        let changes = changes.map(|(id, record)| Entry { id: id.clone(), record: Some(record.clone()) });
        let batch = framed(&Batch { changes: changes.collect() })?;
        file.write_all(HEADER)?;
        file.write_all(&batch)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path)?;
        Ok(Self { file, end: (HEADER.len() + batch.len()) as u64, records: self.records })
    }
}

fn framed(batch: &Batch) -> io::Result<Vec<u8>> {
    let payload = batch.encode_to_vec();
    let length = u32::try_from(payload.len()).map_err(|_| invalid("a batch is too large"))?;
    let mut bytes = Vec::with_capacity(PREFIX + payload.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc32fast::hash(&payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// The first batch of `bytes` and the rest; `None` if a crash has cut it off.
fn next_batch(bytes: &[u8]) -> io::Result<Option<(Batch, &[u8])>> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let Some((checksum, rest)) = rest.split_first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((payload, left)) = rest.split_at_checked(length) else { return Ok(None) };
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        // The last one may have been written in part, in any order.
        return if left.is_empty() { Ok(None) } else { Err(invalid("is damaged")) };
    }
    let batch = Batch::decode(payload).map_err(|error| invalid(&error.to_string()))?;
    Ok(Some((batch, left)))
}

/// Makes a new name in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: &str, record: &[u8]) -> StoreChange {
        StoreChange { id: id.to_owned(), record: Some(record.to_vec()) }
    }

    fn delete(id: &str) -> StoreChange {
        StoreChange { id: id.to_owned(), record: None }
    }

    async fn ids(path: &Path) -> Result<Vec<String>, String> {
        let stored = FileCommandStore::new(path).load().await?;
        Ok(stored.into_iter().map(|stored| stored.id).collect())
    }

    #[tokio::test]
    async fn writes_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let store = FileCommandStore::new(&path);
        assert_eq!(store.load().await, Ok(Vec::new()));
        store.write(vec![put("a", b"1"), put("b", b"2")]).await.unwrap();
        store.write(vec![delete("a"), put("b", b"3")]).await.unwrap();
        assert!(ids(&path).await.unwrap_err().contains("another process"));
        drop(store);
        let stored = FileCommandStore::new(&path).load().await.unwrap();
        assert_eq!(stored, [StoredCommand { id: "b".to_owned(), record: b"3".to_vec() }]);
    }

    #[tokio::test]
    async fn a_batch_that_was_cut_off_is_not_there_and_the_next_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let store = FileCommandStore::new(&path);
        store.write(vec![put("a", b"1")]).await.unwrap();
        let whole = fs::metadata(&path).unwrap().len();
        store.write(vec![put("b", b"2"), put("c", b"3")]).await.unwrap();
        drop(store);
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let left: &[&str] = if cut as u64 >= whole { &["a"] } else { &[] };
            assert_eq!(ids(&path).await.unwrap(), left, "cut at {cut}");
            FileCommandStore::new(&path).write(vec![put("d", b"4")]).await.unwrap();
            assert_eq!(ids(&path).await.unwrap(), [left, &["d"]].concat(), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn damaged_entries_and_those_of_another_version_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let store = FileCommandStore::new(&path);
        store.write(vec![put("a", b"1")]).await.unwrap();
        store.write(vec![put("b", b"2")]).await.unwrap();
        drop(store);
        let good = fs::read(&path).unwrap();
        for place in [0, HEADER.len() - 1, HEADER.len() + PREFIX] {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(ids(&path).await.is_err());
            assert!(FileCommandStore::new(&path).write(vec![put("c", b"3")]).await.is_err());
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_what_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue");
        let store = FileCommandStore::new(&path);
        store.write(vec![put("kept", b"1")]).await.unwrap();
        for _ in 0..40 {
            store.write(vec![put("gone", &[7; 10_000])]).await.unwrap();
            store.write(vec![delete("gone")]).await.unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= COMPACT_BYTES + 10_100);
        drop(store);
        assert_eq!(ids(&path).await.unwrap(), ["kept"]);
    }
}
