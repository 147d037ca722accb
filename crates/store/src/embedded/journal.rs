//! Reads the engine's journals (fjall 3: `0.jnl`, `1.jnl`, …) without changing them.
//!
//! The engine repairs journals while it replays them: it truncates everything after the first unreadable entry, and
//! cannot know what was acknowledged. They are therefore read here first, and the engine only sees journals that it
//! replays completely.
//!
//! A journal consists of batches, followed by zeros (it is preallocated). Numbers are little endian:
//!
//! | part of a batch | bytes |
//! |---|---|
//! | start | 1, items u32, sequence number of the engine u64 |
//! | each item | 2, kind u8 (0 a value, 1 a removal), compression u8, keyspace u64, key length u16, value length u32, stored length u32, key, value |
//! | end | 3, checksum over the items u64, `FJL` 3 |
//!
//! The checksum is left to the engine, which refuses a batch that does not match.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::keys::COMMIT;

/// The magic number of the engine's files.
pub(super) const MAGIC: [u8; 4] = *b"FJL\x03";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const VALUE: u8 = 0;
const REMOVED: u8 = 1;
const UNCOMPRESSED: u8 = 0;

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Larger numbers only occur through corruption.
const MAX_SEQNO: u64 = 1 << 48; // format

/// The contents of the journals.
#[derive(Debug, Default)]
pub(super) struct Journals {
    /// There is no journal.
    pub(super) is_empty: bool,
    /// Number of the last commit; `None` if there is none, such as after everything was moved to tables.
    pub(super) last_commit: Option<u64>,
    /// Position of the last commit, if it is in the last journal.
    pub(super) last_batch: Option<Tail>,
    /// What follows it in the last journal without being a whole batch.
    pub(super) torn: Option<Tail>,
}

/// The end of a journal from `at` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) path: PathBuf,
    pub(super) at: u64,
}

/// Why the journals cannot be replayed.
#[derive(Debug)]
pub(super) enum ScanError {
    Io(io::Error),
    /// Something other than the end of the last journal is incomplete.
    Damaged(String),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads all journals of the engine in `dir`.
pub(super) fn scan(dir: &Path) -> Result<Journals, ScanError> {
    let mut numbers = journal_numbers(dir)?;
    numbers.sort_unstable();
    if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        return Err(ScanError::Damaged(format!("{}.jnl is missing", gap[0] + 1)));
    }
    let mut found = Journals { is_empty: numbers.is_empty(), ..Journals::default() };
    let mut seqno = None;
    for number in &numbers {
        if found.torn.is_some() {
            // The engine starts a journal once the previous one is synced.
            return Err(ScanError::Damaged(format!("{}.jnl does not end in a whole commit", number - 1)));
        }
        let path = dir.join(format!("{number}.jnl"));
        let mut journal = Journal::open(&path)?;
        found.last_batch = None;
        loop {
            let at = journal.at;
            let tail = Tail { path: path.clone(), at };
            match journal.next()? {
                Some(batch) if batch.follows(found.last_commit, seqno) => {
                    found.last_commit = Some(batch.commit);
                    found.last_batch = Some(tail);
                    seqno = Some(batch.seqno);
                }
                // A torn number is incomplete.
                Some(batch) if found.last_commit.is_some_and(|last| batch.commit > last + 1) => {
                    return Err(ScanError::Damaged(format!(
                        "what comes before commit {} is missing",
                        batch.commit
                    )));
                }
                Some(_) => {
                    found.torn = Some(tail);
                    break;
                }
                None => {
                    journal.at = at;
                    found.torn = journal.content_end()?.map(|_| tail);
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// Numbers of the journals in `dir`, in any order.
fn journal_numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// The end of the last non-zero byte; `None` if there is none.
pub(super) fn content_end(bytes: &[u8]) -> Option<usize> {
    // Usually there is none, which is found at memory speed.
    let blocks = bytes.chunks(ZEROS.len()).enumerate();
    let (number, block) = blocks.rev().find(|(_, block)| *block != &ZEROS[..block.len()])?;
    let last = block.iter().rposition(|byte| *byte != 0)?;
    Some(number * ZEROS.len() + last + 1)
}

/// One group of operations, as the committer wrote it.
struct Batch {
    commit: u64,
    seqno: u64,
}

impl Batch {
    fn follows(&self, commit: Option<u64>, seqno: Option<u64>) -> bool {
        commit.is_none_or(|last| self.commit == last + 1)
            && seqno.is_none_or(|last| self.seqno > last)
            && self.seqno < MAX_SEQNO
    }
}

struct Journal {
    file: BufReader<File>,
    at: u64,
    length: u64,
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file: BufReader::with_capacity(1 << 20, file), at: 0, length })
    }

    /// The next batch; `None` if there is no whole one.
    fn next(&mut self) -> io::Result<Option<Batch>> {
        match self.batch() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            result => result,
        }
    }

    fn batch(&mut self) -> io::Result<Option<Batch>> {
        if self.number::<1>()? != u64::from(START) {
            return Ok(None);
        }
        let items = self.number::<4>()?;
        let seqno = self.number::<8>()?;
        let mut commit = None;
        for _ in 0..items {
            match self.item()? {
                Item::None => return Ok(None),
                // One for each table that it writes to.
                Item::Commit(number) => commit = Some(number),
                Item::Other => {}
            }
        }
        if self.number::<1>()? != u64::from(END) {
            return Ok(None);
        }
        self.skip(8)?;
        let whole = self.bytes()? == MAGIC;
        Ok(commit.filter(|_| whole).map(|commit| Batch { commit, seqno }))
    }

    fn item(&mut self) -> io::Result<Item> {
        let [tag, kind, compression] = self.bytes()?;
        let _keyspace = self.number::<8>()?;
        let key_length = self.number::<2>()?;
        let length = self.number::<4>()?;
        let stored = self.number::<4>()?;
        let is_kind = kind == VALUE || (kind == REMOVED && length == 0);
        if (tag, compression) != (ITEM, UNCOMPRESSED) || !is_kind || length != stored {
            return Ok(Item::None);
        }
        if key_length == COMMIT.len() as u64 && length == 8 {
            // No other key is this short.
            let key: [u8; COMMIT.len()] = self.bytes()?;
            let number = u64::from_be_bytes(self.bytes()?);
            return Ok(if key == COMMIT { Item::Commit(number) } else { Item::None });
        }
        self.skip(key_length + length)?;
        Ok(Item::Other)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> io::Result<u64> {
        let mut number = [0; 8];
        number[..N].copy_from_slice(&self.bytes::<N>()?);
        Ok(u64::from_le_bytes(number))
    }

    /// Never past the end: an invalid length must not look like content.
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if self.length - self.at < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.seek_relative(count as i64)?;
        self.at += count;
        Ok(())
    }

    /// The end of the last non-zero byte from here on; `None` if there is none.
    fn content_end(&mut self) -> io::Result<Option<u64>> {
        let mut at = self.at;
        let mut end = None;
        let mut buffer = vec![0; ZEROS.len()];
        self.file.seek(io::SeekFrom::Start(at))?;
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                return Ok(end);
            }
            end = content_end(&buffer[..read]).map(|within| at + within as u64).or(end);
            at += read as u64;
        }
    }
}

enum Item {
    /// Not one of our items.
    None,
    /// The number of the commit.
    Commit(u64),
    Other,
}
