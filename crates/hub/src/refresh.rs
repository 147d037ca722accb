use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::{Chunk, RoomId};
use parlance_store::{Store, StoreError};
use tokio::sync::Mutex;

use crate::state::{RoomState, Terms};

/// Looks at where the store has the room, one at a time. Whoever asks while one is under
/// way needs the next one: what that finds was there when they asked.
#[derive(Default)]
pub(crate) struct Refreshes {
    begun: AtomicU64,
    finished: Mutex<u64>,
}

impl Refreshes {
    /// Has `refresh` look, unless somebody else has looked since this was called.
    pub(crate) async fn run<E>(&self, refresh: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let asked = self.begun.load(Ordering::SeqCst);
        let mut finished = self.finished.lock().await;
        if *finished > asked {
            return Ok(());
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        refresh.await?;
        *finished = this;
        Ok(())
    }
}

/// What the store has of `room` after `known`: the next chunks, about `limit` events, and if there are
/// more the last one. Each with the room's terms after it.
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
        // What a later version may have changed is for the store to say.
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
