use crate::{Body, Data, Entry, Event, MessageKind, Overlay, UserId};

/// The parts of a message that decide commands on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The sender.
    pub sender: UserId,
    /// What kind of message it is.
    pub kind: MessageKind,
    /// The current data.
    pub data: Data,
    /// The rest of its present form.
    pub overlay: Overlay,
}

impl Posted {
    /// The message of `entry`, if it is one.
    pub fn of(entry: Entry) -> Option<Self> {
        let Body::Message(message) = entry.event.body else { return None };
        Some(Self {
            sender: entry.event.actor,
            kind: message.kind,
            // Already merged with the overlay.
            data: message.data,
            overlay: entry.overlay.unwrap_or_default(),
        })
    }

    /// Folds in an event that changes the message. Others are ignored.
    pub(super) fn apply(&mut self, event: &Event) {
        match &event.body {
            Body::MessageEdited { data: Some(data), .. } => self.data = data.clone(),
            Body::MessageDeleted { .. } => self.data = Data::default(),
            _ => {}
        }
        self.overlay.apply(event);
    }
}
