use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fred::interfaces::FredResult;
use fred::types::Message;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Shared;
use super::cause::Cause;
use super::frame::{Frame, parse_beat};
use crate::Notice;

/// Sorts the messages that reach this node, and detects missing ones.
#[derive(Debug)]
pub(super) struct Inbox {
    registry: Arc<Shared>,
    /// This node's own channel. Its own messages there are heartbeats.
    channel: String,
    beats: String,
    /// The last heartbeat that was received.
    heard: watch::Sender<u64>,
    /// A message was received that its sender cannot have published.
    forged: AtomicBool,
}

impl Inbox {
    /// The inbox of a new link, and the heartbeats that it receives.
    pub(super) fn new(registry: Arc<Shared>) -> (Self, watch::Receiver<u64>) {
        registry.arrivals().resume();
        let (channel, beats) = (registry.keys.node_channel(&registry.node), registry.keys.beats_channel());
        let (heard, receiver) = watch::channel(0);
        (Self { registry, channel, beats, heard, forged: AtomicBool::new(false) }, receiver)
    }

    pub(super) async fn sort(self, mut messages: Receiver<Message>) -> FredResult<()> {
        let mut ticks = interval(self.registry.options.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Ok(message) => self.take(message),
                    // Only messages were lost; everything is still subscribed and registered.
                    Err(RecvError::Lagged(_)) => self.missed(Cause::Lag),
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = ticks.tick() => self.count_losses(),
            }
        }
    }

    fn missed(&self, cause: Cause) {
        cause.count();
        self.registry.notices.missed();
    }

    fn take(&self, message: Message) {
        let Some(frame) = message.value.into_bytes().and_then(Frame::parse) else {
            tracing::warn!(channel = %message.channel, "ignoring a malformed message");
            return;
        };
        let registry = &self.registry;
        if frame.sender == registry.node {
            if message.channel == self.channel
                && let Ok(beat) = frame.payload.as_ref().try_into()
            {
                self.heard.send_replace(u64::from_be_bytes(beat));
            }
            return;
        }
        let is_beat = message.channel == self.beats;
        let notice = match frame.numbered {
            None if is_beat => return,
            None => Notice::Unverified(frame.payload),
            Some((fleet, _)) if fleet != registry.options.fleet => {
                if !is_beat {
                    registry.arrivals().dropped_foreign();
                    metrics::counter!("parlance_registry_foreign_envelopes_total").increment(1);
                }
                return;
            }
            Some(_) if !frame.is_sealed(&registry.options.key, &message.channel) => {
                metrics::counter!("parlance_registry_forged_envelopes_total").increment(1);
                if !self.forged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(channel = %message.channel, "received a forged envelope in the name of this fleet");
                }
                return;
            }
            Some((_, number)) if is_beat => {
                if let Some(beat) = parse_beat(number, frame.payload) {
                    let sender = frame.sender.as_str();
                    registry.arrivals().beat(sender, &beat, |channel| registry.follows(channel));
                }
                return;
            }
            Some((_, number)) => {
                registry.arrivals().envelope(frame.sender.as_str(), &message.channel, number);
                Notice::Payload(frame.payload)
            }
        };
        if registry.notices.send(notice) {
            Cause::Overflow.count();
        }
    }

    fn count_losses(&self) {
        let registry = &self.registry;
        let nodes = registry.nodes.all();
        let alive: HashSet<&str> = nodes.iter().map(|node| node.as_str()).collect();
        let losses =
            registry.arrivals().tick(|node| alive.contains(node), |channel| registry.follows(channel));
        for loss in losses {
            tracing::warn!(?loss, "messages of other nodes were lost, comparing with the store");
            self.missed(Cause::Lost(loss));
        }
    }
}
