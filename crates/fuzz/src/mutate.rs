//! Changes to inputs.

use crate::limits::{MAX_INPUT, MAX_MUTATIONS};

/// Bytes at which parsers decide.
const TELLING: [u8; 16] =
    [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'}', b'[', b']', b',', b':', b'.', b'\\', b'\n', b' '];

/// Lengths and numbers at which integers overflow or limits end.
const NUMBERS: [u64; 12] = [
    0,
    1,
    127,
    128,
    255,
    65_535,
    65_536,
    i32::MAX as u64,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// A generator of numbers, the same for each seed: splitmix64.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// Changes `input` in one to five places, with pieces of `other` and of the `dictionary` among others.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], dictionary: &[&[u8]], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(MAX_MUTATIONS) {
        let at = numbers.below(input.len() + 1);
        let length = 1 + numbers.below(8);
        let end = (at + length).min(input.len());
        match numbers.below(11) {
            0 => change(input, at, |byte, numbers| byte ^ (1 << numbers.below(8)), numbers),
            1 => change(input, at, |_, numbers| numbers.draw() as u8, numbers),
            2 => change(input, at, |byte, numbers| numbers.pick(&TELLING).copied().unwrap_or(byte), numbers),
            3 => drop(input.drain(at.min(end)..end)),
            4 => {
                let copied = input[at.min(end)..end].to_vec();
                insert(input, at, &copied);
            }
            5 => input.truncate(at),
            6 => {
                let word = numbers.pick(dictionary).copied().unwrap_or(b"\0");
                insert(input, at, word);
            }
            7 => {
                let begin = numbers.below(other.len());
                let piece = &other[begin..(begin + 1 + numbers.below(64)).min(other.len())];
                insert(input, at, piece);
            }
            8 => {
                // The begin of one and the end of the other.
                input.truncate(at);
                input.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
            }
            9 => {
                let number = numbers.pick(&NUMBERS).copied().unwrap_or_default();
                let bytes = number.to_be_bytes();
                let width = [1, 2, 4, 8][numbers.below(4)];
                overwrite(input, at, &bytes[bytes.len() - width..]);
            }
            _ => insert(input, at, &varint(numbers.pick(&NUMBERS).copied().unwrap_or_default())),
        }
        input.truncate(MAX_INPUT);
    }
}

fn change(input: &mut [u8], at: usize, to: impl FnOnce(u8, &mut Numbers) -> u8, numbers: &mut Numbers) {
    if let Some(byte) = input.get_mut(at) {
        *byte = to(*byte, numbers);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// A number as in protobuf.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
