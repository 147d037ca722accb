//! Ids as validated strings. What has one of these types needs no further check.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::limits::MAX_ID_BYTES;

/// Why a string is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It has more than [`MAX_ID_BYTES`] bytes.
    #[error("must be at most {MAX_ID_BYTES} bytes")]
    TooLong,
    /// It holds a character that ids may not hold.
    #[error("may hold only letters, digits and -_.~@|:+= (found {0:?})")]
    Character(char),
    /// It is `.` or `..`, which clients fold away in a path.
    #[error("must not be . or ..")]
    Dots,
}

fn check(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong);
    }
    match id.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.~@|:+=".contains(*c))) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks that `id` is 1 to 64 bytes of ASCII letters, digits and `-_.~@|:+=`.
            pub fn parse(id: &str) -> Result<Self, IdError> {
                check(id)?;
                Ok(Self(id.into()))
            }

            /// Checks an id that is about to be taken: beside that it must not be `.` or `..`,
            /// which no HTTP client can put into a path. Ids of before that rule are stored.
            pub fn parse_new(id: &str) -> Result<Self, IdError> {
                match id {
                    "." | ".." => Err(IdError::Dots),
                    id => Self::parse(id),
                }
            }

            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// A user. In production the subject of the tokens that the app's backend signs.
    UserId
}
id! {
    /// A room. Made by [`RoomId::direct`] and [`RoomId::created`] only; parsed from clients.
    RoomId
}
id! {
    /// A request of one user, for recognising repeats; of a message the `client_message_id`.
    RequestId
}
id! {
    /// A device of one user.
    DeviceId
}

impl RoomId {
    /// The one direct room of two people, whichever of them asks.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Self::hashed('d', first.as_str(), second.as_str())
    }

    /// The room that `creator` asked for in `request`.
    pub fn created(creator: &UserId, request: &RequestId) -> Self {
        Self::hashed('r', creator.as_str(), request.as_str())
    }

    /// `kind` and 128 bits of a hash over both strings, each with its length before
    /// it, so that no other pair reads the same.
    fn hashed(kind: char, a: &str, b: &str) -> Self {
        use std::fmt::Write;

        let mut hash = Sha256::new();
        for part in [a, b] {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut id = String::with_capacity(33);
        id.push(kind);
        for byte in &hash.finalize()[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        Self(id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        assert!(UserId::parse("auth0|5f7c8ec7").is_ok());
        assert!(UserId::parse("a.b+c@example.org").is_ok());
        assert_eq!(UserId::parse(""), Err(IdError::Empty));
        assert_eq!(UserId::parse(&"x".repeat(65)), Err(IdError::TooLong));
        assert_eq!(UserId::parse("a b"), Err(IdError::Character(' ')));
        assert_eq!(UserId::parse("a/b"), Err(IdError::Character('/')));
        assert_eq!(UserId::parse("ä"), Err(IdError::Character('ä')));
        assert_eq!(UserId::parse("a\0"), Err(IdError::Character('\0')));
    }

    #[test]
    fn new_ids_can_be_part_of_a_path() {
        for id in [".", ".."] {
            assert_eq!(UserId::parse_new(id), Err(IdError::Dots));
            assert_eq!(UserId::parse(id).unwrap().as_str(), id, "it may be stored");
        }
        for id in ["...", ".a", "a.", "a..b"] {
            assert!(UserId::parse_new(id).is_ok(), "{id}");
        }
        assert_eq!(UserId::parse_new("a/b"), Err(IdError::Character('/')));
    }

    #[test]
    fn a_direct_room_is_the_same_from_both_sides_and_no_other() {
        let id = |s: &str| UserId::parse(s).unwrap();
        assert_eq!(RoomId::direct(&id("a"), &id("b")), RoomId::direct(&id("b"), &id("a")));
        assert_ne!(RoomId::direct(&id("ab"), &id("c")), RoomId::direct(&id("a"), &id("bc")));
    }

    /// Rooms are found again by this hash: it may never change.
    #[test]
    fn room_ids_are_stable() {
        let id = |s: &str| UserId::parse(s).unwrap();
        assert_eq!(RoomId::direct(&id("alice"), &id("bob")).as_str(), "d884a452152d3bf048cc051df8f708aff");
        let created = RoomId::created(&id("alice"), &RequestId::parse("1").unwrap());
        assert_eq!(created.as_str(), "rf41aab86fe0e6f3245e32d572d2460af");
    }
}
