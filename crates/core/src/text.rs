//! Free text as validated values.

use std::sync::Arc;

use crate::limits::{MAX_EMOJI_BYTES, MAX_NAME_BYTES, MAX_TEXT_BYTES, MAX_TOPIC_BYTES};

/// Why a string is not such a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is empty or holds only white space.
    #[error("must not be blank")]
    Blank,
    /// It has more than this many bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// It holds white space or a control character where none may be.
    #[error("must not hold white space or control characters")]
    Character,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// The text of a message: not blank, at most [`MAX_TEXT_BYTES`].
    Text
}
text! {
    /// A user's display name: not blank, at most [`MAX_NAME_BYTES`].
    Name
}
text! {
    /// A room's title: at most [`MAX_NAME_BYTES`]; may be empty.
    Title
}
text! {
    /// A room's topic: at most [`MAX_TOPIC_BYTES`]; may be empty.
    Topic
}
text! {
    /// A reaction: 1 to [`MAX_EMOJI_BYTES`] bytes without white space.
    Emoji
}

fn bounded(text: &str, max: usize) -> Result<(), TextError> {
    if text.len() > max { Err(TextError::TooLong(max)) } else { Ok(()) }
}

fn not_blank(text: &str) -> Result<(), TextError> {
    if text.trim().is_empty() { Err(TextError::Blank) } else { Ok(()) }
}

impl Text {
    /// Checks the text of a message.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        bounded(text, MAX_TEXT_BYTES)?;
        not_blank(text)?;
        Ok(Self(text.into()))
    }

    /// What is left of a deleted message's text.
    pub fn deleted() -> Self {
        Self("".into())
    }
}

impl Name {
    /// Checks a display name.
    pub fn parse(name: &str) -> Result<Self, TextError> {
        bounded(name, MAX_NAME_BYTES)?;
        not_blank(name)?;
        Ok(Self(name.into()))
    }
}

impl Title {
    /// Checks a title.
    pub fn parse(title: &str) -> Result<Self, TextError> {
        bounded(title, MAX_NAME_BYTES)?;
        Ok(Self(title.into()))
    }
}

impl Topic {
    /// Checks a topic.
    pub fn parse(topic: &str) -> Result<Self, TextError> {
        bounded(topic, MAX_TOPIC_BYTES)?;
        Ok(Self(topic.into()))
    }
}

impl Default for Title {
    fn default() -> Self {
        Self("".into())
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self("".into())
    }
}

impl Emoji {
    /// Checks a reaction.
    pub fn parse(emoji: &str) -> Result<Self, TextError> {
        bounded(emoji, MAX_EMOJI_BYTES)?;
        not_blank(emoji)?;
        if emoji.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TextError::Character);
        }
        Ok(Self(emoji.into()))
    }
}
