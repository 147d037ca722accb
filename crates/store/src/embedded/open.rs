use std::fs::{File, OpenOptions, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fjall::PersistMode;

use super::directory;
use super::fault::{Fault, OpenError};
use super::identity;
use super::journal::{self, Journals};
use super::opened::Opened;
use super::options::Options;
use super::recovery::{Cut, SyncedMark};
use super::room_ids;
use super::tables::{self, Commits, Tables};

pub(super) fn open(dir: &Path, options: &Options) -> Result<Opened, OpenError> {
    let fault = |fault| match fault {
        Fault::Locked => OpenError::Locked(dir.to_owned()),
        Fault::Format(found) => OpenError::Format { found },
        Fault::Damaged(what) => OpenError::Damaged { dir: dir.to_owned(), what },
        Fault::Io(source) => OpenError::Io { dir: dir.to_owned(), source },
    };
    open_dir(dir, options).map_err(fault)
}

fn open_dir(dir: &Path, options: &Options) -> Result<Opened, Fault> {
    directory::create_durably(dir)?;
    let lock = File::create(dir.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Fault::Locked),
        Err(TryLockError::Error(error)) => return Err(Fault::Io(error)),
    }
    let engine = dir.join("engine");
    directory::check_format(dir, engine.exists())?;
    let synced = SyncedMark::open(dir)?;
    let acknowledged = synced.get();
    let journals = journal::scan(&engine)?;
    if let Some(last) = journals.last_commit.filter(|last| *last < tables::last(&acknowledged)) {
        return Err(lost(tables::last(&acknowledged), last));
    }
    if directory::is_created(&engine)? {
        if journals.is_empty {
            return Err(Fault::Damaged("the engine has no journal".into()));
        }
        // An empty file that may have been removed as a leftover; the engine requires it.
        OpenOptions::new().append(true).create(true).open(engine.join("lock"))?;
    } else {
        if tables::last(&acknowledged) > 0 || journals.last_commit.is_some() {
            return Err(Fault::Damaged("the engine's version file is missing or another".into()));
        }
        directory::remove_unfinished(&engine)?;
    }
    let (tables, commits) = replay(&journals, &acknowledged, || Tables::open(&engine, options, &lock))?;

    // Data read from now on may only have been in the page cache of a killed process.
    tables.db.persist(PersistMode::SyncAll)?;
    for dir in [&engine.join("keyspaces"), &engine, dir] {
        directory::sync(dir)?;
    }
    synced.set(&commits)?;
    synced.sync()?;
    // Written after the identity, so a store that has this file has had an identity.
    let had_identity = room_ids::is_there(dir)?;
    let identity = identity::settle(dir, had_identity)?;
    let room_ids = room_ids::settle(dir, tables::last(&commits) > 0)?;
    Ok(Opened { tables: Arc::new(tables), commits, synced, identity, room_ids })
}

/// Opens the engine on the contents of its journals, without a torn end.
fn replay(
    journals: &Journals,
    acknowledged: &Commits,
    open: impl Fn() -> fjall::Result<Tables>,
) -> Result<(Tables, Commits), Fault> {
    // The engine panics on some kinds of damage.
    let open = || catch_unwind(AssertUnwindSafe(&open)).unwrap_or(Err(fjall::Error::Unrecoverable));
    let mut cut = journals.torn.as_ref().map(Cut::make).transpose()?;
    let mut expected = journals.last_commit;
    let mut result = open();
    if let (Err(fjall::Error::JournalRecovery(_)), None, Some(last)) = (&result, &cut, &journals.last_batch) {
        // A checksum of the last commit, if that is torn: some of its pages reached the device and others did not.
        expected = expected.map(|commit| commit - 1);
        if expected.is_some_and(|expected| expected >= tables::last(acknowledged)) {
            cut = Some(Cut::make(last)?);
            result = open();
        }
    }
    let replayed = result.map_err(Fault::from).and_then(|tables| {
        let commits = tables.commits()?;
        let lacks = acknowledged.iter().zip(&commits).find(|(acknowledged, there)| acknowledged > there);
        match (lacks, expected, tables::last(&commits)) {
            (Some((acknowledged, there)), ..) => Err(lost(*acknowledged, *there)),
            (None, Some(expected), last) if expected != last => Err(lost(expected, last)),
            _ => Ok((tables, commits)),
        }
    });
    match (&replayed, cut) {
        (Ok(_), Some(cut)) => {
            tracing::warn!(bytes = cut.byte_count(), "truncated a torn write that was never acknowledged");
        }
        (Err(_), Some(cut)) => cut.undo()?,
        (_, None) => {}
    }
    replayed
}

fn lost(acknowledged: u64, there: u64) -> Fault {
    Fault::Damaged(format!("commit {acknowledged} was acknowledged, what is there ends at {there}"))
}
