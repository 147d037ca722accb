//! The last message of a room.

use std::sync::Arc;

use parlance_proto::v1;

use super::changes::{Changed, Early};
use super::message::{Message, target_of};

/// Maximum number of changes of messages that are not loaded.
const MAX_EARLY: usize = 64;

/// The last message of a room.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastMessage {
    held: Option<Changed>,
    /// Changes of later messages that arrived before the message.
    early: Early,
}

impl Default for LastMessage {
    fn default() -> Self {
        Self { held: None, early: Early::new(MAX_EARLY) }
    }
}

impl LastMessage {
    pub(super) fn message(&self) -> Option<&Arc<Message>> {
        self.held.as_ref().map(Changed::now)
    }

    /// Applies a received event.
    pub(super) fn event(&mut self, event: &v1::Event) {
        if let Some(message) = Message::of(event) {
            return self.read(message, event.seq);
        }
        let Some(target) = target_of(event) else { return };
        let seq = self.seq();
        match &mut self.held {
            Some(held) if target == seq => held.change(event),
            _ if target > seq => self.early.keep(event),
            _ => {}
        }
    }

    /// Applies a message in its form with all changes up to `as_of`.
    pub(super) fn read(&mut self, message: Message, as_of: u64) {
        let (seq, held) = (message.seq, self.seq());
        if seq < held || !self.early.is_enough(as_of) {
            return;
        }
        match &mut self.held {
            Some(held) if held.now().seq == seq => held.read(message),
            held => *held = Some(Changed::new(message, self.early.take(seq))),
        }
        self.early.drop_before(seq);
    }

    fn seq(&self) -> u64 {
        self.message().map_or(0, |message| message.seq)
    }
}
