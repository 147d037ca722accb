use std::collections::VecDeque;
use std::time::Duration;

use parlance_core::SeqRange;
use parlance_runtime::memory::Charge;
use parlance_store::past::{Until, as_of};
use parlance_store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::frame::{Frame, Piece, following, memory_of};
use crate::limits::Sizes;
use crate::ring::Fetched;
use crate::tail::Tail;

/// Reads a room from the store for sessions that are behind the ring: one at a time, and the others share the result.
pub(crate) struct Pages(Mutex<Cached>);

impl Pages {
    /// No pages yet; those that are read are charged to `held`.
    pub(crate) fn new(held: Charge) -> Self {
        Self(Mutex::new(Cached { changes: 0, pages: VecDeque::new(), bytes: 0, held, used: None }))
    }

    /// What follows `cursor`, up to `to` or the head.
    pub(crate) async fn read<L: Default>(
        &self,
        store: &dyn Store,
        tail: &Tail<L>,
        cursor: u64,
        to: u64,
    ) -> Result<Fetched, StoreError> {
        let sizes = tail.sizes();
        let mut pages = self.0.lock().await;
        let changes = tail.state().ring.changes;
        if pages.changes != changes {
            pages.clear();
            pages.changes = changes;
        }
        let Some(room) = tail.known() else { return Ok(Fetched::default()) };
        // What was before is gone, though it may still be stored.
        let cursor = cursor.max(room.floor.saturating_sub(1));
        if let Some(pieces) = pages.following(cursor, to, sizes) {
            return Ok(Fetched::new(pieces, room.head));
        }
        // Whole pages, so that sessions at different positions share them.
        let start = page_start(cursor + 1, sizes);
        let end = room.head.min(start + sizes.store_page as u64 - 1);
        let frames =
            read_range(store, tail, SeqRange { from: start, to: end }, Until::Head(room.head)).await?;
        let mut found = following(frames.iter(), cursor, to, sizes.room_batch);
        pages.insert(start, frames, sizes);
        if found.is_empty() && end < room.head.min(to) {
            // Nothing of this page is kept in the log: find what is.
            let range = SeqRange { from: end + 1, to: room.head };
            let rest = read_range(store, tail, range, Until::Head(room.head)).await?;
            found = following(rest.iter(), cursor, to, sizes.room_batch);
        }
        Ok(Fetched::new(found, room.head))
    }

    /// Drops everything that was not used for `idle`.
    pub(crate) fn trim(&self, idle: Duration) {
        if let Ok(mut pages) = self.0.try_lock() {
            pages.trim(idle);
        }
    }
}

/// What follows `cursor`, up to `to`, as of `until`. Not cached: it is rarely needed, and each time for a different
/// past.
pub(crate) async fn read_past<L: Default>(
    store: &dyn Store,
    tail: &Tail<L>,
    cursor: u64,
    to: u64,
    until: u64,
) -> Result<Fetched, StoreError> {
    let cursor = cursor.max(tail.known().map_or(0, |room| room.floor.saturating_sub(1)));
    if cursor >= to {
        return Ok(Fetched::new(Vec::new(), to));
    }
    let frames = read_range(store, tail, SeqRange { from: cursor + 1, to }, Until::Left(until)).await?;
    Ok(Fetched::new(following(frames.iter(), cursor, to, tail.sizes().room_batch), to))
}

/// Frames of `range` with messages as of `until`: the session may not know of a later removal yet.
async fn read_range<L: Default>(
    store: &dyn Store,
    tail: &Tail<L>,
    range: SeqRange,
    until: Until,
) -> Result<Vec<Frame>, StoreError> {
    metrics::counter!("parlance_feed_store_reads_total").increment(1);
    let room = tail.room();
    let entries = store.read(room, range, tail.sizes().store_page, false).await?;
    let entries = as_of(store, room, until, entries).await?;
    Ok(entries.iter().map(|entry| Frame::new(room, entry)).collect())
}

/// Pages of frames read from the store, for sessions that are behind the ring. The most recently read ones are kept.
struct Cached {
    /// The number of changes they include; read again after another one.
    changes: u64,
    /// Oldest read first.
    pages: VecDeque<Page>,
    bytes: usize,
    held: Charge,
    /// When a session last used them.
    used: Option<Instant>,
}

struct Page {
    start: u64,
    frames: Vec<Frame>,
    bytes: usize,
}

/// The first seq of the page that contains `seq`.
fn page_start(seq: u64, sizes: &Sizes) -> u64 {
    seq - (seq - 1) % sizes.store_page as u64
}

impl Cached {
    fn clear(&mut self) {
        self.pages = VecDeque::new();
        (self.bytes, self.used) = (0, None);
        self.held.set(0);
    }

    /// What follows `cursor`, if its page was read and reaches far enough.
    fn following(&mut self, cursor: u64, to: u64, sizes: &Sizes) -> Option<Vec<Piece>> {
        let start = page_start(cursor + 1, sizes);
        let page = self.pages.iter().find(|page| page.start == start)?;
        let pieces = following(page.frames.iter(), cursor, to, sizes.room_batch);
        self.used = Some(Instant::now());
        pieces.first().is_some_and(|piece| piece.first == cursor + 1).then_some(pieces)
    }

    /// Drops everything that was not used for `idle`.
    fn trim(&mut self, idle: Duration) {
        if self.used.is_some_and(|used| used.elapsed() >= idle) {
            self.clear();
        }
    }

    fn insert(&mut self, start: u64, frames: Vec<Frame>, sizes: &Sizes) {
        // A page that ended at the head of that time.
        if let Some(at) = self.pages.iter().position(|page| page.start == start)
            && let Some(stale) = self.pages.remove(at)
        {
            self.bytes -= stale.bytes;
        }
        let bytes = frames.iter().map(Frame::bytes).sum();
        self.bytes += bytes;
        self.used = Some(Instant::now());
        self.pages.push_back(Page { start, frames, bytes });
        let most = self.held.budget().share_of(sizes.pages_bytes);
        while self.bytes > most && self.pages.len() > 1 {
            let Some(oldest) = self.pages.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
        let count = self.pages.iter().map(|page| page.frames.len()).sum();
        self.held.set(memory_of(count, self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use parlance_runtime::memory::Budget;

    use super::*;

    #[test]
    fn pages_start_at_fixed_positions() {
        let starts = [1, 3, 4, 6, 7].map(|seq| page_start(seq, &Sizes::SMALL));
        assert_eq!(starts, [1, 1, 4, 4, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn unused_pages_are_dropped() {
        let (idle, sizes) = (Duration::from_secs(15), &Sizes::SMALL);
        let Pages(cached) = Pages::new(Budget::new(1_000).charge());
        let mut pages = cached.into_inner();
        pages.insert(1, Vec::new(), sizes);
        tokio::time::advance(Duration::from_secs(10)).await;
        pages.following(0, u64::MAX, sizes);
        tokio::time::advance(Duration::from_secs(10)).await;
        pages.trim(idle);
        assert_eq!(pages.pages.len(), 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        pages.trim(idle);
        assert_eq!(pages.pages.len(), 0);
    }
}
