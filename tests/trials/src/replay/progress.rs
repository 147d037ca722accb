//! A progress bar on terminals, plain lines for logs.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// Progress of one phase.
#[derive(Debug)]
pub(super) struct Progress {
    over: oneshot::Sender<()>,
    drawing: JoinHandle<()>,
}

impl Progress {
    /// Starts showing the progress of `done` towards `total`.
    pub(super) fn start(
        phase: &'static str,
        total: u64,
        done: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let (over, mut finished) = oneshot::channel();
        let drawing = tokio::spawn(async move {
            let display = Display::new(phase, total);
            let mut again = interval(if display.bar.is_some() { REDRAW_EVERY } else { LINE_EVERY });
            again.reset();
            loop {
                tokio::select! {
                    _ = &mut finished => break,
                    _ = again.tick() => display.draw(done()),
                }
            }
            display.draw(done());
            if let Some(bar) = &display.bar {
                bar.abandon();
            }
        });
        Self { over, drawing }
    }

    /// Ends the phase and draws it for the last time.
    pub(super) async fn finish(self) {
        drop(self.over);
        let _ = self.drawing.await;
    }
}

struct Display {
    phase: &'static str,
    total: u64,
    began: Instant,
    /// Set on a terminal.
    bar: Option<ProgressBar>,
}

impl Display {
    fn new(phase: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:>12} {wide_bar} {pos}/{len} {per_sec} {elapsed}");
            let bar = ProgressBar::new(total);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.with_message(phase)
        });
        Self { phase, total, began: Instant::now(), bar }
    }

    fn draw(&self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                let seconds = self.began.elapsed().as_secs_f64();
                let rate = done as f64 / seconds.max(f64::EPSILON);
                eprintln!("{}: {done} of {}, {seconds:.1} s, {rate:.0}/s", self.phase, self.total);
            }
        }
    }
}
