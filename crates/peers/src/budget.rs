use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::limits::{Limits, TOTAL_CHECK};

/// What is held for one peer, a connection or a user behind proxies: requests that were received, answers that wait to be
/// written, and those that are being made, by what they may become. Large answers are made only while they fit, so that
/// requests that arrive together cannot exceed it. All of it counts for the process, too.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    total: Arc<Total>,
    /// Bytes that are held for the address of a connection.
    of_address: Option<Arc<AtomicUsize>>,
    /// Bytes of requests, and of answers that wait for the peer.
    held: AtomicUsize,
    /// Bytes that answers in the making may have.
    reserved: AtomicUsize,
    /// Answers that are to be made once there is room.
    waiting: AtomicUsize,
    freed: Notify,
}

impl Budget {
    /// A budget of `limit` bytes, of which nothing is used, that counts in no total.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::within(limit, Total::unlimited(), None)
    }

    /// The same, counted in `total` and in what is held for its address.
    pub(crate) fn within(limit: usize, total: Arc<Total>, of_address: Option<Arc<AtomicUsize>>) -> Arc<Self> {
        let unused = || AtomicUsize::new(0);
        let (held, reserved, waiting) = (unused(), unused(), unused());
        Arc::new(Self { limit, total, of_address, held, reserved, waiting, freed: Notify::new() })
    }

    /// Waits until `bytes` more fit, and reserves them. One answer always fits, whatever its size, unless the process
    /// holds the most that it may.
    pub async fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        if self.take(bytes) {
            return self.reservation(bytes);
        }
        let _waiting = Waiting::new(self);
        loop {
            // Sees what is freed from here on.
            let freed = self.freed.notified();
            if self.take(bytes) {
                return self.reservation(bytes);
            }
            // Nobody is notified of what others free.
            let _ = timeout(TOTAL_CHECK, freed).await;
        }
    }

    /// Counts `bytes` that are held until the result is dropped.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Charges `bytes` until the last copy of them is dropped, wherever they wait.
    pub fn charge(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let charge = self.hold(bytes.len());
        Bytes::from_owner(ChargedBytes { bytes, _charge: charge })
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Bytes that are held, and that answers in the making may have.
    pub fn used(&self) -> usize {
        self.held() + self.reserved.load(Ordering::SeqCst)
    }

    /// Whether so much is held, of this or in the process, that nothing new is accepted.
    pub fn is_full(&self) -> bool {
        let held = self.held();
        held > self.limit || self.total.refuses(held)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::SeqCst);
        self.total.add(bytes);
        if let Some(of_address) = &self.of_address {
            of_address.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.total.remove(bytes);
        if let Some(of_address) = &self.of_address {
            of_address.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        self.wake();
    }

    /// Bytes that are held for all connections of its address.
    pub(crate) fn held_by_address(&self) -> usize {
        self.of_address.as_ref().map_or(0, |held| held.load(Ordering::Relaxed))
    }

    fn reservation(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.total.add(bytes);
        Reservation(Arc::new(Reserved { budget: self.clone(), bytes }))
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |reserved: usize| {
            let used = self.held() + reserved;
            let fits = (used == 0 || used + bytes <= self.limit) && !self.total.refuses(used);
            fits.then_some(reserved + bytes)
        };
        self.reserved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
    }

    fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // All of them: the next may need more than there is, and another one less.
            self.freed.notify_waiters();
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.total.remove(held + *self.reserved.get_mut());
        if let Some(of_address) = &self.of_address {
            of_address.fetch_sub(held, Ordering::Relaxed);
        }
    }
}

/// Bytes that are held, until this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Counts `bytes` more.
    pub fn grow(&mut self, bytes: usize) {
        self.budget.add(bytes);
        self.bytes += bytes;
    }

    /// How many they are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The budget that they count in.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.remove(self.bytes);
    }
}

