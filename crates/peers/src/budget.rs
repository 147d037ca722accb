use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What a connection may hold of answers: those that wait for their peer, and those that are being made, by what they
/// may become. Large answers are made only while they fit, so that requests that arrive together cannot exceed it.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    /// Bytes that wait for the peer.
    held: AtomicUsize,
    /// Bytes that answers in the making may have.
    reserved: AtomicUsize,
    /// Answers that are to be made once there is room.
    waiting: AtomicUsize,
    freed: Notify,
}

impl Budget {
    /// A budget of `limit` bytes, of which nothing is used.
    pub fn new(limit: usize) -> Arc<Self> {
        let unused = || AtomicUsize::new(0);
        Arc::new(Self { limit, held: unused(), reserved: unused(), waiting: unused(), freed: Notify::new() })
    }

    /// Waits until `bytes` more fit, and reserves them. One answer always fits, whatever its size.
    pub async fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        if self.take(bytes) {
            return self.reservation(bytes);
        }
        let _waiting = Waiting::new(self);
        loop {
            // Sees what is freed from here on.
            let freed = self.freed.notified();
            if self.take(bytes) {
                // There may be room for the next one, too.
                self.freed.notify_one();
                return self.reservation(bytes);
            }
            freed.await;
        }
    }

    /// Bytes that wait for the peer.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Bytes that wait, and that answers in the making may have.
    pub fn used(&self) -> usize {
        self.held() + self.reserved.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        self.wake();
    }

    fn reservation(self: &Arc<Self>, bytes: usize) -> Reservation {
        Reservation(Arc::new(Reserved { budget: self.clone(), bytes }))
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |reserved: usize| {
            let used = self.held() + reserved;
            (used == 0 || used + bytes <= self.limit).then_some(reserved + bytes)
        };
        self.reserved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
    }

    fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }
}

/// Counts an answer that waits for room, until this is dropped.
struct Waiting<'b>(&'b Budget);

impl<'b> Waiting<'b> {
    fn new(budget: &'b Budget) -> Self {
        budget.waiting.fetch_add(1, Ordering::SeqCst);
        Self(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Room for an answer that is being made: an extension of its response, from which its connection takes it once it
/// charges the answer itself. Given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Reservation(#[expect(dead_code, reason = "held for its `Drop`")] Arc<Reserved>);

#[derive(Debug)]
struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
        self.budget.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use super::*;

    /// The reservation, if there is room now.
    fn now<F: Future<Output = Reservation>>(reserving: Pin<&mut F>) -> Option<Reservation> {
        match reserving.poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(reserved) => Some(reserved),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn answers_are_made_as_far_as_they_fit() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (pin!(budget.reserve(6)), pin!(budget.reserve(6)));
        let (mut small, mut last) = (pin!(budget.reserve(2)), pin!(budget.reserve(4)));
        let first = now(one.as_mut()).expect("there is room");
        assert!(now(two.as_mut()).is_none());
        assert!(now(small.as_mut()).is_some(), "what fits may be made");
        assert!(now(last.as_mut()).is_some());
        drop(first);
        assert!(now(two.as_mut()).is_some());
    }

    #[test]
    fn held_bytes_count_and_all_that_fit_are_woken() {
        let budget = Budget::new(10);
        budget.add(10);
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(budget.reserve(2))).collect();
        assert!(waiting.iter_mut().all(|reserving| now(reserving.as_mut()).is_none()));
        budget.remove(10);
        let made: Vec<_> = waiting.iter_mut().map(|reserving| now(reserving.as_mut())).collect();
        assert!(made.iter().all(Option::is_some), "one wakes the next");
        assert_eq!(budget.used(), 10);
        drop(made);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_answer_larger_than_all_is_made_alone() {
        let budget = Budget::new(10);
        let large = now(pin!(budget.reserve(100))).expect("there is nothing else");
        let mut other = pin!(budget.reserve(1));
        assert!(now(other.as_mut()).is_none());
        drop(large);
        assert!(now(other.as_mut()).is_some());
    }

    #[test]
    fn who_stops_waiting_passes_its_turn_on() {
        let budget = Budget::new(10);
        budget.add(10);
        let mut first = Box::pin(budget.reserve(10));
        let mut second = Box::pin(budget.reserve(10));
        assert!(now(first.as_mut()).is_none() && now(second.as_mut()).is_none());
        budget.remove(10);
        drop(first);
        assert!(now(second.as_mut()).is_some());
        assert_eq!(budget.waiting.load(Ordering::SeqCst), 0);
    }
}
