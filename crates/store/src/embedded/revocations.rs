//! Revoked tokens of the embedded store: the file `revocations`, one entry per line. Entries are rare and read
//! as a whole at startup, so this is not one of the engine's tables.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use async_trait::async_trait;
use parlance_core::RevocationEntry;
use tokio::task::spawn_blocking;

use super::{Embedded, directory};
use crate::StoreError;
use crate::revocations::{RevocationList, decode, encode};

const FILE: &str = "revocations";

#[async_trait]
impl RevocationList for Embedded {
    async fn revoke(&self, entry: &RevocationEntry) -> Result<(), StoreError> {
        let _one_at_a_time = self.revoking.lock().await;
        let (dir, line) = (self.dir.clone(), encode(entry));
        blocking(move || add(&dir, &line).map_err(failed)).await
    }

    async fn revoked_after(
        &self,
        place: u64,
        limit: usize,
    ) -> Result<(Vec<RevocationEntry>, u64), StoreError> {
        let _one_at_a_time = self.revoking.lock().await;
        let dir = self.dir.clone();
        let skipped = usize::try_from(place).unwrap_or(usize::MAX);
        let text = blocking(move || read(&dir).map_err(failed)).await?;
        let found = text.lines().skip(skipped).take(limit).map(decode).collect::<Result<Vec<_>, _>>()?;
        let last = place + found.len() as u64;
        Ok((found, last))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Failed(format!("the revoked tokens: {error}"))
}

/// All complete lines. A partial line was never acknowledged: the machine crashed while it was written.
fn read(dir: &Path) -> io::Result<String> {
    let mut text = match std::fs::read_to_string(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        text => text?,
    };
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}

fn add(dir: &Path, line: &str) -> io::Result<()> {
    let path = dir.join(FILE);
    let (is_new, whole) = (!path.exists(), read(dir)?.len() as u64);
    let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
    file.set_len(whole)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    if is_new { directory::sync(dir) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), "");
        add(dir.path(), "one").unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"tw").unwrap();
        assert_eq!(read(dir.path()).unwrap(), "one\n");
        add(dir.path(), "three").unwrap();
        assert_eq!(read(dir.path()).unwrap(), "one\nthree\n");
    }
}
