use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::time::Instant;

/// Deadline for everything that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running `crash_writer`.
pub(crate) struct Writer {
    process: Child,
    lines: Receiver<String>,
    /// Lines printed so far.
    pub(crate) said: Vec<String>,
}

/// How to start a writer.
pub(crate) struct Start {
    pub(crate) seed: u64,
    pub(crate) durability: &'static str,
    pub(crate) load: Load,
    pub(crate) env: Vec<(&'static str, PathBuf)>,
}

/// The load that a writer generates.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Events per chunk, at most.
    pub(crate) events: u64,
    /// Bytes per message, at most.
    pub(crate) text_bytes: u64,
    /// Buffered bytes before a flush to tables.
    pub(crate) buffer_bytes: u64,
}

impl Load {
    /// Small writes, flushed often.
    pub(crate) const SMALL: Self = Self { events: 4, text_bytes: 300, buffer_bytes: 32 << 10 };
    /// Many megabytes within seconds.
    pub(crate) const LARGE: Self = Self { events: 60, text_bytes: 16 << 10, buffer_bytes: 8 << 20 };
}

impl Start {
    pub(crate) fn seed(seed: u64) -> Self {
        Self { seed, durability: "synced", load: Load::SMALL, env: Vec::new() }
    }

    pub(crate) fn on(&self, dir: &Path) -> Writer {
        let tests = std::env::current_exe().unwrap();
        let load = self.load;
        let program = tests.parent().unwrap().with_file_name("examples").join("crash_writer");
        let mut process = Command::new(&program)
            .arg(dir)
            .args([&self.seed.to_string(), self.durability])
            .args([load.events, load.text_bytes, load.buffer_bytes].map(|number| number.to_string()))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}, which `cargo test` builds: {error}"));
        let out = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Writer { process, lines, said: Vec::new() }
    }
}

impl Writer {
    /// Lets it run for `time`.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended by itself: {:?}", self.process.wait().unwrap());
                }
            }
        }
    }

    /// Lets it run until it has printed `count` lines that start with `word`.
    pub(crate) fn run_until(&mut self, word: &str, count: usize) {
        self.run_until_it(|said| said.iter().filter(|line| line.starts_with(word)).count() >= count);
    }

    /// Lets it run until `is_enough` accepts its output.
    pub(crate) fn run_until_it(&mut self, is_enough: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_enough(&self.said) {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            self.said.push(line.expect("it ended, or is too slow"));
        }
    }

    /// Kills it; returns its output up to then.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.said.extend(self.lines.iter());
        self.said
    }

    /// Waits until it exits; returns its exit code and output.
    pub(crate) fn wait(mut self) -> (Option<i32>, Vec<String>) {
        let end = Instant::now() + DEADLINE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < end, "it does not end");
        (self.process.wait().unwrap().code(), self.said)
    }
}
