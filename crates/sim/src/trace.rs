use std::fmt;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::dice::lock;

/// The events of a run, as lines of text with their simulated time. Two runs of one seed must produce the same lines.
pub struct Trace {
    start: Instant,
    lines: Mutex<Lines>,
}

struct Lines {
    hash: u64,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// Starts a trace now. Lines are only kept if `keep`; they are always hashed.
    pub fn new(keep: bool) -> Self {
        let lines = Lines { hash: 0xcbf2_9ce4_8422_2325, kept: keep.then(Vec::new) };
        Self { start: Instant::now(), lines: Mutex::new(lines) }
    }

    /// When the simulation began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Milliseconds since then.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Adds a line.
    pub fn line(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        let line = format!("{:>4}.{:03} {what}", now / 1000, now % 1000);
        let mut lines = lock(&self.lines);
        for byte in line.bytes() {
            // FNV-1a.
            lines.hash = (lines.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(kept) = &mut lines.kept {
            kept.push(line);
        }
    }

    /// A hash of all lines.
    pub fn hash(&self) -> u64 {
        lock(&self.lines).hash
    }

    /// The lines, if they were kept.
    pub fn take(&self) -> Vec<String> {
        lock(&self.lines).kept.take().unwrap_or_default()
    }
}
