use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use http::Extensions;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::limits::{HELLO_BYTES, TOTAL_CHECK, UNCHARGED_BYTES};
use crate::total::Total;
use crate::used::Used;
use crate::users::Connections;

/// What is held for one peer, a connection or a user behind proxies: requests that were received, answers that wait to be
/// written, and those that are being made, by what they may become. Large answers are made only while they fit, so that
/// requests that arrive together cannot exceed it. All of it counts for its address, its user and the process, too.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    /// Whether it has more than its share at no time, since it is not one peer's.
    is_nobodys: bool,
    total: Arc<Total>,
    /// Bytes that are held for the address of a connection, and reserved.
    of_address: Option<Arc<AtomicUsize>>,
    /// The connections of its user: the first one who was identified on it and had room for one more.
    of_user: OnceLock<Arc<Connections>>,
    used: Arc<Used>,
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
        let mut budget = Self::unused(limit, total);
        budget.of_address = of_address;
        Arc::new(budget)
    }

    /// The budget of callers who are not known. It has no limit of its own, and counts in `total`.
    pub(crate) fn of_nobody(total: Arc<Total>) -> Arc<Self> {
        let mut budget = Self::unused(usize::MAX, total);
        budget.is_nobodys = true;
        Arc::new(budget)
    }

    fn unused(limit: usize, total: Arc<Total>) -> Self {
        Self {
            limit,
            is_nobodys: false,
            total,
            of_address: None,
            of_user: OnceLock::new(),
            used: Arc::default(),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// Waits until `bytes` more fit, and reserves them; of answers that may be larger than half of it, half. So there is
    /// room for one as soon as not much is held, unless the process holds the most that it may.
    pub async fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.limit / 2);
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
        self.used.held.load(Ordering::SeqCst)
    }

    /// Bytes that are held, and that answers in the making may have.
    pub fn used(&self) -> usize {
        self.used.all()
    }

    /// Whether so much is held, of this or in the process, that nothing new is accepted.
    pub fn is_full(&self) -> bool {
        self.refuses(0)
    }

    /// Whether so much is held, of this or in the process, that `more` bytes are not accepted. Who holds little may send
    /// a little at any time.
    pub fn refuses(&self, more: usize) -> bool {
        let (held, own) = (self.held(), self.own(self.held()) + more);
        held > self.limit
            || self.has_no_share(held)
            || self.is_too_much_of_user(held, more)
            || (self.total.is_full() && own > self.total.share())
            || (self.total.is_exhausted() && own > UNCHARGED_BYTES)
    }

    /// The same for what opens a session, which has a little room whatever others hold.
    pub fn refuses_hello(&self, more: usize) -> bool {
        let held = self.held() + more;
        held > self.limit || (held > HELLO_BYTES && self.refuses(more))
    }

    /// Whether what is held has to be read quickly. More than its share has, while its user, its address or the process
    /// hold more than they may. More than a little has, while the process holds the most that it may, its user more than
    /// they may, or its address so while the process is full: the many people behind one address have their time while
    /// there is room.
    pub fn is_hastened(&self) -> bool {
        let held = self.held();
        let is_crowded = || {
            self.total.is_exhausted()
                || (self.total.is_full() && self.has_address_too_much())
                || self.has_user_too_much(0)
        };
        self.has_no_share(held)
            || self.is_too_much_of_user(held, 0)
            || (self.own(held) > UNCHARGED_BYTES && is_crowded())
    }

    /// Bytes, of `used`, that are of one peer.
    fn own(&self, used: usize) -> usize {
        if self.is_nobodys { 0 } else { used }
    }

    /// Whether `used` is more than its share, of what is too much of its address or of the process.
    fn has_no_share(&self, used: usize) -> bool {
        self.own(used) > self.total.share() && (self.total.is_full() || self.has_address_too_much())
    }

    fn is_too_much_of_user(&self, used: usize, more: usize) -> bool {
        used + more > self.total.share() && self.has_user_too_much(more)
    }

    /// Whether its address holds more than it may.
    fn has_address_too_much(&self) -> bool {
        self.total.is_too_much_of_address(self.used_by_address())
    }

    /// Whether its user would hold more than they may with `more` bytes.
    fn has_user_too_much(&self, more: usize) -> bool {
        self.user().is_some_and(|user| self.total.is_too_much_of_user(more, || user.used()))
    }

    /// Adds bytes that wait.
    pub fn add(&self, bytes: usize) {
        self.used.held.fetch_add(bytes, Ordering::SeqCst);
        self.count(bytes);
    }

    /// Removes bytes that were sent or dropped.
    pub fn remove(&self, bytes: usize) {
        self.discount(bytes);
        self.used.held.fetch_sub(bytes, Ordering::SeqCst);
        self.wake();
    }

    fn count(&self, bytes: usize) {
        self.total.add(bytes);
        if let Some(of_address) = &self.of_address {
            of_address.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn discount(&self, bytes: usize) {
        self.total.remove(bytes);
        if let Some(of_address) = &self.of_address {
            of_address.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn used_by_address(&self) -> usize {
        self.of_address.as_ref().map_or(0, |used| used.load(Ordering::Relaxed))
    }

    /// Records whose connection it is, unless that is known. Returns whether it is. Not called by two at once.
    pub(crate) fn of_user(&self, user: impl FnOnce(&Arc<Used>) -> Option<Arc<Connections>>) -> bool {
        self.of_user.get().is_some()
            || user(&self.used).is_some_and(|connections| self.of_user.set(connections).is_ok())
    }

    pub(crate) fn user(&self) -> Option<&Arc<Connections>> {
        self.of_user.get()
    }

    /// What identifies it among the connections of its user.
    pub(crate) fn numbers(&self) -> &Arc<Used> {
        &self.used
    }

    fn reservation(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.count(bytes);
        Reservation(Arc::new(Reserved { budget: self.clone(), bytes }))
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |reserved: usize| {
            let used = self.held() + reserved;
            let is_refused = self.has_no_share(used)
                || (self.total.is_exhausted() && self.own(used) + bytes > UNCHARGED_BYTES)
                // Each of many connections could have its share.
                || self.is_too_much_of_user(used, bytes);
            (used + bytes <= self.limit && !is_refused).then_some(reserved + bytes)
        };
        self.used.reserved.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
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
        // Of a connection that ended; reservations keep their budget.
        self.discount(self.held());
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

/// The charge for the headers of a request, which ends once nothing holds it. It is an extension of requests over HTTP/2: a
/// connection carries many of them at once.
#[derive(Debug, Clone)]
pub struct HeaderCharge(Arc<Charge>);

impl HeaderCharge {
    /// Charges `bytes` of headers to `budget`.
    pub fn new(budget: &Arc<Budget>, bytes: usize) -> Self {
        Self(Arc::new(budget.hold(bytes)))
    }

    /// Charges the headers of most requests no longer, once their bodies are there: requests that wait for room for their
    /// answers must not take it from each other.
    pub fn end_if_small(of_request: &mut Extensions) {
        if of_request.get::<Self>().is_some_and(|headers| headers.0.bytes() <= UNCHARGED_BYTES) {
            of_request.remove::<Self>();
        }
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

/// What the answer to a request is charged to, if that is not its connection: an extension of the response to a user
/// behind proxies.
#[derive(Debug, Clone)]
pub struct ChargedTo(pub Arc<Budget>);

impl ChargedTo {
    /// Charges an answer to nobody: its bytes are those of the program, however many wait for it.
    pub fn nobody() -> Self {
        static UNLIMITED: LazyLock<Arc<Budget>> = LazyLock::new(|| Budget::new(usize::MAX));
        Self(UNLIMITED.clone())
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
        self.budget.discount(self.bytes);
        self.budget.used.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
        self.budget.wake();
    }
}

#[cfg(test)]
pub(crate) mod tests;
