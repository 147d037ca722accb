//! Access to a store that may hang, fail or be full. Writes are made one after the other; further changes
//! are merged into the next one. Nothing waits for a store that has not answered in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::backoff;
use crate::command::{StorageState, StoreChange, StoredCommand};
use crate::random::Random;

/// Maximum time that anything waits for the store.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A write that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Storage {
    phase: Phase,
    state: StorageState,
    /// To be written next, by id: the latest change of each.
    pending: BTreeMap<String, Option<Vec<u8>>>,
    issued: u64,
    durable: u64,
    write: Option<Write>,
    writes: u64,
    failures: u32,
    retry_at: Option<Duration>,
}

#[derive(Debug)]
enum Phase {
    /// There is no store.
    None,
    /// To be read. Ids deleted meanwhile: the store may still have them.
    Loading {
        since: Option<Duration>,
        is_asked: bool,
        gone: BTreeSet<String>,
    },
    Loaded,
}

#[derive(Debug)]
struct Write {
    number: u64,
    since: Duration,
    changes: BTreeMap<String, Option<Vec<u8>>>,
    up_to: u64,
}

/// A task for the driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Load,
    Write { number: u64, changes: Vec<StoreChange> },
}

impl Storage {
    pub(super) fn new(exists: bool) -> Self {
        let phase = if exists {
            Phase::Loading { since: None, is_asked: false, gone: BTreeSet::new() }
        } else {
            Phase::None
        };
        Self {
            phase,
            state: StorageState::Opening,
            pending: BTreeMap::new(),
            issued: 0,
            durable: 0,
            write: None,
            writes: 0,
            failures: 0,
            retry_at: None,
        }
    }

    pub(super) fn state(&self) -> &StorageState {
        &self.state
    }

    /// Queues a change; see [`Storage::is_settled`].
    pub(super) fn put(&mut self, id: &str, record: Option<Vec<u8>>) -> Ticket {
        if matches!(self.phase, Phase::None) {
            return Ticket(0);
        }
        if let Phase::Loading { gone, .. } = &mut self.phase {
            if record.is_none() {
                gone.insert(id.to_owned());
            } else {
                gone.remove(id);
            }
        }
        self.issued += 1;
        self.pending.insert(id.to_owned(), record);
        Ticket(self.issued)
    }

    /// Whether a write is durable, or its store has timed out.
    pub(super) fn is_settled(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.durable || matches!(self.state, StorageState::Memory { .. })
    }

