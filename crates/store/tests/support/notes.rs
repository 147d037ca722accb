//! Captures log output.

use std::io::Write;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<u8>>>);

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `f`; returns its result, and what this thread logged meanwhile.
pub(crate) fn of<T>(f: impl FnOnce() -> T) -> (T, String) {
    let notes = Notes::default();
    let writer = notes.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let answer = tracing::subscriber::with_default(subscriber, f);
    let text = String::from_utf8(notes.0.lock().unwrap().clone()).unwrap();
    (answer, text)
}
