use parlance_runtime::rate::Bucket;
use tokio::time::Instant;

use crate::field_meter::FieldMeter;
use crate::limits::{BYTES_PER_WINDOW_UPDATE, IDLE_FRAMES, LEAST_DATA, WINDOW_UPDATES};

/// Length of a frame header.
const HEADER: usize = 9; // format

/// The largest frame that is accepted: the library ends the connection for a larger one.
const MAX_FRAME: usize = 16_384; // format

/// Length of the preface before the first frame.
const PREFACE: usize = 24; // format

/// Parses the headers of incoming frames, and limits those that achieve nothing: each costs the peer 9 bytes, and the
/// server more. So do fields that no request may have, of a byte each.
#[derive(Debug)]
pub(crate) struct FrameMeter {
    /// An incomplete header.
    header: [u8; HEADER],
    read: usize,
    /// Bytes until the next header.
    skip: usize,
    /// Of these, bytes of a header block. It follows as many others, of which the first may say how many bytes of padding
    /// follow it.
    block: usize,
    before_block: usize,
    is_padded: bool,
    /// `None`: fields are those of many clients.
    fields: Option<FieldMeter>,
    idle: Bucket,
    /// Window updates that are still allowed. Not a rate: they are earned by bytes written, not by time.
    window_updates: u32,
    /// Bytes written since the last window update they allow.
    written: u64,
}

impl FrameMeter {
    /// A meter that also counts fields, or not.
    pub(crate) fn new(counts_fields: bool) -> Self {
        Self {
            header: [0; HEADER],
            read: 0,
            skip: PREFACE,
            block: 0,
            before_block: 0,
            is_padded: false,
            fields: counts_fields.then(FieldMeter::default),
            idle: Bucket::default(),
            window_updates: 0,
            written: 0,
        }
    }

