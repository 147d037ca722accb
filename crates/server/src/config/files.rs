use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// One file, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Files {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Vec<PathBuf>>, D::Error> {
    Ok(Some(match Files::deserialize(given)? {
        Files::One(file) => vec![file],
        Files::Many(files) => files,
    }))
}
