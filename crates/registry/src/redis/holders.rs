use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// How many holders each key has here, and what Redis has confirmed.
///
/// Callers only change a count. The change that Redis needs is computed when it is sent, one change of a key at a
/// time. Overlapping calls therefore cannot end in a wrong state, whatever order their commands arrive in, and
/// concurrent changes are batched.
#[derive(Debug)]
pub(super) struct Holders<K> {
    keys: Mutex<Keys<K>>,
    /// Signalled when there are pending changes.
    pending: Notify,
    /// Whether each further holder causes the registration to be confirmed again.
    verifies: bool,
}

#[derive(Debug)]
struct Keys<K> {
    counts: HashMap<K, Count>,
    /// Keys with pending changes, each once.
    queue: VecDeque<K>,
    /// Whether there is a link to Redis.
    connected: bool,
}

#[derive(Debug, Default)]
struct Count {
    holders: u32,
    /// Whether Redis has confirmed it. Its absence is never assumed.
    confirmed: bool,
    queued: bool,
    in_flight: bool,
    /// A caller was refused or timed out before this key was confirmed.
    unconfirmed: bool,
    /// Boxed: of the many keys, few have changes in flight.
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Callers waiting for the change in flight.
    now: Vec<oneshot::Sender<bool>>,
    /// Callers waiting for the change after that.
    then: Vec<oneshot::Sender<bool>>,
}

/// The result of changing a count.
#[derive(Debug)]
pub(super) enum Change {
    /// Redis need not be updated.
    Settled,
    /// Redis is being updated. Answers whether others hold the key too; not at all if Redis is lost meanwhile.
    Sent(oneshot::Receiver<bool>),
    /// Redis is unavailable, and is updated when it is back.
    Away,
}

/// Redis' answer about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// Other nodes hold the key too.
    pub(super) others: bool,
    /// Whether this node was already registered at the key.
    pub(super) found: bool,
}

/// A key, and whether it is held here.
pub(super) type Wanted<K> = (K, bool);

impl<K: Clone + Eq + Hash> Holders<K> {
    pub(super) fn new() -> Self {
        let keys = Keys { counts: HashMap::new(), queue: VecDeque::new(), connected: false };
        Self { keys: Mutex::new(keys), pending: Notify::new(), verifies: false }
    }

    /// Like [`Self::new`], but each further holder causes the registration to be confirmed again.
    pub(super) fn verifying() -> Self {
        Self { verifies: true, ..Self::new() }
    }

    fn keys(&self) -> MutexGuard<'_, Keys<K>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a holder of `key`. Returns whether it is the first.
    pub(super) fn acquire(&self, key: &K) -> (bool, Change) {
        let mut keys = self.keys();
        let count = keys.counts.entry(key.clone()).or_default();
        count.holders += 1;
        let first = count.holders == 1;
        let settled = !self.verifies && !first && count.confirmed && !count.queued && !count.in_flight;
        (first, if settled { Change::Settled } else { self.enqueue(keys, key) })
    }

    /// Removes a holder of `key`. Returns whether it was the last.
    pub(super) fn release(&self, key: &K) -> (bool, Change) {
        let mut keys = self.keys();
        match keys.counts.get_mut(key) {
            None | Some(Count { holders: 0, .. }) => return (false, Change::Settled),
            Some(count) => count.holders -= 1,
        }
        let last = keys.counts.get(key).is_some_and(|count| count.holders == 0);
        (last, if last { self.enqueue(keys, key) } else { Change::Settled })
    }

    fn enqueue(&self, mut keys: MutexGuard<'_, Keys<K>>, key: &K) -> Change {
        let keys = &mut *keys;
        let Some(count) = keys.counts.get_mut(key) else { return Change::Settled };
        if !count.queued && !count.in_flight {
            count.queued = true;
            keys.queue.push_back(key.clone());
            self.pending.notify_one();
        }
        if !keys.connected {
            return Change::Away;
        }
        let (answer, answered) = oneshot::channel();
        count.waiting.get_or_insert_default().then.push(answer);
        Change::Sent(answered)
    }

    pub(super) fn is_held(&self, key: &K) -> bool {
        self.keys().counts.get(key).is_some_and(|count| count.holders > 0)
    }

    /// Waits until there are pending changes, or may be.
    pub(super) async fn pending(&self) {
        self.pending.notified().await;
    }

