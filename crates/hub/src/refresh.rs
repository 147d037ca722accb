use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::{Chunk, RoomId};
use parlance_store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::state::{RoomState, Terms};

/// Refreshes from the store, one at a time. A caller that arrives during a refresh needs the next one, which then
/// includes everything that existed when it called. All of them get its result, including a failure: an unresponsive
/// store is not waited for by each in turn.
pub(crate) struct Refreshes<E> {
    begun: AtomicU64,
    finished: Mutex<Finished<E>>,
}

/// The last finished refresh and its result.
struct Finished<E> {
    refresh: u64,
    outcome: Result<(), E>,
}

impl<E> Default for Refreshes<E> {
    fn default() -> Self {
        let finished = Mutex::new(Finished { refresh: 0, outcome: Ok(()) });
        Self { begun: AtomicU64::new(0), finished }
    }
}

impl<E: Clone> Refreshes<E> {
    /// Runs `refresh`, unless another one has started since this was called.
    pub(crate) async fn run(&self, refresh: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut finished = self.finished.lock().await;
        if finished.refresh > asked {
            return finished.outcome.clone();
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = refresh.await;
        *finished = Finished { refresh: this, outcome: outcome.clone() };
        outcome
    }
}

/// What the store has of `room` after `known`: the next chunks, about `limit` events, and if there are more the last
/// one. Each with the room's terms after it.
pub(crate) async fn news(
    store: &dyn Store,
    room: &RoomId,
    known: RoomState,
    limit: usize,
) -> Result<Vec<(Terms, Chunk)>, StoreError> {
    let chunks = store.chunks_after(room, known.head, limit).await?;
    let is_far = chunks.iter().map(|chunk| chunk.events().len()).sum::<usize>() >= limit;
    let is_unknown = chunks.iter().any(Chunk::changes_unknown);
    let stored = if is_far || is_unknown { store.room(room).await? } else { None };
    let mut terms = known.terms();
    let mut news = Vec::new();
    for chunk in chunks {
        terms.fold(&chunk);
        // Changes by a later version have to be read from the store.
        if is_unknown && let Some(stored) = &stored {
            terms = Terms::from(&stored.info);
        }
        news.push((terms, chunk));
    }
    if is_far && let Some(stored) = stored {
        news.push((Terms::from(&stored.info), stored.tail));
    }
    Ok(news)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    async fn unanswered(reads: &AtomicU64) -> Result<(), &'static str> {
        reads.fetch_add(1, Ordering::SeqCst);
        sleep(TIMEOUT).await;
        Err("no answer")
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_share_a_failure() {
        let (refreshes, reads) = (Refreshes::default(), AtomicU64::new(0));
        let begun = Instant::now();
        let outcomes = join_all((0..20).map(|_| refreshes.run(unanswered(&reads)))).await;
        assert!(outcomes.iter().all(Result::is_err));
        // The one in progress when the others called, and one for all of them.
        assert_eq!((reads.load(Ordering::SeqCst), begun.elapsed()), (2, 2 * TIMEOUT));
        // Its result is not used for later callers.
        assert_eq!(refreshes.run(async { Ok(()) }).await, Ok(()));
    }
}
