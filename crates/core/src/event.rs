use std::sync::Arc;

use crate::{Data, Emoji, MessageKind, Reason, RequestId, Role, RoomKind, Settings, Text, Timestamp, UserId};

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the log; the first is 1.
    pub seq: u64,
    /// When it was decided. Never before the event at `seq - 1`.
    pub at: Timestamp,
    /// The user who caused it.
    pub actor: UserId,
    /// The app's own backend, if it acted on behalf of `actor`.
    pub service: Option<UserId>,
    /// The actor's id for the request. All events of one request share it.
    pub request: RequestId,
    /// Messages in the room up to and including this event.
    pub message_count: u64,
    /// Messages of the room that were deleted up to and including this event. Too low if there
    /// were deletions before this count existed.
    pub deleted_count: u64,
    /// What happened.
    pub body: Body,
    /// The encoded body and further fields, if a later version wrote something there that this
    /// version cannot interpret. Stored, published and delivered in place of `body`.
    pub unknown: Unknown,
}

impl Event {
    /// The event for a reader who may not see the message that it changes: only the fact of
    /// the change, not its content. `None` where there is no content to remove.
    pub fn without_content(&self) -> Option<Self> {
        let body = match self.body.without_content() {
            Some(body) => body,
            None if self.body.target().is_some() && !self.unknown.is_empty() => self.body.clone(),
            None => return None,
        };
        Some(Self { body, unknown: Unknown::default(), ..self.clone() })
    }
}

/// Encoded data of a later version, kept unchanged. Nearly always empty, and one word in size
/// then; copies share it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unknown(Option<Arc<Vec<u8>>>);

impl Unknown {
    /// Keeps `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| Arc::new(bytes)))
    }

    /// The encoded data.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes)
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The room was created. Always and only at seq 1.
    RoomCreated {
        /// Its kind.
        kind: RoomKind,
        /// Its first settings.
        settings: Settings,
    },
    /// The settings changed to these.
    RoomChanged {
        /// All of them, after the change.
        settings: Settings,
    },
    /// A user became a member.
    MemberAdded {
        /// The user.
        user: UserId,
        /// Their role.
        role: Role,
        /// The link that they joined by.
        link: Option<u64>,
    },
    /// A member left or was removed.
    MemberRemoved {
        /// The user.
        user: UserId,
    },
    /// A user who is not a member was banned from becoming one.
    MemberBanned {
        /// The user.
        user: UserId,
        /// When it ends by itself; `None` if it does not.
        until: Option<Timestamp>,
        /// Why.
        reason: Reason,
    },
    /// A ban was lifted.
    MemberUnbanned {
        /// The user.
        user: UserId,
    },
    /// Someone may not send, edit or react.
    MemberMuted {
        /// Who.
        user: UserId,
        /// When it ends by itself; `None` if it does not.
        until: Option<Timestamp>,
        /// Why.
        reason: Reason,
    },
    /// A mute was lifted.
    MemberUnmuted {
        /// Who.
        user: UserId,
    },
    /// A user was invited to become a member, or again.
    MemberInvited {
        /// Who.
        user: UserId,
        /// When the invitation expires.
        until: Timestamp,
    },
    /// An invitation was declined, if the actor is whom it was for; otherwise it was revoked.
    InvitationEnded {
        /// Who was invited.
        user: UserId,
    },
    /// A link was made by which users join. Its secret is in no event.
    LinkCreated {
        /// When it expires.
        until: Timestamp,
        /// How many may join by it; 0 for any number.
        max_uses: u32,
    },
    /// A link was taken back.
    LinkRevoked {
        /// The link: the event that made it.
        link: u64,
    },
    /// A user asks to become a member.
    JoinRequested {
        /// Who.
        user: UserId,
        /// When the request expires.
        until: Timestamp,
    },
    /// A request to join was withdrawn, if the actor is who asked; otherwise it was rejected.
    JoinRequestEnded {
        /// Who asked.
        user: UserId,
    },
    /// What the app keeps about a member changed.
    MemberUpdated {
        /// The user.
        user: UserId,
        /// All of it after the change; `None` once it was changed again, or the membership has ended.
        data: Option<Data>,
    },
    /// A member's role changed.
    RoleChanged {
        /// The user.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// A message.
    Message(Message),
    /// A message's text was replaced.
    MessageEdited {
        /// The message's seq.
        target: u64,
        /// Its new text.
        text: Text,
        /// All of its data after the edit; `None` if the data did not change.
        data: Option<Data>,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The message's seq.
        target: u64,
    },
    /// The actor reacted to a message.
    ReactionAdded {
        /// The message's seq.
        target: u64,
        /// The emoji.
        emoji: Emoji,
    },
    /// The actor removed a reaction.
    ReactionRemoved {
        /// The message's seq.
        target: u64,
        /// The emoji.
        emoji: Emoji,
    },
    /// The room was deleted; always its last event.
    RoomDeleted,
    /// An event of a kind that only later versions know. Its content is in [`Event::unknown`].
    Other,
}

