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
    /// A room. Made by [`RoomId::direct`], [`RoomId::created`] and [`RoomId::created_unkeyed`], or
    /// chosen by the app; parsed from clients.
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

/// Why a string is no id that an app may give to a room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnIdError {
    /// It is no id at all.
    #[error(transparent)]
    Id(#[from] IdError),
    /// It has the form of the ids that servers make.
    #[error("must not be d or r and 32 hexadecimal digits, as ids that the server makes")]
    Reserved,
}

impl RoomId {
    /// Checks an id that the app has chosen for a room. None of those that servers make.
    pub fn parse_own(id: &str) -> Result<Self, OwnIdError> {
        let id = Self::parse_new(id)?;
        if id.is_made() { Err(OwnIdError::Reserved) } else { Ok(id) }
    }

    /// Whether it has the form of the id of a direct room.
    pub fn is_direct(&self) -> bool {
        self.is_made() && self.0.starts_with('d')
    }

    /// Whether it has the form of the ids that servers make.
    fn is_made(&self) -> bool {
        self.0.strip_prefix(['d', 'r']).is_some_and(|hash| {
            hash.len() == 32
                && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    }

    /// The one direct room of two people, whichever of them asks.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        Self::hashed('d', Sha256::digest(framed(first.as_str(), second.as_str())).into())
    }

    /// The room that `creator` asked for in `request`. Nobody without the key can compute it.
    pub fn created(key: &RoomIdKey, creator: &UserId, request: &RequestId) -> Self {
        Self::hashed('r', key.mac(&framed(creator.as_str(), request.as_str())))
    }

    /// The same as it was made before there were keys: computable by anyone. Only to find rooms
    /// of that time again.
    pub fn created_unkeyed(creator: &UserId, request: &RequestId) -> Self {
        Self::hashed('r', Sha256::digest(framed(creator.as_str(), request.as_str())).into())
    }

    /// `kind` and 128 bits of a hash.
    fn hashed(kind: char, hash: [u8; 32]) -> Self {
        use std::fmt::Write;

        let mut id = String::with_capacity(33);
        id.push(kind);
        for byte in &hash[..16] {
            let _ = write!(id, "{byte:02x}");
        }
        Self(id.into())
    }
}

/// Both strings, each with its length before it, so that no other pair reads the same.
fn framed(a: &str, b: &str) -> Vec<u8> {
    let mut framed = Vec::with_capacity(8 + a.len() + b.len());
    for part in [a, b] {
        framed.extend((part.len() as u32).to_be_bytes());
        framed.extend(part.as_bytes());
    }
    framed
}

/// The secret of a store by which ids of its groups and channels are made.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomIdKey([u8; Self::BYTES]);

impl RoomIdKey {
    /// Size of a key.
    pub const BYTES: usize = 32;

    /// The key of these random bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key, to store them.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// HMAC-SHA-256 (RFC 2104).
    fn mac(&self, message: &[u8]) -> [u8; 32] {
        const BLOCK: usize = 64;

        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(&self.0).for_each(|(byte, key)| *byte ^= key);
            Sha256::new().chain_update(block)
        };
        let inner = padded(0x36).chain_update(message).finalize();
        padded(0x5c).chain_update(inner).finalize().into()
    }
}

impl fmt::Debug for RoomIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomIdKey(..)")
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

    #[test]
    fn ids_of_the_apps_own_are_none_of_the_servers() {
        for id in [
            "order-42",
            "deal",
            "r2",
            "d884a452152d3bf048cc051df8f708af",
            "R884a452152d3bf048cc051df8f708aff",
        ] {
            assert_eq!(RoomId::parse_own(id).unwrap().as_str(), id);
            assert!(!RoomId::parse(id).unwrap().is_direct());
        }
        for id in ["d884a452152d3bf048cc051df8f708aff", "rf41aab86fe0e6f3245e32d572d2460af"] {
            assert_eq!(RoomId::parse_own(id), Err(OwnIdError::Reserved), "{id}");
        }
        assert_eq!(RoomId::parse_own("a/b"), Err(IdError::Character('/').into()));
        assert!(RoomId::parse("d884a452152d3bf048cc051df8f708aff").unwrap().is_direct());
        assert!(!RoomId::parse("rf41aab86fe0e6f3245e32d572d2460af").unwrap().is_direct());
    }

    /// Rooms are found again by this hash: it may never change.
    #[test]
    fn room_ids_are_stable() {
        let id = |s: &str| UserId::parse(s).unwrap();
        assert_eq!(RoomId::direct(&id("alice"), &id("bob")).as_str(), "d884a452152d3bf048cc051df8f708aff");
        let request = RequestId::parse("1").unwrap();
        let unkeyed = RoomId::created_unkeyed(&id("alice"), &request);
        assert_eq!(unkeyed.as_str(), "rf41aab86fe0e6f3245e32d572d2460af");
        let created = RoomId::created(&RoomIdKey::new([7; 32]), &id("alice"), &request);
        assert_eq!(created.as_str(), "raebcb64d536ca3a9e66e5dc28e5d0505");
        assert_ne!(RoomId::created(&RoomIdKey::new([8; 32]), &id("alice"), &request), created);
    }

    /// RFC 4231, test case 3 with its key padded to 32 bytes, which HMAC does as well.
    #[test]
    fn the_mac_is_hmac() {
        let mut key = [0; 32];
        key[..20].fill(0xaa);
        let mac = RoomIdKey::new(key).mac(&[0xdd; 50]);
        assert_eq!(mac[..8], [0x77, 0x3e, 0xa9, 0x1e, 0x36, 0x80, 0x0e, 0x46]);
    }
}
