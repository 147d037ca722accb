//! Revoked tokens of the embedded store: the file `revocations`, one entry per line. Entries are rare and read
//! as a whole at startup, so this is not one of the engine's tables.

use std::io;

use async_trait::async_trait;
use parlance_core::RevocationEntry;
use tokio::task::spawn_blocking;

use super::Embedded;
use super::revocation_file::{Known, add, read_after, read_lives, replace, replace_lives};
use crate::StoreError;
use crate::revocations::{IsOver, RevocationList, TokenLives, decode, encode};

#[async_trait]
impl RevocationList for Embedded {
    async fn revoke(&self, entry: &RevocationEntry) -> Result<(), StoreError> {
        let (dir, line) = (self.dir.clone(), encode(entry));
        self.in_file(move |known| add(&dir, &line, known).map_err(failed)).await
    }

    async fn revoked_after(
        &self,
        place: u64,
        limit: usize,
    ) -> Result<(Vec<RevocationEntry>, u64), StoreError> {
        let dir = self.dir.clone();
        let lines = self.in_file(move |known| read_after(&dir, place, limit, known).map_err(failed)).await?;
        let last = lines.last().map_or(place, |(place, _)| *place);
        let found = lines.iter().map(|(_, line)| decode(line)).collect::<Result<_, _>>()?;
        Ok((found, last))
    }

    async fn trim(&self, is_over: &IsOver<'_>) -> Result<usize, StoreError> {
        let mut known = self.revoking.lock().await;
        let (dir, before) = (self.dir.clone(), *known);
        let mut reading = before;
        let all = blocking(move || read_after(&dir, 0, usize::MAX, &mut reading).map_err(failed)).await?;
        let mut kept = Vec::with_capacity(all.len());
        for (place, line) in &all {
            if !is_over(*place, &decode(line)?) {
                kept.push(format!("{line}\n"));
            }
        }
        let removed = all.len() - kept.len();
        if removed > 0 {
            let (dir, text) = (self.dir.clone(), kept.concat());
            let whole = text.len() as u64;
            blocking(move || replace(&dir, &text).map_err(failed)).await?;
            let removed = before.removed + removed as u64;
            *known = Known { whole: Some(whole), removed, read: (removed, 0) };
        }
        Ok(removed)
    }

    async fn record_lives(&self, lives: TokenLives, before: TokenLives) -> Result<TokenLives, StoreError> {
        let dir = self.dir.clone();
        self.in_file(move |_| {
            let stored = read_lives(&dir).map_err(failed)?;
            let stored = stored.map(|text| TokenLives::decode(&text)).transpose()?;
            let longest = stored.unwrap_or(before).max(lives);
            if stored != Some(longest) {
                replace_lives(&dir, &longest.encode()).map_err(failed)?;
            }
            Ok(longest)
        })
        .await
    }
}

impl Embedded {
    /// Does `work` on the file while nobody else does.
    async fn in_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Known) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut known = self.revoking.lock().await;
        // Taken: if this is cancelled, it is found out again.
        let mut now = Known { whole: None, read: (known.removed, 0), ..*known };
        std::mem::swap(&mut now, &mut known);
        let (done, now) = blocking(move || Ok((work(&mut now), now))).await?;
        *known = now;
        done
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
