use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlance_core::UserId;

use crate::hub::Hub;
use crate::limits::{LEAST_SUBSCRIPTIONS, SUBSCRIPTION_BYTES};
use crate::subscription::Mailbox;

/// Rooms that a session has yet to subscribe to, counted like those that it is subscribed to. None once dropped.
pub struct Places {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    count: usize,
}

impl Places {
    /// Counts `count` rooms in place of those before.
    pub fn set(&mut self, count: usize) {
        self.hub.take_places(&self.mailbox, count);
        self.hub.give_back_places(&self.mailbox, self.count);
        self.count = count;
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Hub {
    /// No rooms yet that the session of `mailbox` has yet to subscribe to.
    pub fn places(self: &Arc<Self>, mailbox: &Arc<Mailbox>) -> Places {
        Places { hub: self.clone(), mailbox: mailbox.clone(), count: 0 }
    }

    /// The subscriptions of all sessions, with those to come.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// Those of all sessions of `user`.
    pub fn subscriptions_of(&self, user: &UserId) -> usize {
        let mailboxes = self.users.get(user);
        mailboxes.map_or(0, |all| all.iter().map(|one| one.subscriptions().load(Ordering::Relaxed)).sum())
    }

    /// The number of subscriptions beyond which no session is opened: three quarters of the memory for rooms, so that
    /// caches have some.
    pub fn most_subscriptions(&self) -> usize {
        (self.memory().limit() / 4 * 3 / SUBSCRIPTION_BYTES).max(LEAST_SUBSCRIPTIONS)
    }

    pub(crate) fn take_places(&self, mailbox: &Mailbox, count: usize) {
        mailbox.subscriptions().fetch_add(count, Ordering::Relaxed);
        self.subscriptions.fetch_add(count, Ordering::Relaxed);
        self.memory().take(count * SUBSCRIPTION_BYTES);
    }

    pub(crate) fn give_back_places(&self, mailbox: &Mailbox, count: usize) {
        mailbox.subscriptions().fetch_sub(count, Ordering::Relaxed);
        self.subscriptions.fetch_sub(count, Ordering::Relaxed);
        self.memory().give_back(count * SUBSCRIPTION_BYTES);
    }
}
