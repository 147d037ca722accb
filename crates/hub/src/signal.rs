use std::collections::BTreeSet;

use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{RoomId, UserId};
use parlance_delivery::SharedFrame;

use crate::hub::Hub;
use crate::subscription::Mailbox;

/// The target sessions of a signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignalTarget<'a> {
    /// Sessions of members of these rooms.
    pub rooms: &'a [RoomId],
    /// Sessions of these users.
    pub users: &'a [UserId],
    /// Excluding sessions of these users.
    pub except: &'a [UserId],
    /// Include rooms with more members than signals are usually sent to.
    pub in_large_rooms: bool,
}

impl Hub {
    /// Sends a signal to its target sessions here, to each once.
    pub fn signal(&self, to: &SignalTarget<'_>, frame: &SharedFrame) {
        // Up to as many as one user blocks.
        let except: BTreeSet<&UserId> = to.except.iter().collect();
        let mut told = BTreeSet::new();
        let mut tell = |mailbox: &Mailbox| {
            if !except.contains(mailbox.user()) && told.insert(mailbox.session()) {
                mailbox.signal(frame.clone());
            }
        };
        for user in to.users {
            let mailboxes = self.users.get(user).map(|mailboxes| mailboxes.clone()).unwrap_or_default();
            mailboxes.iter().for_each(|mailbox| tell(mailbox));
        }
        let most = if to.in_large_rooms { u64::MAX } else { MAX_SIGNAL_MEMBERS };
        for room in to.rooms {
            let feed = self.feed(room);
            feed.iter().flat_map(|feed| feed.listeners(most)).for_each(|mailbox| tell(&mailbox));
        }
    }
}
