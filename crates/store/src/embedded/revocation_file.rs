//! The file `revocations`: one entry per line; and the file `token-lives`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use super::directory;

const FILE: &str = "revocations";
const LIVES: &str = "token-lives";

/// What is known of the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Bytes up to the end of the last complete line, if they were counted.
    pub(super) whole: Option<u64>,
    /// Lines that were removed: the first line has the place after these.
    pub(super) removed: u64,
    /// A place that was read, and the byte after its line: the next reader mostly continues there.
    pub(super) read: (u64, u64),
}

/// Up to `limit` complete lines after a place, with their places. A partial line was never acknowledged: the machine
/// crashed while it was written.
pub(super) fn read_after(
    dir: &Path,
    after: u64,
    limit: usize,
    known: &mut Known,
) -> io::Result<Vec<(u64, String)>> {
    let mut file = match File::open(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let (mut place, mut offset) = if known.read.0 <= after { known.read } else { (known.removed, 0) };
    file.seek(SeekFrom::Start(offset))?;
    let (mut reader, mut lines) = (BufReader::new(file), Vec::new());
    while lines.len() < limit {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        // Only now: a partial line may end within a character.
        let line =
            String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        place += 1;
        offset += read as u64;
        if place > after {
            lines.push((place, line));
        }
    }
    known.read = (place, offset);
    Ok(lines)
}

pub(super) fn add(dir: &Path, line: &str, known: &mut Known) -> io::Result<()> {
    let path = dir.join(FILE);
    let is_new = !path.exists();
    let whole = match known.whole.take() {
        Some(whole) => whole,
        None if is_new => 0,
        None => std::fs::read(&path)?.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1),
    };
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    file.set_len(whole)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    if is_new {
        directory::sync(dir)?;
    }
    known.whole = Some(whole + line.len() as u64 + 1);
    Ok(())
}

/// Replaces the whole file.
pub(super) fn replace(dir: &Path, text: &str) -> io::Result<()> {
    directory::replace(dir, FILE, |file| file.write_all(text.as_bytes()))
}

/// The contents of the file of lives, if there is one.
pub(super) fn read_lives(dir: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(dir.join(LIVES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

pub(super) fn replace_lives(dir: &Path, text: &str) -> io::Result<()> {
    directory::replace(dir, LIVES, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, after: u64, limit: usize, known: &mut Known) -> Vec<(u64, String)> {
        read_after(dir, after, limit, known).unwrap()
    }

    fn lines(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
        lines.iter().map(|&(place, line)| (place, line.to_owned())).collect()
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        assert_eq!(read(dir.path(), 0, 9, &mut known), lines(&[]));
        add(dir.path(), "one", &mut known).unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"tw\xc3").unwrap();
        assert_eq!(read(dir.path(), 0, 9, &mut known), lines(&[(1, "one")]));
        // After a crash nothing is known.
        let mut known = Known::default();
        add(dir.path(), "three", &mut known).unwrap();
        assert_eq!(read(dir.path(), 0, 9, &mut known), lines(&[(1, "one"), (2, "three")]));
        assert_eq!(read(dir.path(), 2, 9, &mut known), lines(&[]));
        add(dir.path(), "four", &mut known).unwrap();
        assert_eq!(read(dir.path(), 2, 9, &mut known), lines(&[(3, "four")]));
        assert_eq!(read(dir.path(), 0, 2, &mut known), lines(&[(1, "one"), (2, "three")]));
        assert_eq!(read(dir.path(), 1, 1, &mut known), lines(&[(2, "three")]));
        assert_eq!(known.read, (2, 10), "not read from the beginning again");
    }
}
