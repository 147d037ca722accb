use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::Notice;

/// The queue of notices to this node's receiver. Bounded: notices that do not fit are dropped, and reported as missed
/// as soon as there is room.
#[derive(Debug)]
pub(super) struct Notices {
    to: mpsc::Sender<Notice>,
    from: Mutex<Option<mpsc::Receiver<Notice>>>,
    missed: AtomicBool,
}

impl Notices {
    pub(super) fn new(waiting: usize) -> Self {
        let (to, from) = mpsc::channel(waiting.max(1));
        Self { to, from: Mutex::new(Some(from)), missed: AtomicBool::new(false) }
    }

    pub(super) fn take(&self) -> Option<mpsc::Receiver<Notice>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns whether it did not fit although the previous one did.
    pub(super) fn send(&self, notice: Notice) -> bool {
        let full = !self.report_missed()
            || matches!(self.to.try_send(notice), Err(mpsc::error::TrySendError::Full(_)));
        full && !self.missed.swap(true, Ordering::SeqCst)
    }

    /// Reports that messages were lost before this moment, but none from now on.
    pub(super) fn missed(&self) {
        self.missed.store(true, Ordering::SeqCst);
        self.report_missed();
    }

    /// Reports missed notices if there are any and there is room. Returns whether that is done.
    pub(super) fn report_missed(&self) -> bool {
        if !self.missed.swap(false, Ordering::SeqCst) {
            return true;
        }
        let said = !matches!(self.to.try_send(Notice::Missed), Err(mpsc::error::TrySendError::Full(_)));
        if !said {
            self.missed.store(true, Ordering::SeqCst);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn dropped_notices_are_reported_before_later_ones() {
        let notices = Notices::new(2);
        let mut taken = notices.take().unwrap();
        assert!(notices.take().is_none());
        let payload = |text: &'static str| Notice::Payload(Bytes::from_static(text.as_bytes()));
        assert!(!notices.send(payload("one")));
        assert!(!notices.send(payload("two")));
        assert!(notices.send(payload("dropped")));
        assert!(!notices.send(payload("dropped too")));
        assert_eq!(taken.try_recv(), Ok(payload("one")));
        assert!(notices.report_missed());
        assert_eq!(taken.try_recv(), Ok(payload("two")));
        assert!(!notices.send(payload("three")));
        assert_eq!(taken.try_recv(), Ok(Notice::Missed));
        assert_eq!(taken.try_recv(), Ok(payload("three")));
    }
}
