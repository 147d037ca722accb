//! Counts the output of a NATS server as it arrives in pieces.

use anyhow::{Context, Result, bail};

/// No line of a server is longer, except `INFO`, which has its own limit.
const LONGEST_LINE: usize = 64 * 1024;

/// Counts message headers and skips the payloads that they announce.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) messages: u64,
    pub(super) pongs: u64,
    /// Pings to be answered.
    pub(super) pings: u64,
    /// Remaining bytes of a payload, including its line end.
    payload: usize,
    /// An incomplete line.
    line: Vec<u8>,
}

impl Counter {
    /// Parses the next piece, wherever it was cut.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> Result<()> {
        loop {
            // A message counts once it is complete.
            if self.payload > 0 {
                let here = self.payload.min(piece.len());
                self.payload -= here;
                piece = &piece[here..];
                if self.payload > 0 {
                    return Ok(());
                }
                self.messages += 1;
            }
            let Some(end) = piece.iter().position(|byte| *byte == b'\n') else {
                if self.line.len() + piece.len() > LONGEST_LINE {
                    bail!("NATS sends a line without an end");
                }
                self.line.extend_from_slice(piece);
                return Ok(());
            };
            let (head, rest) = piece.split_at(end + 1);
            piece = rest;
            if self.line.is_empty() {
                self.heed(head)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                self.heed(&line)?;
            }
        }
    }

    fn heed(&mut self, line: &[u8]) -> Result<()> {
        let line = line.trim_ascii_end();
        if line.starts_with(b"MSG ") {
            let size = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let size: usize = std::str::from_utf8(size)?.parse().context("a message without a size")?;
            self.payload = size + "\r\n".len();
        } else if line == b"PONG" {
            self.pongs += 1;
        } else if line == b"PING" {
            self.pings += 1;
        } else if !line.starts_with(b"INFO ") {
            bail!("NATS says {}", String::from_utf8_lossy(line));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_same_however_it_is_cut() {
        let said = b"INFO {}\r\nPONG\r\nMSG room.1 1 5\r\nMSG\r\n\r\nPING\r\nMSG room.1 1 0\r\n\r\nMSG r 1 2\r\nhi\r\n";
        for size in 1..=said.len() {
            let mut seen = Counter::default();
            for piece in said.chunks(size) {
                seen.take(piece).unwrap();
            }
            assert_eq!((seen.messages, seen.pongs, seen.pings), (3, 1, 1), "in pieces of {size}");
        }
    }

    #[test]
    fn an_error_is_one() {
        let error = Counter::default().take(b"-ERR 'Slow Consumer'\r\n").unwrap_err();
        assert!(error.to_string().contains("Slow Consumer"));
    }
}