    /// Records bytes written to the peer, which may open the window by the same amount.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        let granted = self.written / BYTES_PER_WINDOW_UPDATE;
        self.written %= BYTES_PER_WINDOW_UPDATE;
        let granted = u32::try_from(granted).unwrap_or(u32::MAX);
        self.window_updates = self.window_updates.saturating_add(granted).min(WINDOW_UPDATES);
    }

    /// Examines received bytes. Returns false once there are too many frames that achieve nothing, or fields that no request
    /// may have.
    pub(crate) fn received(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let (skipped, rest) = bytes.split_at(self.skip.min(bytes.len()));
                self.skip -= skipped.len();
                bytes = rest;
                if self.block > 0 && !self.allows_fields(skipped, now) {
                    return false;
                }
                continue;
            }
            let taken = (HEADER - self.read).min(bytes.len());
            self.header[self.read..self.read + taken].copy_from_slice(&bytes[..taken]);
            self.read += taken;
            bytes = &bytes[taken..];
            if self.read == HEADER {
                self.read = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.skip = length;
                self.begin_block(kind, flags, length);
                if !self.allows(kind, flags, length, now) {
                    return false;
                }
            }
        }
        true
    }

    fn begin_block(&mut self, kind: u8, flags: u8, length: usize) {
        const HEADERS: u8 = 1;
        const CONTINUATION: u8 = 9;
        const PADDED: u8 = 8;
        const PRIORITY: u8 = 0x20;
        let Some(fields) = &mut self.fields else { return };
        let is_block = matches!(kind, HEADERS | CONTINUATION) && length <= MAX_FRAME;
        self.block = if is_block { length } else { 0 };
        if kind == HEADERS && is_block {
            fields.begin();
            self.is_padded = flags & PADDED != 0;
            self.before_block = usize::from(self.is_padded) + if flags & PRIORITY != 0 { 5 } else { 0 };
            self.block = length.saturating_sub(self.before_block);
        }
    }

    /// Counts the fields in bytes of a frame with a block.
    fn allows_fields(&mut self, bytes: &[u8], now: Instant) -> bool {
        let Some(fields) = &mut self.fields else { return true };
        if self.is_padded
            && let Some(padding) = bytes.first()
        {
            self.is_padded = false;
            self.block = self.block.saturating_sub(usize::from(*padding));
        }
        let before = self.before_block.min(bytes.len());
        self.before_block -= before;
        let piece = &bytes[before..];
        let piece = &piece[..self.block.min(piece.len())];
        self.block -= piece.len();
        let excess = fields.received(piece);
        self.idle.take_many(IDLE_FRAMES, excess, now).is_ok()
    }

    fn allows(&mut self, kind: u8, flags: u8, length: usize, now: Instant) -> bool {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const WINDOW_UPDATE: u8 = 8;
        const CONTINUATION: u8 = 9;
        const END_STREAM: u8 = 1;
        match kind {
            // Limited by streams, windows and header sizes.
            HEADERS | CONTINUATION => true,
            DATA if length >= LEAST_DATA || flags & END_STREAM != 0 => true,
            WINDOW_UPDATE if self.window_updates > 0 => {
                self.window_updates -= 1;
                true
            }
            _ => self.idle.take(IDLE_FRAMES, now).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{BLOCK_FIELDS, IDLE_FRAMES_BURST, IDLE_FRAMES_PER_SECOND};

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let header = [0, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, 1];
        [&header[..], &vec![7; length]].concat()
    }

    fn started() -> (FrameMeter, Instant) {
        let now = Instant::now();
        let mut meter = FrameMeter::new(true);
        assert!(meter.received(&[b'x'; PREFACE], now));
        (meter, now)
    }

    /// How many of a frame are accepted in a row, up to 10,000.
    fn allowed(meter: &mut FrameMeter, frame: &[u8], now: Instant) -> u32 {
        (0..10_000).take_while(|_| meter.received(frame, now)).count() as u32
    }

    #[test]
    fn useless_frames_are_rate_limited() {
        // PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, unknown, empty and tiny DATA.
        for (kind, length) in [(2, 5), (3, 4), (4, 0), (6, 8), (7, 8), (8, 4), (0x55, 0), (0, 0), (0, 1)] {
            let (mut meter, now) = started();
            assert_eq!(allowed(&mut meter, &frame(kind, 0, length), now), IDLE_FRAMES_BURST, "{kind}");
            let (mut meter, now) = started();
            for _ in 0..IDLE_FRAMES_BURST {
                assert!(meter.received(&frame(kind, 0, length), now));
            }
            let later = now + Duration::from_secs(2);
            assert_eq!(allowed(&mut meter, &frame(kind, 0, length), later), 2 * IDLE_FRAMES_PER_SECOND);
        }
    }

    #[test]
    fn requests_and_messages_are_not_counted() {
        let headers = [frame(1, 0, 30), frame(9, 4, 30)].concat();
        for frames in [headers, frame(0, 0, LEAST_DATA), frame(0, 1, 0)] {
            let (mut meter, now) = started();
            assert_eq!(allowed(&mut meter, &frames, now), 10_000, "{frames:?}");
        }
    }

    /// Each costs the peer a byte.
    #[test]
    fn fields_that_no_request_may_have_are_rate_limited() {
        let block = |kind: u8, flags: u8, before: &[u8], fields: usize| {
            let payload = [before, &vec![0x82; fields]].concat();
            let mut frame = frame(kind, flags, payload.len());
            frame.truncate(HEADER);
            [frame, payload].concat()
        };
        let excess = 100;
        let too_many = block(1, 4, &[], BLOCK_FIELDS + excess as usize);
        let (mut meter, now) = started();
        assert_eq!(allowed(&mut meter, &too_many, now), IDLE_FRAMES_BURST / excess);
        // In two frames, behind a priority, and before padding.
        let (mut meter, now) = started();
        let padded =
            [block(1, 0x28, &[30, 0, 0, 0, 0, 5], BLOCK_FIELDS + 30), block(9, 4, &[], excess as usize)];
        assert_eq!(allowed(&mut meter, &padded.concat(), now), IDLE_FRAMES_BURST / excess);
        let (mut meter, now) = started();
        assert_eq!(allowed(&mut meter, &block(1, 4, &[], BLOCK_FIELDS), now), 10_000);
        let mut of_many = FrameMeter::new(false);
        assert!(of_many.received(&[b'x'; PREFACE], now));
        assert_eq!(allowed(&mut of_many, &too_many, now), 10_000, "a proxy passes on those of others");
    }

    #[test]
    fn window_updates_are_allowed_in_proportion_to_sent_bytes() {
        let (mut meter, now) = started();
        meter.written(75 * 5_000);
        let granted = 75 * 5_000 / BYTES_PER_WINDOW_UPDATE as u32;
        assert_eq!(allowed(&mut meter, &frame(8, 0, 4), now), (granted + IDLE_FRAMES_BURST).min(10_000));
    }

    #[test]
    fn frames_are_parsed_across_any_split() {
        let frames = [frame(0, 0, 100), frame(6, 0, 8), frame(0x55, 0, 0)].concat();
        for piece in [1, 2, 8, 9, 10, 64] {
            let (mut meter, now) = started();
            for _ in 0..10 {
                for piece in frames.chunks(piece) {
                    assert!(meter.received(piece, now));
                }
            }
            assert_eq!(allowed(&mut meter, &frame(6, 0, 8), now), IDLE_FRAMES_BURST - 20, "{piece}");
        }
    }
}
