use std::cmp::Ordering;
use std::sync::Arc;

use super::rules::{TextError, bounded, no_controls, no_directions, not_blank, visible};
use crate::limits::MAX_EMOJI_BYTES;

/// A reaction: 1 to [`MAX_EMOJI_BYTES`] bytes without white space. Compared without variation selectors: keyboards
/// differ in adding them, and users see the same emoji.
#[derive(Debug, Clone)]
pub struct Emoji(Arc<str>);

impl Emoji {
    /// The emoji as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A reaction stored next to the log, perhaps by a version with other rules.
    pub fn stored(emoji: &str) -> Self {
        Self(emoji.into())
    }

    /// The characters relevant for comparison: without the selectors of the text form (U+FE0E) and the emoji form
    /// (U+FE0F).
    fn compared(&self) -> impl Iterator<Item = char> {
        self.0.chars().filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}'))
    }

    /// Placeholder for a reaction to a message that the reader may not see.
    pub fn hidden() -> Self {
        Self("".into())
    }

    /// Validates a new reaction: visible, and usable as a path segment.
    pub fn parse_new(emoji: &str) -> Result<Self, TextError> {
        let parsed = Self::parse(emoji)?;
        no_controls(emoji, &[])?;
        no_directions(emoji)?;
        visible(emoji)?;
        match emoji {
            "." | ".." => Err(TextError::Dots),
            _ => Ok(parsed),
        }
    }

    /// Validates a reaction that was accepted before.
    pub fn parse(emoji: &str) -> Result<Self, TextError> {
        bounded(emoji, MAX_EMOJI_BYTES)?;
        not_blank(emoji)?;
        if emoji.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TextError::Character);
        }
        Ok(Self(emoji.into()))
    }
}

impl PartialEq for Emoji {
    fn eq(&self, other: &Self) -> bool {
        self.compared().eq(other.compared())
    }
}

impl Eq for Emoji {}

impl Ord for Emoji {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compared().cmp(other.compared())
    }
}

impl PartialOrd for Emoji {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
