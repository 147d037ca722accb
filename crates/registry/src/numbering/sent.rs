use std::collections::{HashMap, VecDeque};

use super::GENERATION_SHIFT;
use crate::limits::{IDLE_BEATS, MAX_ANNOUNCED};

/// A node's announcement of the envelopes that it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Incremented with each beat of a node.
    pub number: u64,
    /// Incremented when publishing failed for a while.
    pub unpublished: u64,
    /// Channels, and the last number sent to each.
    pub last: Vec<(String, u64)>,
}

/// The numbers that a node assigns to its messages.
#[derive(Debug, Default)]
pub struct Sent {
    pub(super) streams: HashMap<String, SentStream>,
    /// Channels to announce, each once, in order of use.
    pending: VecDeque<String>,
    generations: u64,
    beats: u64,
    unpublished: u64,
}

#[derive(Debug)]
pub(super) struct SentStream {
    last: u64,
    announced: bool,
    idle_beats: u32,
}

impl Sent {
    /// The number of the next envelope to `channel`.
    pub fn next(&mut self, channel: &str) -> u64 {
        if let Some(stream) = self.streams.get_mut(channel) {
            stream.last += 1;
            if std::mem::take(&mut stream.announced) {
                self.pending.push_back(channel.to_owned());
            }
            return stream.last;
        }
        let last = (self.generations << GENERATION_SHIFT) + 1;
        self.generations += 1;
        self.pending.push_back(channel.to_owned());
        self.streams.insert(channel.to_owned(), SentStream { last, announced: false, idle_beats: 0 });
        last
    }

    /// Informs the receivers that something was not published to them.
    pub fn report_unpublished(&mut self) {
        self.unpublished += 1;
    }

    /// The next beat. Channels that do not fit come first in the next one: of n channels in
    /// constant use, each is announced at least once in n / 1,000 beats, rounded up.
    pub fn beat(&mut self) -> Beat {
        self.beats += 1;
        for stream in self.streams.values_mut().filter(|stream| stream.announced) {
            stream.idle_beats += 1;
        }
        let mut last = Vec::new();
        for channel in self.pending.drain(..self.pending.len().min(MAX_ANNOUNCED)) {
            let Some(stream) = self.streams.get_mut(&channel) else { continue };
            stream.announced = true;
            stream.idle_beats = 0;
            last.push((channel, stream.last));
        }
        self.streams.retain(|_, stream| !stream.announced || stream.idle_beats < IDLE_BEATS);
        Beat { number: self.beats, unpublished: self.unpublished, last }
    }
}
