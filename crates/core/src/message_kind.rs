//! What kind of message it is.

use std::fmt;
use std::sync::Arc;

use crate::limits::MAX_CUSTOM_KIND_BYTES;

/// Why a string is not a kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be text, system, or custom: and 1 to {MAX_CUSTOM_KIND_BYTES} of a-z, 0-9 and -_.")]
pub struct NotAKind;

/// The kind of a message: how clients show it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MessageKind {
    /// Written by a user.
    #[default]
    Text,
    /// Written by the app. Needs the `service` scope.
    System,
    /// An app-defined kind.
    Custom(Arc<str>),
}

const CUSTOM: &str = "custom:";

impl MessageKind {
    /// Parses `text` (or nothing), `system`, `custom:name`.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(kind: &str) -> Result<Self, NotAKind> {
        match kind {
            "" | "text" => Ok(Self::Text),
            "system" => Ok(Self::System),
            _ => {
                let name = kind.strip_prefix(CUSTOM).ok_or(NotAKind)?;
                let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
                if name.is_empty() || name.len() > MAX_CUSTOM_KIND_BYTES || !name.chars().all(is_good) {
                    return Err(NotAKind);
                }
                Ok(Self::Custom(name.into()))
            }
        }
    }

    /// Whether its text may be empty.
    pub fn may_be_blank(&self) -> bool {
        *self != Self::Text
    }
}

/// The stored and sent form: empty for `text`, as before kinds were introduced.
impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => Ok(()),
            Self::System => f.write_str("system"),
            Self::Custom(name) => write!(f, "{CUSTOM}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back() {
        for kind in ["", "system", "custom:poll", "custom:order.status-2"] {
            assert_eq!(MessageKind::parse(kind).unwrap().to_string(), kind);
        }
        assert_eq!(MessageKind::parse("text"), Ok(MessageKind::Text));
        let long = format!("custom:{}", "x".repeat(MAX_CUSTOM_KIND_BYTES + 1));
        for kind in ["Text", "poll", "custom", "custom:", "custom:Poll", "custom:a b", &long] {
            assert_eq!(MessageKind::parse(kind), Err(NotAKind), "{kind}");
        }
    }
}
