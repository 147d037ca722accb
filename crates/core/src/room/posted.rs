use crate::{Body, Data, Entry, Event, MessageKind, Overlay, UserId};

/// A message as far as commands on it are decided by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Who sent it.
    pub sender: UserId,
    /// What kind of message it is.
    pub kind: MessageKind,
    /// Its data now.
    pub data: Data,
    /// Its present form beside that.
    pub overlay: Overlay,
}

impl Posted {
    /// The message of `entry`, if it is one.
    pub fn of(entry: Entry) -> Option<Self> {
        let Body::Message(message) = entry.event.body else { return None };
        Some(Self {
            sender: entry.event.actor,
            kind: message.kind,
            // Merged with the overlay.
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