    /// Whether a write is durable.
    pub(super) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.durable
    }

    /// Whether the store no longer contains anything from before a write: it is durable, or nothing was ever
    /// read or written.
    pub(super) fn is_replaced(&self, ticket: Ticket) -> bool {
        self.is_durable(ticket) || !matches!(self.phase, Phase::Loaded)
    }

    /// Whether the stored commands are known, or the store has timed out.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Loading { .. }) || matches!(self.state, StorageState::Memory { .. })
    }

    /// Processes what was read; returns the commands that were not deleted since. Reads again after an
    /// error.
    pub(super) fn loaded(
        &mut self,
        now: Duration,
        result: Result<Vec<StoredCommand>, String>,
        random: &mut Random,
    ) -> Vec<StoredCommand> {
        let Phase::Loading { is_asked, gone, .. } = &mut self.phase else { return Vec::new() };
        match result {
            Ok(stored) => {
                let left = stored.into_iter().filter(|stored| !gone.contains(&stored.id)).collect();
                self.phase = Phase::Loaded;
                self.succeeded();
                left
            }
            Err(error) => {
                *is_asked = false;
                self.failed(now, error, random);
                Vec::new()
            }
        }
    }

    /// Processes the outcome of a write.
    pub(super) fn stored(
        &mut self,
        now: Duration,
        number: u64,
        result: Result<(), String>,
        random: &mut Random,
    ) {
        let Some(write) = self.write.take_if(|write| write.number == number) else { return };
        match result {
            Ok(()) => {
                self.durable = write.up_to;
                self.succeeded();
            }
            Err(error) => {
                // Later changes take precedence.
                for (id, record) in write.changes {
                    self.pending.entry(id).or_insert(record);
                }
                self.failed(now, error, random);
            }
        }
    }

    /// The next task, if it is due.
    pub(super) fn next_task(&mut self, now: Duration) -> Option<Task> {
        self.lose_patience(now);
        if self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        match &mut self.phase {
            Phase::None => None,
            Phase::Loading { is_asked: true, .. } => None,
            Phase::Loading { since, is_asked, .. } => {
                since.get_or_insert(now);
                *is_asked = true;
                Some(Task::Load)
            }
            Phase::Loaded if self.write.is_some() || self.pending.is_empty() => None,
            Phase::Loaded => {
                self.writes += 1;
                let changes = std::mem::take(&mut self.pending);
                let list =
                    changes.iter().map(|(id, record)| StoreChange { id: id.clone(), record: record.clone() });
                let list = list.collect();
                let number = self.writes;
                self.write = Some(Write { number, since: now, changes, up_to: self.issued });
                Some(Task::Write { number, changes: list })
            }
        }
    }

    /// When [`Storage::next_task`] has to be called again at the latest.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let is_awaited = !matches!(self.state, StorageState::Memory { .. });
        let retry = self.retry_at.filter(|_| self.write.is_none());
        [retry, self.asked_since().filter(|_| is_awaited).map(|since| since + PATIENCE)]
            .into_iter()
            .flatten()
            .min()
    }

    fn asked_since(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Loading { since, is_asked: true, .. } => *since,
            _ => self.write.as_ref().map(|write| write.since),
        }
    }

    fn lose_patience(&mut self, now: Duration) {
        let is_late = self.asked_since().is_some_and(|since| now >= since + PATIENCE);
        if is_late && !matches!(self.state, StorageState::Memory { .. }) {
            self.state = StorageState::Memory { error: "the store does not answer".to_owned() };
        }
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.state = StorageState::Durable;
    }

    fn failed(&mut self, now: Duration, error: String, random: &mut Random) {
        self.retry_at = Some(now + backoff::delay(self.failures, random));
        self.failures = self.failures.saturating_add(1);
        self.state = StorageState::Memory { error };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open() -> (Storage, Random) {
        let (mut storage, mut random) = (Storage::new(true), Random::new(1));
        assert_eq!(storage.next_task(SECOND), Some(Task::Load));
        assert_eq!(storage.loaded(SECOND, Ok(Vec::new()), &mut random), []);
        (storage, random)
    }

    fn change(id: &str, record: Option<&[u8]>) -> StoreChange {
        StoreChange { id: id.to_owned(), record: record.map(<[u8]>::to_vec) }
    }

    #[test]
    fn writes_made_during_a_write_are_combined() {
        let (mut storage, mut random) = open();
        let first = storage.put("a", Some(vec![1]));
        let write = storage.next_task(SECOND);
        assert_eq!(write, Some(Task::Write { number: 1, changes: vec![change("a", Some(&[1]))] }));
        let second = storage.put("a", None);
        storage.put("b", Some(vec![2]));
        assert_eq!(storage.next_task(SECOND), None);
        assert!(!storage.is_settled(first));
        storage.stored(SECOND, 1, Ok(()), &mut random);
        assert!(storage.is_settled(first) && !storage.is_settled(second));
        let changes = vec![change("a", None), change("b", Some(&[2]))];
        assert_eq!(storage.next_task(SECOND), Some(Task::Write { number: 2, changes }));
    }

    #[test]
    fn a_store_that_hangs_is_not_waited_for_and_nothing_overtakes_the_write() {
        let (mut storage, mut random) = open();
        let first = storage.put("a", Some(vec![1]));
        storage.next_task(SECOND);
        let due = storage.timeout().unwrap();
        assert_eq!(due, SECOND + PATIENCE);
        assert_eq!(storage.next_task(due), None);
        assert!(storage.is_settled(first) && matches!(storage.state(), StorageState::Memory { .. }));
        assert_eq!(storage.timeout(), None);
        let second = storage.put("a", None);
        assert!(storage.is_settled(second));
        assert_eq!(storage.next_task(due * 100), None);
        storage.stored(due * 100, 1, Ok(()), &mut random);
        assert_eq!(*storage.state(), StorageState::Durable);
        assert!(!storage.is_settled(second));
        assert!(matches!(storage.next_task(due * 100), Some(Task::Write { number: 2, .. })));
    }

    #[test]
    fn failed_write_is_repeated_unless_superseded() {
        let (mut storage, mut random) = open();
        storage.put("a", Some(vec![1]));
        storage.put("b", Some(vec![1]));
        storage.next_task(SECOND);
        let newer = storage.put("a", Some(vec![2]));
        storage.stored(SECOND, 1, Err("full".to_owned()), &mut random);
        assert_eq!(*storage.state(), StorageState::Memory { error: "full".to_owned() });
        assert!(storage.is_settled(newer));
        assert_eq!(storage.next_task(SECOND), None);
        let due = storage.timeout().unwrap();
        let changes = vec![change("a", Some(&[2])), change("b", Some(&[1]))];
        assert_eq!(storage.next_task(due), Some(Task::Write { number: 2, changes }));
        storage.stored(due, 2, Ok(()), &mut random);
        assert_eq!(*storage.state(), StorageState::Durable);
    }

    #[test]
    fn a_store_that_cannot_be_read_is_read_again_and_not_written_before() {
        let (mut storage, mut random) = (Storage::new(true), Random::new(1));
        storage.next_task(SECOND);
        storage.put("gone", Some(vec![1]));
        storage.put("gone", None);
        assert!(!storage.is_open());
        storage.loaded(SECOND, Err("locked".to_owned()), &mut random);
        assert!(storage.is_open());
        let due = storage.timeout().unwrap();
        assert_eq!(storage.next_task(due), Some(Task::Load));
        let stored = |id: &str| StoredCommand { id: id.to_owned(), record: vec![1] };
        let left = storage.loaded(due, Ok(vec![stored("gone"), stored("left")]), &mut random);
        assert_eq!(left, [stored("left")]);
        assert!(matches!(storage.next_task(due), Some(Task::Write { .. })));
    }

    #[test]
    fn without_a_store_nothing_waits() {
        let mut storage = Storage::new(false);
        let ticket = storage.put("a", Some(vec![1]));
        assert!(storage.is_settled(ticket) && storage.is_open());
        assert_eq!((storage.next_task(SECOND), storage.timeout()), (None, None));
    }
}