    /// The next batch of changes. Each key is passed back to [`Self::settle`] or [`Self::failed`], unless the link is
    /// lost first.
    pub(super) fn next_batch(&self, most: usize) -> Vec<Wanted<K>> {
        let mut keys = self.keys();
        let keys = &mut *keys;
        let some = keys.queue.len().min(most);
        let mut taken = Vec::with_capacity(some);
        for key in keys.queue.drain(..some) {
            let Some(count) = keys.counts.get_mut(&key) else { continue };
            count.queued = false;
            count.in_flight = true;
            if let Some(waiting) = &mut count.waiting {
                waiting.now.append(&mut waiting.then);
            }
            taken.push((key, count.holders > 0));
        }
        taken
    }

    /// The keys that Redis has confirmed.
    pub(super) fn confirmed(&self) -> Vec<K> {
        let keys = self.keys();
        keys.counts.iter().filter(|(_, count)| count.confirmed).map(|(key, _)| key.clone()).collect()
    }

    /// Queues these to be registered again, if they are held and confirmed.
    pub(super) fn refresh(&self, some: &[K]) {
        let mut keys = self.keys();
        let keys = &mut *keys;
        for key in some {
            let Some(count) = keys.counts.get_mut(key) else { continue };
            if count.confirmed && count.holders > 0 && !count.queued && !count.in_flight {
                count.queued = true;
                keys.queue.push_back(key.clone());
                self.pending.notify_one();
            }
        }
    }

    /// Handles a confirmed batch, with an answer for each key. Returns whether messages for a held key may be
    /// missing: its registration was gone, or took effect after its caller had stopped waiting.
    pub(super) fn settle(&self, batch: Vec<Wanted<K>>, answers: &[Answer]) -> bool {
        let mut keys = self.keys();
        let keys = &mut *keys;
        let mut missed = false;
        for ((key, wanted), answered) in batch.into_iter().zip(answers) {
            let Entry::Occupied(mut entry) = keys.counts.entry(key) else { continue };
            let count = entry.get_mut();
            let mut late = std::mem::take(&mut count.unconfirmed);
            let gone = count.confirmed && !answered.found;
            count.in_flight = false;
            count.confirmed = wanted;
            let mut waiting = count.waiting.take();
            for answer in waiting.iter_mut().flat_map(|waiting| waiting.now.drain(..)) {
                // The caller may have stopped waiting.
                late |= answer.send(answered.others).is_err();
            }
            missed |= wanted && (late || gone);
            count.waiting = waiting.filter(|waiting| !waiting.then.is_empty());
            if count.waiting.is_some() || (count.holders > 0) != count.confirmed {
                count.queued = true;
                keys.queue.push_back(entry.key().clone());
                self.pending.notify_one();
            } else if count.holders == 0 {
                entry.remove();
            }
        }
        missed
    }

    /// Handles a batch without an answer: it has to be sent again. Nobody waits for that.
    pub(super) fn failed(&self, batch: Vec<Wanted<K>>) {
        let mut keys = self.keys();
        let keys = &mut *keys;
        for (key, wanted) in batch {
            let Some(count) = keys.counts.get_mut(&key) else { continue };
            count.in_flight = false;
            // Registrations confirmed before are still expected to exist.
            count.confirmed &= wanted;
            count.unconfirmed |= count.waiting.take().is_some();
            count.queued = true;
            keys.queue.push_back(key);
        }
    }

    /// Redis is lost with its data: everything has to be sent again.
    pub(super) fn lost(&self) {
        let mut keys = self.keys();
        let keys = &mut *keys;
        keys.connected = false;
        keys.queue.clear();
        for (key, count) in &mut keys.counts {
            *count = Count { holders: count.holders, queued: true, ..Count::default() };
            keys.queue.push_back(key.clone());
        }
    }

    /// Removes all holders.
    pub(super) fn clear(&self) {
        let mut keys = self.keys();
        keys.counts.values_mut().for_each(|count| count.holders = 0);
        drop(keys);
        self.lost();
    }

    /// Marks Redis as up to date with everything held. Returns whether nothing is pending; from now on, callers that
    /// change a count wait for the confirmation.
    pub(super) fn connect(&self) -> bool {
        let mut keys = self.keys();
        keys.connected = keys.queue.is_empty();
        keys.connected
    }

    pub(super) fn disconnect(&self) {
        self.keys().connected = false;
    }
}

#[cfg(test)]
mod tests;