impl Body {
    /// The message that this event changes.
    pub fn target(&self) -> Option<u64> {
        match self {
            Self::MessageEdited { target, .. }
            | Self::MessageDeleted { target }
            | Self::ReactionAdded { target, .. }
            | Self::ReactionRemoved { target, .. } => Some(*target),
            _ => None,
        }
    }

    /// See [`Event::without_content`].
    fn without_content(&self) -> Option<Self> {
        let target = self.target()?;
        match self {
            Self::MessageEdited { .. } => {
                Some(Self::MessageEdited { target, text: Text::empty(), data: None })
            }
            Self::ReactionAdded { .. } => Some(Self::ReactionAdded { target, emoji: Emoji::hidden() }),
            Self::ReactionRemoved { .. } => Some(Self::ReactionRemoved { target, emoji: Emoji::hidden() }),
            _ => None,
        }
    }

    /// Whether it is a message that was imported.
    pub fn is_imported(&self) -> bool {
        matches!(self, Self::Message(message) if message.imported.is_some())
    }

    /// Whether it is a message that its sender has sent here.
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::Message(message) if message.imported.is_none())
    }

    /// Bytes of free text and data: the part of an event that varies in size.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.text.as_str().len() + message.data.bytes(),
            Self::MessageEdited { text, data, .. } => {
                text.as_str().len() + data.as_ref().map_or(0, Data::bytes)
            }
            Self::RoomCreated { settings, .. } | Self::RoomChanged { settings } => {
                let texts = [settings.title.as_str(), settings.topic.as_str(), settings.image.as_str()];
                texts.iter().map(|text| text.len()).sum::<usize>() + settings.data.bytes()
            }
            Self::MemberUpdated { data, .. } => data.as_ref().map_or(0, Data::bytes),
            Self::MemberBanned { reason, .. } | Self::MemberMuted { reason, .. } => reason.as_str().len(),
            _ => 0,
        }
    }
}

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text.
    pub text: Text,
    /// The message it answers.
    pub reply_to: Option<u64>,
    /// What kind of message it is.
    pub kind: MessageKind,
    /// The app's own data.
    pub data: Data,
    /// Where it comes from, if it was imported.
    pub imported: Option<Imported>,
    /// Whether it mentions everyone in the room.
    pub mentions_all: bool,
}

impl Message {
    /// A message with text only.
    pub fn plain(text: Text) -> Self {
        Self {
            text,
            reply_to: None,
            kind: MessageKind::Text,
            data: Data::default(),
            imported: None,
            mentions_all: false,
        }
    }
}

/// A message's place in the history that it was imported from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Its number among the imported messages of the room: 1, 2, 3, …
    pub number: u64,
    /// When it was sent there.
    pub sent_at: Timestamp,
}
