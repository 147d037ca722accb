use std::collections::BTreeSet;

use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{RoomId, UserId};
use parlance_delivery::SharedFrame;

use crate::hub::Hub;
use crate::subscription::Mailbox;

/// The sessions that a signal is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignalTarget<'a> {
    /// Those of members of these rooms.
    pub rooms: &'a [RoomId],
    /// Those of these users.
    pub users: &'a [UserId],
    /// Not those of this user.
    pub except: Option<&'a UserId>,
    /// Rooms with more members than most signals are sent to are not left out.
    pub in_large_rooms: bool,
}

impl Hub {
    /// Sends a signal to the sessions here that it is for, each once.
    pub fn signal(&self, to: &SignalTarget<'_>, frame: &SharedFrame) {
        let mut told = BTreeSet::new();
        let mut tell = |mailbox: &Mailbox| {
            if to.except != Some(mailbox.user()) && told.insert(mailbox.session()) {
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