/// What was received from a peer, with what it is charged for; small things are not.
#[derive(Debug)]
pub struct Charged<T> {
    /// What was received.
    pub value: T,
    /// Dropped when it is no longer held.
    pub charge: Option<Charge>,
}

impl<T> From<T> for Charged<T> {
    fn from(value: T) -> Self {
        Self { value, charge: None }
    }
}

/// Bytes that wait for a peer.
struct ChargedBytes {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that are held for all peers of the process.
#[derive(Debug)]
pub(crate) struct Total {
    used: AtomicUsize,
    /// Beyond this, who holds more than `share` is refused.
    limit: usize,
    share: usize,
    /// Beyond this, everyone is.
    most: usize,
}

impl Total {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let (limit, share, most) = (limits.held_by_all, limits.held_share, limits.held_at_most);
        Arc::new(Self { used: AtomicUsize::new(0), limit, share, most })
    }

    fn unlimited() -> Arc<Self> {
        let all = usize::MAX;
        Arc::new(Self { used: AtomicUsize::new(0), limit: all, share: all, most: all })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether one who uses `own` bytes of it may not have more.
    pub(crate) fn refuses(&self, own: usize) -> bool {
        let used = self.used();
        used > self.most || (used > self.limit && own > self.share)
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
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
pub struct Reservation(Arc<Reserved>);

impl Reservation {
    /// What it is room in.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.0.budget
    }
}

#[derive(Debug)]
struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.total.remove(self.bytes);
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

    #[tokio::test]
    async fn answers_are_made_as_far_as_they_fit() {
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

    #[tokio::test]
    async fn held_bytes_count_and_all_that_fit_are_woken() {
        let budget = Budget::new(10);
        budget.add(10);
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(budget.reserve(2))).collect();
        assert!(waiting.iter_mut().all(|reserving| now(reserving.as_mut()).is_none()));
        budget.remove(10);
        let made: Vec<_> = waiting.iter_mut().map(|reserving| now(reserving.as_mut())).collect();
        assert!(made.iter().all(Option::is_some), "all that fit");
        assert_eq!(budget.used(), 10);
        drop(made);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn an_answer_larger_than_all_is_made_alone() {
        let budget = Budget::new(10);
        let large = now(pin!(budget.reserve(100))).expect("there is nothing else");
        let mut other = pin!(budget.reserve(1));
        assert!(now(other.as_mut()).is_none());
        drop(large);
        assert!(now(other.as_mut()).is_some());
    }

    #[tokio::test]
    async fn a_small_answer_is_made_although_a_large_one_waits_before_it() {
        let budget = Budget::new(10);
        budget.add(10);
        let (mut large, mut small) = (pin!(budget.reserve(8)), pin!(budget.reserve(2)));
        assert!(now(large.as_mut()).is_none() && now(small.as_mut()).is_none());
        budget.remove(3);
        // In the order in which they are woken.
        assert!(now(large.as_mut()).is_none());
        assert!(now(small.as_mut()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_hold_is_bounded() {
        let limits = Limits { held_by_all: 20, held_share: 5, held_at_most: 30, ..Limits::production(1) };
        let total = Total::new(&limits);
        let [one, other, third] = [(); 3].map(|()| Budget::within(15, total.clone(), None));
        let held = (one.hold(15), other.reserve(6).await);
        assert!(one.is_full(), "it holds more than its share");
        assert!(now(pin!(other.reserve(1))).is_none(), "a reservation counts, too");
        let last = now(pin!(third.reserve(10))).expect("nothing is held for it");
        assert_eq!(total.used(), 31);
        assert!(now(pin!(Budget::within(15, total.clone(), None).reserve(1))).is_none(), "nobody gets more");
        drop(held);
        assert_eq!(total.used(), 10);
        assert!(timeout(TOTAL_CHECK * 2, other.reserve(1)).await.is_ok());
        drop(last);
    }

    #[tokio::test]
    async fn who_stops_waiting_passes_its_turn_on() {
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
