//! User ids for IRC nicks.
//!
//! A nick may be any bytes; a user id is 1 to 64 ASCII letters, digits and a few signs.
//! The encoding:
//!
//! 1. ASCII letters, digits and `-` are kept; every other byte becomes `_XX`, its value as
//!    two upper-case hexadecimal digits. `D[4]ni` is `D_5B4_5Dni`.
//! 2. A result longer than 64 bytes is cut to 47, and ends in `.` and the first 16
//!    hexadecimal digits of the SHA-256 of the nick.
//! 3. The nick `me`, which refers to the caller in the contract, becomes `_6De`.
//!
//! Thus ids of different nicks differ (for cut ones, except for a collision of 64 bits),
//! and no id with another sign, such as `:`, is the id of a nick.

use std::fmt::Write;

use parlance_core::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use sha2::{Digest, Sha256};

/// Bytes of `.` and the digits of the hash.
const MARK_BYTES: usize = 17;

/// The user id of a nick, which must not be empty.
pub(super) fn user_id(nick: &[u8]) -> String {
    if nick == b"me" {
        return "_6De".to_owned();
    }
    let mut id = String::with_capacity(nick.len());
    for byte in nick {
        if byte.is_ascii_alphanumeric() || *byte == b'-' {
            id.push(char::from(*byte));
        } else {
            let _ = write!(id, "_{byte:02X}");
        }
    }
    if id.len() > MAX_ID_BYTES {
        id.truncate(MAX_ID_BYTES - MARK_BYTES);
        id.push('.');
        for byte in &Sha256::digest(nick)[..8] {
            let _ = write!(id, "{byte:02x}");
        }
    }
    id
}

/// The display name for a nick (or the title for a file name): its text, lossily decoded
/// if it is not UTF-8, cut to the maximum length. Empty if nothing visible is left, in
/// which case the server shows the id.
pub(super) fn display_name(nick: &[u8]) -> String {
    let name = String::from_utf8_lossy(nick);
    let fits = |end: &usize| name.is_char_boundary(*end);
    let name = &name[..(0..=name.len().min(MAX_NAME_BYTES)).rev().find(fits).unwrap_or(0)];
    if name.trim().is_empty() { String::new() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parlance_core::UserId;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rule_by_example() {
        assert_eq!(user_id(b"D[4]ni"), "D_5B4_5Dni");
        assert_eq!(user_id(b"some-one"), "some-one");
        assert_eq!(user_id(b"some_one"), "some_5Fone");
        assert_eq!(user_id("jörg".as_bytes()), "j_C3_B6rg");
        assert_eq!(user_id(b"\xff\0"), "_FF_00");
        assert_eq!(user_id(b"me"), "_6De");
        let sixty_four = [b'x'; 64];
        assert_eq!(user_id(&sixty_four).as_bytes(), sixty_four);
        let cut = user_id(&[b'x'; 65]);
        assert_eq!(cut, format!("{}.9537c5fdf120482f", "x".repeat(47)));
    }

    #[test]
    fn names_are_shown_as_far_as_they_can_be() {
        assert_eq!(display_name("jörg".as_bytes()), "jörg");
        assert_eq!(display_name(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(display_name(b" \t"), "");
        assert_eq!(display_name("ö".repeat(200).as_bytes()), "ö".repeat(128));
        assert_eq!(display_name(&[b'\xff'; 300]).len(), 255);
    }

    /// Decodes ids that were not cut.
    fn nick_of(id: &str) -> Vec<u8> {
        let mut nick = Vec::new();
        let mut bytes = id.bytes();
        while let Some(byte) = bytes.next() {
            if byte == b'_' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                nick.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                nick.push(byte);
            }
        }
        nick
    }

    proptest! {
        #[test]
        fn any_nick_has_a_valid_id_that_tells_it_apart(nick in proptest::collection::vec(any::<u8>(), 1..100)) {
            let id = user_id(&nick);
            prop_assert!(UserId::parse(&id).is_ok());
            if !id.contains('.') {
                prop_assert_eq!(nick_of(&id), nick);
            }
        }

        #[test]
        fn similar_nicks_have_different_ids(
            nicks in proptest::collection::hash_set(
                proptest::collection::vec(prop_oneof![Just(b'_'), Just(b'.'), Just(b'5'), Just(b'F'), Just(b'x')], 1..80),
                1..20,
            )
        ) {
            let mut ids = HashMap::new();
            for nick in nicks {
                let other = ids.insert(user_id(&nick), nick.clone());
                prop_assert!(other.is_none(), "{:?} and {:?}", other, nick);
            }
        }
    }
}
