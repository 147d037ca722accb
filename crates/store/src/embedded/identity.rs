//! The file `identity` of the data directory.
//!
//! It contains the store's id and epoch, and its own inode and birth time. A copy of the file has different ones,
//! which reveals a directory that was copied or restored from a backup. The file is rewritten at each open: a backup
//! copied over it, with the same inode, does not match either.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::directory;
use crate::StoreError;
use crate::identity::Identity;

const NAME: &str = "identity";

/// The identity of the store in `dir`, which is renewed if the directory was copied, or the file was left out of the
/// copy: `had_one` says whether the store has had an identity. A store from before identities existed gets one.
pub(super) fn settle(dir: &Path, had_one: bool) -> io::Result<Identity> {
    let path = dir.join(NAME);
    let identity = match fs::read_to_string(&path) {
        Ok(content) => match parse(&content) {
            Some((identity, mark)) if mark == mark_of(&fs::metadata(&path)?) => Ok(identity),
            found => {
                let identity = Identity::after_restore(found.map_or(0, |(identity, _)| identity.epoch));
                if let Ok(identity) = &identity {
                    tracing::warn!(
                        epoch = identity.epoch,
                        "the data directory was copied or restored: clients start over"
                    );
                }
                identity
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound && !had_one => Identity::new(),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            tracing::warn!("the file {NAME} is missing or damaged, taking the data directory for a copy");
            Identity::after_restore(0)
        }
        Err(error) => return Err(error),
    };
    let identity = identity.map_err(other)?;
    write(dir, &identity)?;
    Ok(identity)
}

/// Gives the store in `dir`, whose identity is `before`, a new id and a higher epoch.
pub(super) fn renew(dir: &Path, before: &Identity) -> io::Result<Identity> {
    let identity = Identity::after_restore(before.epoch).map_err(other)?;
    write(dir, &identity)?;
    Ok(identity)
}

fn write(dir: &Path, identity: &Identity) -> io::Result<()> {
    directory::replace(dir, NAME, |file| {
        let mark = mark_of(&file.metadata()?);
        writeln!(file, "{} {} {mark}", identity.id, identity.epoch)
    })
}

fn parse(content: &str) -> Option<(Identity, String)> {
    let mut words = content.strip_suffix('\n')?.splitn(3, ' ');
    let id = words.next().filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let identity = Identity { id: id.to_owned(), epoch: words.next()?.parse().ok()? };
    Some((identity, words.next()?.to_owned()))
}

/// What a copy of the file does not share: inode and birth time, if the file system has them.
fn mark_of(file: &Metadata) -> String {
    let born = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    format!("{}:{}", inode(file), born.map_or(0, |born| born.as_nanos()))
}

#[cfg(unix)]
fn inode(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn other(error: StoreError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_identity_until_it_is_copied() {
        let (dir, backup) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let path = |dir: &tempfile::TempDir| dir.path().join(NAME);
        let first = settle(dir.path(), false).unwrap();
        assert_eq!(settle(dir.path(), true).unwrap(), first);
        fs::copy(path(&dir), path(&backup)).unwrap();
        assert_eq!(settle(dir.path(), true).unwrap(), first);

        // Copied to another place.
        let copy = settle(backup.path(), true).unwrap();
        assert!(copy.id != first.id && copy.epoch > first.epoch, "{copy:?}");
        assert_eq!(settle(backup.path(), true).unwrap(), copy);

        // Copied back into the same file, whose inode is kept.
        let content = fs::read(path(&dir)).unwrap();
        assert_eq!(settle(dir.path(), true).unwrap(), first);
        fs::write(path(&dir), content).unwrap();
        let back = settle(dir.path(), true).unwrap();
        assert!(back.id != first.id && back.epoch > first.epoch, "{back:?}");
    }

    #[test]
    fn a_copy_without_the_identity_is_another_store() {
        let dir = tempfile::TempDir::new().unwrap();
        let first = settle(dir.path(), false).unwrap();
        fs::remove_file(dir.path().join(NAME)).unwrap();
        let copy = settle(dir.path(), true).unwrap();
        assert!(copy.id != first.id && copy.epoch > first.epoch, "{copy:?}");
    }

    #[test]
    fn an_unreadable_identity_is_replaced_by_one_of_a_higher_epoch() {
        let dir = tempfile::TempDir::new().unwrap();
        let first = settle(dir.path(), false).unwrap();
        for damaged in ["", "\n", "0123 1 2:3\n", "\u{0}\u{0}"] {
            fs::write(dir.path().join(NAME), damaged).unwrap();
            let replaced = settle(dir.path(), true).unwrap();
            assert!(replaced.id != first.id && replaced.epoch > first.epoch, "{replaced:?}");
        }
    }

    #[test]
    fn renewing_raises_the_epoch() {
        let dir = tempfile::TempDir::new().unwrap();
        let first = settle(dir.path(), false).unwrap();
        let renewed = renew(dir.path(), &first).unwrap();
        assert!(renewed.id != first.id && renewed.epoch > first.epoch, "{renewed:?}");
        assert_eq!(settle(dir.path(), true).unwrap(), renewed);
    }
}
