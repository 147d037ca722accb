use parlance_runtime::rate::Bucket;
use tokio::time::Instant;

use crate::limits::{IDLE_FRAMES, LEAST_FRAGMENT};

/// Longest frame header: two bytes, a length of eight, and a mask.
const MOST_HEADER: usize = 14; // format

/// Parses the headers of incoming frames, and limits those that achieve nothing: pings, pongs, and tiny fragments. It reads
/// the bytes because the library returns only complete messages.
#[derive(Debug, Default)]
pub(super) struct FrameMeter {
    /// An incomplete header.
    header: [u8; MOST_HEADER],
    read: usize,
    /// Bytes until the next header.
    skip: u64,
    idle: Bucket,
}

impl FrameMeter {
    /// Examines received bytes. Returns false once there are too many frames that achieve nothing.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header[self.read] = first;
            self.read += 1;
            bytes = rest;
            if let Some(length) = self.payload() {
                (self.read, self.skip) = (0, length);
                if !self.allows(length, now) {
                    return false;
                }
            }
        }
        true
    }

    /// The length that a complete header says.
    fn payload(&self) -> Option<u64> {
        let second = *self.header[..self.read].get(1)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.read < 2 + extended + mask {
            return None;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(if extended == 0 { u64::from(second & 0x7f) } else { number(&self.header[2..2 + extended]) })
    }

    fn allows(&mut self, length: u64, now: Instant) -> bool {
        const FIN: u8 = 0x80;
        const CONTROL: u8 = 0x08;
        let first = self.header[0];
        let is_part = first & FIN == 0 && length < LEAST_FRAGMENT;
        let is_idle = first & CONTROL != 0 || is_part;
        !is_idle || self.idle.take(IDLE_FRAMES, now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{IDLE_FRAMES_BURST, IDLE_FRAMES_PER_SECOND};

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let head = match u8::try_from(length) {
            Ok(short @ 0..126) => vec![first, 0x80 | short],
            _ => [&[first, 0xfe][..], &(length as u16).to_be_bytes()].concat(),
        };
        [head, vec![1, 2, 3, 4], vec![0x89; length]].concat()
    }

    /// How many of a frame are accepted in a row, up to 10,000.
    fn allowed(meter: &mut FrameMeter, frame: &[u8], now: Instant) -> u32 {
        (0..10_000).take_while(|_| meter.received(frame, now)).count() as u32
    }

    #[test]
    fn frames_that_achieve_nothing_are_rate_limited() {
        // Pings and pongs, the first fragment of a message and further ones.
        for (first, length) in [(0x89, 0), (0x8a, 125), (0x01, 0), (0x02, 1), (0x00, 1)] {
            let (mut meter, now) = (FrameMeter::default(), Instant::now());
            let frame = frame(first, length);
            assert_eq!(allowed(&mut meter, &frame, now), IDLE_FRAMES_BURST, "{first:x}");
            let mut meter = FrameMeter::default();
            assert!((0..IDLE_FRAMES_BURST).all(|_| meter.received(&frame, now)));
            let later = now + Duration::from_secs(1);
            assert_eq!(allowed(&mut meter, &frame, later), IDLE_FRAMES_PER_SECOND, "{first:x}");
        }
    }

    #[test]
    fn messages_and_their_parts_are_not_counted() {
        for (first, length) in [(0x81, 0), (0x82, 200), (0x80, 0), (0x01, 1_000), (0x00, 70_000)] {
            let frame = frame(first, length % 65_536);
            assert_eq!(allowed(&mut FrameMeter::default(), &frame, Instant::now()), 10_000, "{first:x}");
        }
    }

    #[test]
    fn frames_are_parsed_across_any_split() {
        let frames = [frame(0x81, 300), frame(0x89, 3), frame(0x82, 10)].concat();
        for piece in [1, 2, 3, 7, 64] {
            let (mut meter, now) = (FrameMeter::default(), Instant::now());
            for _ in 0..10 {
                assert!(frames.chunks(piece).all(|piece| meter.received(piece, now)));
            }
            assert_eq!(allowed(&mut meter, &frame(0x89, 0), now), IDLE_FRAMES_BURST - 10, "{piece}");
        }
    }
}
