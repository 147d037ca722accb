//! The data directory: its contents, and its durability.
//!
//! | file | what it is |
//! |---|---|
//! | lock | locked while the store is open |
//! | format | version of the layout, as text |
//! | synced | what was acknowledged: [`super::recovery::SyncedMark`] |
//! | identity | what tells the store from its copies: [`super::identity`] |
//! | room-ids | the key from which ids of rooms are made: [`super::room_ids`] |
//! | token-lives | for how long tokens were accepted: [`crate::token_lives`] |
//! | engine/ | the engine's own |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::fault::Fault;
use super::journal;
use super::keys::FORMAT;

/// Checks the format, or writes it for a store about to be created.
pub(super) fn check_format(dir: &Path, engine_exists: bool) -> Result<(), Fault> {
    let path = dir.join("format");
    let found = match fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !engine_exists => {
            return Ok(replace(dir, "format", |file| writeln!(file, "{FORMAT}"))?);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::Damaged("the file format is missing".into()));
        }
        Err(error) => return Err(Fault::Io(error)),
    };
    match found.trim().parse() {
        Ok(FORMAT) => Ok(()),
        Ok(found) => Err(Fault::Format(found)),
        Err(_) => Err(Fault::Damaged("the file format holds no number".into())),
    }
}

/// Whether the engine was created completely: its version file is written last. A partially written one does not
/// count.
pub(super) fn is_created(engine: &Path) -> io::Result<bool> {
    match fs::read(engine.join("version")) {
        Ok(version) => Ok(version == journal::MAGIC),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes an engine whose creation was interrupted, and which would not open.
pub(super) fn remove_unfinished(engine: &Path) -> Result<(), Fault> {
    let keyspaces = engine.join("keyspaces");
    if keyspaces.exists() && fs::read_dir(&keyspaces)?.next().is_some() {
        return Err(Fault::Damaged("the engine's version file is missing or another".into()));
    }
    if engine.exists() {
        fs::remove_dir_all(engine)?;
    }
    Ok(())
}

/// Creates `dir` durably.
pub(super) fn create_durably(dir: &Path) -> io::Result<()> {
    let dir = std::path::absolute(dir)?;
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(&dir)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync)
}

/// Replaces the file `name` of `dir`: a crash leaves the old or the new one.
pub(super) fn replace(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    sync(dir)
}

pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
