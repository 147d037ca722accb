use parlance_core::RoomIdKey;

use crate::error::StoreError;
use crate::hex::hex;
use crate::random::random;

/// How ids of groups and channels are derived in a store. Created once; copies and restored backups keep it, since
/// repeats of earlier requests must find their rooms there too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomIds {
    /// Derives ids of new rooms.
    pub key: RoomIdKey,
    /// Whether the store was in use before it had a key: some rooms may have ids derived without one.
    pub some_unkeyed: bool,
}

impl RoomIds {
    /// For a store without a key; `in_use` if it has rooms.
    pub(crate) fn generate(in_use: bool) -> Result<Self, StoreError> {
        Ok(Self { key: RoomIdKey::new(random()?), some_unkeyed: in_use })
    }

    /// The key in hexadecimal.
    pub(crate) fn key_text(&self) -> String {
        hex(self.key.as_bytes())
    }

    pub(crate) fn parse(key: &str, some_unkeyed: bool) -> Option<Self> {
        let mut bytes = [0; RoomIdKey::BYTES];
        let digits = key.as_bytes();
        if digits.len() != 2 * bytes.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self { key: RoomIdKey::new(bytes), some_unkeyed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_round_trips() {
        let ids = RoomIds::generate(true).unwrap();
        let text = ids.key_text();
        assert_eq!(RoomIds::parse(&text, true), Some(ids.clone()));
        assert_ne!(RoomIds::generate(true).unwrap(), ids);
        for damaged in ["", &text[1..], &format!("{text}0"), &text.replace(&text[..1], "x")] {
            assert_eq!(RoomIds::parse(damaged, true), None, "{damaged}");
        }
    }
}
