use crate::limits::BLOCK_FIELDS;

/// Counts the fields of header blocks before they are decoded (RFC 7541, 6): one of a byte costs the server a hundred times
/// as much.
#[derive(Debug, Default)]
pub(crate) struct FieldMeter {
    /// Fields of the current block.
    fields: usize,
    part: Part,
    /// Strings of the current field that have not begun.
    strings: u8,
}

/// What the next byte is part of.
#[derive(Debug, Default, Clone, Copy)]
enum Part {
    /// The first byte of a field.
    #[default]
    Start,
    /// The rest of an index.
    Index,
    /// The first byte of a string's length.
    Length,
    /// The rest of a length.
    LongLength { bytes: usize, shift: u32 },
    /// As many bytes of a string.
    String(usize),
}

impl FieldMeter {
    /// A block begins.
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    /// Examines a piece of a block. Returns how many fields begin in it that are more than a request may have.
    pub(crate) fn received(&mut self, mut bytes: &[u8]) -> u32 {
        let before = self.fields.max(BLOCK_FIELDS);
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            self.part = match self.part {
                Part::Start => self.start(byte),
                Part::Index if byte < 0x80 => self.next_string(),
                Part::Index => Part::Index,
                Part::Length => match usize::from(byte & 0x7f) {
                    0 => self.next_string(),
                    bytes @ 0x7f => Part::LongLength { bytes, shift: 0 },
                    bytes => Part::String(bytes),
                },
                Part::LongLength { bytes, shift } => {
                    // No string is longer than a block, whose bytes the decoder bounds.
                    let more = usize::from(byte & 0x7f).checked_shl(shift).unwrap_or(usize::MAX);
                    let bytes = bytes.saturating_add(more);
                    if byte < 0x80 {
                        Part::String(bytes)
                    } else {
                        Part::LongLength { bytes, shift: shift.saturating_add(7) }
                    }
                }
                Part::String(length) => {
                    let skipped = bytes.len().min(length - 1);
                    bytes = &bytes[skipped..];
                    match length - 1 - skipped {
                        0 => self.next_string(),
                        length => Part::String(length),
                    }
                }
            };
        }
        u32::try_from(self.fields.max(BLOCK_FIELDS) - before).unwrap_or(u32::MAX)
    }

    fn start(&mut self, byte: u8) -> Part {
        let (index, has_value, is_field) = match byte {
            0x80.. => (0x7f, false, true),
            0x40.. => (0x3f, true, true),
            // A change of the table's size.
            0x20.. => (0x1f, false, false),
            _ => (0x0f, true, true),
        };
        self.fields += usize::from(is_field);
        let has_name = has_value && byte & index == 0;
        self.strings = u8::from(has_value) + u8::from(has_name);
        if byte & index == index { Part::Index } else { self.next_string() }
    }

    fn next_string(&mut self) -> Part {
        match self.strings.checked_sub(1) {
            Some(left) => {
                self.strings = left;
                Part::Length
            }
            None => Part::Start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field in each form.
    const FORMS: [&[u8]; 9] = [
        &[0x82],
        &[0xff, 0x80, 0x01],
        &[0x41, 3, b'a', b'b', b'c'],
        &[0x7f, 0x81, 0x01, 1, 0xff],
        &[0x40, 1, 0x82, 0],
        &[0x00, 0, 2, 0x82, 0x82],
        &[0x1f, 0x00, 0x81, 0xff],
        &[0x04, 0x05, 0x82, 0x82, 0x82, 0x82, 0x82],
        // The name has 300 bytes of 0x82 below.
        &[0x10, 0x7f, 0xad, 0x01],
    ];

    /// A block with all of them, and how many they are.
    fn block() -> (Vec<u8>, usize) {
        let long = [&[0x82; 300][..], &[0]].concat();
        let block = [&[0x3f, 0x01][..], &FORMS.concat(), &long].concat();
        (block, FORMS.len())
    }

    fn excess(meter: &mut FieldMeter, block: &[u8], piece: usize) -> u32 {
        meter.begin();
        block.chunks(piece).map(|piece| meter.received(piece)).sum()
    }

    #[test]
    fn fields_beyond_those_of_a_request_are_counted_in_any_split() {
        let (block, fields) = block();
        let mut meter = FieldMeter::default();
        let (fits, times) = (BLOCK_FIELDS / fields, 20);
        for piece in [1, 2, 3, 7, 100, usize::MAX] {
            assert_eq!(excess(&mut meter, &block.repeat(fits), piece), 0, "{piece}");
            let expected = times * fields - BLOCK_FIELDS;
            assert_eq!(excess(&mut meter, &block.repeat(times), piece) as usize, expected, "{piece}");
        }
        assert_eq!(excess(&mut meter, &[0x82; BLOCK_FIELDS], 5), 0);
        assert_eq!(excess(&mut meter, &[0x82; BLOCK_FIELDS + 1], 5), 1);
    }

    #[test]
    fn lengths_without_end_are_survived() {
        let mut meter = FieldMeter::default();
        assert_eq!(
            excess(&mut meter, &[&[0x40, 0x7f][..], &[0xff; 100], &[1], &[0x82; 1_000]].concat(), 9),
            0
        );
    }
}
