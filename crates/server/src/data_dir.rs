//! Inspects a data directory before a store is opened in it: an empty one may be a misspelt path or an unmounted
//! volume.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, bail};

use crate::limits::NAMED_FILES;

/// Location of the store in the data directory.
pub(crate) const STORE: &str = "store";
/// The contents of a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A store.
    Store,
    /// Nothing, or it does not exist.
    Nothing,
    /// A server's other files, but no store.
    StoreMissing,
    /// Other files, and no store; some of their names.
    Foreign(Vec<String>),
}

/// Inspects a data directory.
///
/// # Errors
/// It is unreadable, or obviously not meant.
pub(crate) fn inspect(dir: &Path) -> anyhow::Result<Found> {
    let names = match names(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error).with_context(|| format!("the data directory {}", dir.display())),
    };
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("engine") && has("format") {
        bail!(
            "{} is the store inside of a data directory: give the directory above it as --data-dir",
            dir.display()
        );
    }
    if dir.join(STORE).join("format").exists() {
        return Ok(Found::Store);
    }
    let is_own = |name: &String| name == STORE || name.starts_with("local.key");
    if names.iter().any(is_own) {
        return Ok(Found::StoreMissing);
    }
    // File systems have the first one at their root.
    let foreign = names.into_iter().filter(|name| name != "lost+found" && !name.starts_with('.'));
    let mut foreign: Vec<_> = foreign.collect();
    foreign.sort_unstable();
    foreign.truncate(NAMED_FILES);
    Ok(if foreign.is_empty() { Found::Nothing } else { Found::Foreign(foreign) })
}

/// Inspects the data directory of a starting node, and reports if a new store is created.
///
/// # Errors
/// As [`inspect`].
pub(crate) fn report(dir: &Path) -> anyhow::Result<()> {
    let found = inspect(dir)?;
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let dir = dir.display();
    match found {
        Found::Store => {}
        Found::Nothing => tracing::info!(%dir, "the data directory is empty, creating a new store"),
        Found::StoreMissing => tracing::warn!(
            %dir,
            "a server has used this data directory and its store is missing, creating a new one; if a volume is \
             not mounted, stop this server"
        ),
        Found::Foreign(files) => tracing::warn!(
            %dir,
            ?files,
            "the data directory holds other files and no store, creating a new one beside them"
        ),
    }
    Ok(())
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_distinguished() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path();
        let found = |path: &Path| inspect(path).unwrap();
        assert_eq!(found(&path.join("missing")), Found::Nothing);
        fs::create_dir(path.join("lost+found")).unwrap();
        fs::write(path.join(".keep"), "").unwrap();
        assert_eq!(found(path), Found::Nothing);
        fs::write(path.join("notes.txt"), "").unwrap();
        assert_eq!(found(path), Found::Foreign(vec!["notes.txt".to_owned()]));
        fs::write(path.join("local.key"), "").unwrap();
        assert_eq!(found(path), Found::StoreMissing);
        fs::create_dir_all(path.join("store/engine")).unwrap();
        assert_eq!(found(path), Found::StoreMissing);
        fs::write(path.join("store/format"), "1\n").unwrap();
        assert_eq!(found(path), Found::Store);
        let error = inspect(&path.join("store")).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
        assert!(inspect(&path.join("notes.txt")).is_err());
    }
}
