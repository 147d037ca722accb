use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::frame::{Frame, Piece, following};
use crate::limits::Sizes;

/// Pages of frames read from the store, for sessions that are behind the ring. Those read
/// last are kept.
#[derive(Default)]
pub(super) struct Pages {
    /// As of this many changes; read anew after another one.
    pub(super) changes: u64,
    /// Oldest read first.
    pages: VecDeque<Page>,
    bytes: usize,
    /// When a session last took something from them.
    used: Option<Instant>,
}

struct Page {
    start: u64,
    frames: Vec<Frame>,
    bytes: usize,
}

/// Where the page begins that holds `seq`.
pub(super) fn page_start(seq: u64, sizes: &Sizes) -> u64 {
    seq - (seq - 1) % sizes.store_page as u64
}

impl Pages {
    pub(super) fn as_of(changes: u64) -> Self {
        Self { changes, ..Self::default() }
    }

    /// What follows on `cursor`, if the page that holds it was read and reaches so far.
    pub(super) fn following(&mut self, cursor: u64, to: u64, sizes: &Sizes) -> Option<Vec<Piece>> {
        let start = page_start(cursor + 1, sizes);
        let page = self.pages.iter().find(|page| page.start == start)?;
        let pieces = following(page.frames.iter(), cursor, to, sizes.room_batch);
        self.used = Some(Instant::now());
        pieces.first().is_some_and(|piece| piece.first == cursor + 1).then_some(pieces)
    }

    /// Drops everything if nothing was taken for `idle`.
    pub(super) fn trim(&mut self, idle: Duration) {
        if self.used.is_some_and(|used| used.elapsed() >= idle) {
            *self = Self::default();
        }
    }

    pub(super) fn insert(&mut self, start: u64, frames: Vec<Frame>, sizes: &Sizes) {
        // One that ended at what was the head then.
        if let Some(at) = self.pages.iter().position(|page| page.start == start)
            && let Some(stale) = self.pages.remove(at)
        {
            self.bytes -= stale.bytes;
        }
        let bytes = frames.iter().map(Frame::bytes).sum();
        self.bytes += bytes;
        self.used = Some(Instant::now());
        self.pages.push_back(Page { start, frames, bytes });
        while self.bytes > sizes.pages_bytes && self.pages.len() > 1 {
            let Some(oldest) = self.pages.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_at_fixed_places() {
        let starts = [1, 3, 4, 6, 7].map(|seq| page_start(seq, &Sizes::SMALL));
        assert_eq!(starts, [1, 1, 4, 4, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_dropped_when_nobody_takes_from_them() {
        let (idle, sizes) = (Duration::from_secs(15), &Sizes::SMALL);
        let mut pages = Pages::default();
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
