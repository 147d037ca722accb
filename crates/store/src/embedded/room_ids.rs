//! The file `room-ids` of the data directory: the key in hexadecimal, and `1` if the store had rooms before it had
//! the key, otherwise `0`. Readable by the owner only.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::directory;
use super::fault::Fault;
use crate::RoomIds;

const NAME: &str = "room-ids";

/// Whether the store in `dir` has a key.
pub(super) fn is_there(dir: &Path) -> io::Result<bool> {
    fs::exists(dir.join(NAME))
}

/// How ids are derived in the store in `dir`. Determined at the first open; `in_use` if it has rooms.
pub(super) fn settle(dir: &Path, in_use: bool) -> Result<RoomIds, Fault> {
    match fs::read_to_string(dir.join(NAME)) {
        Ok(content) => parse(&content).ok_or_else(damaged),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let ids = RoomIds::generate(in_use).map_err(io::Error::other)?;
            directory::replace(dir, NAME, |file| {
                #[cfg(unix)]
                file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
                writeln!(file, "{} {}", ids.key_text(), u8::from(ids.some_unkeyed))
            })?;
            Ok(ids)
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged()),
        Err(error) => Err(Fault::Io(error)),
    }
}

fn damaged() -> Fault {
    // A new key would create rooms a second time when requests are repeated.
    Fault::Damaged(format!("the file {NAME} holds no key"))
}

fn parse(content: &str) -> Option<RoomIds> {
    let (key, some_unkeyed) = content.strip_suffix('\n')?.split_once(' ')?;
    let some_unkeyed = match some_unkeyed {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    RoomIds::parse(key, some_unkeyed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_replaced() {
        let dir = tempfile::TempDir::new().unwrap();
        let ids = settle(dir.path(), true).ok().unwrap();
        assert_eq!(settle(dir.path(), false).ok().unwrap(), ids);
        let content = fs::read_to_string(dir.path().join(NAME)).unwrap();
        for damaged in ["", "\n", &content[..40], &content.replace(" 1", ""), "\u{fffd} 1\n"] {
            fs::write(dir.path().join(NAME), damaged).unwrap();
            assert!(matches!(settle(dir.path(), false), Err(Fault::Damaged(_))), "{damaged:?}");
        }
    }
}
