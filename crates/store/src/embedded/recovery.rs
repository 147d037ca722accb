//! Recovery after a crash: distinguishes a torn write, which was never acknowledged, from damage to acknowledged
//! data.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::journal::{Tail, content_end};
use super::tables::Commits;

/// Records what was acknowledged, in a file next to the engine. Written after each sync and not synced itself: after
/// a power cut it may be outdated, but never ahead.
///
/// For each table the number of its last commit and that number's complement, 8 bytes each, big endian.
pub(super) struct SyncedMark(File);

impl SyncedMark {
    pub(super) const NAME: &'static str = "synced";

    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(Self::NAME);
        Ok(Self(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?))
    }

    /// The mark; 0 if it is missing or torn, which only disables the check.
    pub(super) fn get(&self) -> Commits {
        let mut commits = Commits::default();
        for (number, at) in commits.iter_mut().zip((0..).step_by(16)) {
            let mut bytes = [0; 16];
            if self.0.read_exact_at(&mut bytes, at).is_ok() {
                let both = u128::from_be_bytes(bytes);
                let (read, complement) = ((both >> 64) as u64, both as u64);
                *number = if read == !complement { read } else { 0 };
            }
        }
        commits
    }

    pub(super) fn set(&self, commits: &Commits) -> io::Result<()> {
        let both = commits.map(|number| u128::from(number) << 64 | u128::from(!number));
        let bytes: Vec<u8> = both.iter().flat_map(|both| both.to_be_bytes()).collect();
        self.0.write_all_at(&bytes, 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The truncated end of a journal.
pub(super) struct Cut {
    journal: File,
    tail: Tail,
    /// The removed bytes, without trailing zeros.
    bytes: Vec<u8>,
    length: u64,
}

impl Cut {
    pub(super) fn make(tail: &Tail) -> io::Result<Self> {
        let journal = OpenOptions::new().read(true).write(true).open(&tail.path)?;
        let length = journal.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length - tail.at).map_err(io::Error::other)?];
        journal.read_exact_at(&mut bytes, tail.at)?;
        bytes.truncate(content_end(&bytes).unwrap_or(0));
        journal.set_len(tail.at)?;
        journal.sync_all()?;
        Ok(Self { journal, tail: tail.clone(), bytes, length })
    }

    pub(super) fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Restores it, because it must not be removed.
    pub(super) fn undo(&self) -> io::Result<()> {
        self.journal.set_len(self.length)?;
        self.journal.write_all_at(&self.bytes, self.tail.at)?;
        self.journal.sync_all()
    }
}
