use std::fmt;

use parlance_core::{Text, TextError};

/// A line that cannot be sent, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsendable {
    /// The room, by its place in the plan.
    pub(super) room: usize,
    /// Line number in the file, from 1.
    pub(super) line: usize,
    pub(super) reason: Reason,
}

/// Why a line cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The line is empty.
    Empty,
    /// It is not a valid line of a log.
    Unparsable,
    /// It has no nick.
    Nameless,
    /// Its text contains only white space, or nothing.
    Blank,
    /// Its text contains a control character, or a direction override.
    Control,
    /// Its text is not UTF-8.
    NotUtf8,
    /// Its text is longer than the server accepts.
    TooLong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty line",
            Self::Unparsable => "unparsable line",
            Self::Nameless => "no nick",
            Self::Blank => "blank text",
            Self::Control => "control character in the text",
            Self::NotUtf8 => "text not UTF-8",
            Self::TooLong => "text over the limit",
        })
    }
}

impl Reason {
    /// The text to send to a server that accepts at most `max_bytes`.
    pub(super) fn check(text: &[u8], max_bytes: usize) -> Result<&str, Self> {
        if text.len() > max_bytes {
            return Err(Self::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| Self::NotUtf8)?;
        match Text::parse_new(text) {
            Ok(_) => Ok(text),
            Err(TextError::TooLong(_)) => Err(Self::TooLong),
            Err(TextError::Forbidden(_)) => Err(Self::Control),
            Err(_) => Err(Self::Blank),
        }
    }
}
