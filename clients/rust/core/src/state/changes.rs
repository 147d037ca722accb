//! Messages and their changes, in either order of arrival.

use std::sync::Arc;

use imbl::OrdMap;
use parlance_proto::v1;

use super::message::{Message, target_of};

/// Changes of one message kept separately. Beyond that, the oldest are merged into it.
const MAX_CHANGES: usize = 32;

/// A message in the latest form that was read, and later changes: a change that arrives late,
/// because it was read into a hole, is sorted among them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Changed {
    form: Arc<Message>,
    /// Later than the form, in ascending order.
    changes: Vec<Arc<v1::Event>>,
    /// The form with the changes applied.
    now: Arc<Message>,
}

impl Changed {
    pub(super) fn new(form: Message, changes: Vec<Arc<v1::Event>>) -> Self {
        let form = Arc::new(form);
        let mut changed = Self { now: Arc::clone(&form), form, changes };
        changed.settle();
        changed
    }

    /// The message in its current form.
    pub(super) fn now(&self) -> &Arc<Message> {
        &self.now
    }

    /// Applies another form of the message, unless the current one contains later changes.
    pub(super) fn read(&mut self, form: Message) {
        if form.changed_seq < self.form.changed_seq || form == *self.form {
            return;
        }
        self.form = Arc::new(form);
        self.settle();
    }

    pub(super) fn change(&mut self, event: &v1::Event) {
        if event.seq <= self.form.changed_seq {
            return;
        }
        let Err(place) = self.changes.binary_search_by_key(&event.seq, |change| change.seq) else { return };
        self.changes.insert(place, Arc::new(event.clone()));
        if self.changes.len() > MAX_CHANGES {
            let oldest = self.changes.remove(0);
            Arc::make_mut(&mut self.form).change(&oldest);
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.changes.retain(|change| change.seq > self.form.changed_seq);
        self.now = Arc::clone(&self.form);
        for change in &self.changes {
            Arc::make_mut(&mut self.now).change(change);
        }
    }
}

/// Changes of messages that are not loaded yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Early {
    by_seq: OrdMap<u64, Arc<v1::Event>>,
    limit: usize,
    /// Changes up to here may have been dropped.
    forgotten_to: u64,
}

impl Early {
    pub(super) fn new(limit: usize) -> Self {
        Self { by_seq: OrdMap::new(), limit, forgotten_to: 0 }
    }

    /// Keeps a change. If there are too many, the oldest is dropped.
    pub(super) fn keep(&mut self, event: &v1::Event) {
        if event.seq <= self.forgotten_to {
            return;
        }
        self.by_seq.insert(event.seq, Arc::new(event.clone()));
        if self.by_seq.len() > self.limit
            && let Some(oldest) = self.by_seq.get_min().map(|(seq, _)| *seq)
        {
            self.by_seq.remove(&oldest);
            self.forget(oldest);
        }
    }

    /// Changes up to a seq were dropped.
    pub(super) fn forget(&mut self, up_to: u64) {
        self.forgotten_to = self.forgotten_to.max(up_to);
    }

    /// Whether a form with all changes up to `as_of` lacks none of the dropped ones.
    pub(super) fn is_enough(&self, as_of: u64) -> bool {
        as_of >= self.forgotten_to
    }

    /// Takes the changes of a message that is loaded now.
    pub(super) fn take(&mut self, target: u64) -> Vec<Arc<v1::Event>> {
        let of_it = |event: &&Arc<v1::Event>| target_of(event) == Some(target);
        let changes: Vec<_> = self.by_seq.values().filter(of_it).cloned().collect();
        for change in &changes {
            self.by_seq.remove(&change.seq);
        }
        changes
    }

    /// Drops the changes of messages before a seq, which are not needed.
    pub(super) fn drop_before(&mut self, target: u64) {
        let old = |event: &&Arc<v1::Event>| target_of(event) < Some(target);
        let old: Vec<u64> = self.by_seq.values().filter(old).map(|event| event.seq).collect();
        for seq in old {
            self.by_seq.remove(&seq);
        }
    }
}
