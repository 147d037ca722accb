//! The contents of a directory as bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file under a directory, by relative path.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn read(root: &Path) -> Files {
    let mut files = Files::new();
    read_into(root, root, &mut files);
    files
}

fn read_into(root: &Path, dir: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_into(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
}
