//! Distinguishes a registry outage from isolation of this node.
//!
//! Nodes that reach the registry keep changing a note in the store. A node that does not watches it: while the note
//! changes, others are connected, and clients are better off with them. If it does not change, the registry is down
//! for everyone, and there is no better node.
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parlance_registry::Health;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::departure::Departure;
use crate::limits::{NOTE_EVERY, NOTES_IN_ISOLATION, QUIET_LOOKS};

/// What an isolated node has seen of the note.
#[derive(Debug, Default)]
struct Watched {
    note: Option<String>,
    changes: u32,
    /// Reads since it changed.
    quiet: u32,
}

impl Watched {
    /// The state of a node that has just noticed that it is cut off, and has read `note`.
    fn from(note: Option<String>) -> Self {
        Self { note, ..Self::default() }
    }

    /// Returns whether other nodes reach the registry, given the current `note`. A single change may be from a node
    /// that has not noticed the outage yet.
    fn look(&mut self, note: Option<String>) -> bool {
        if self.note == note {
            self.quiet += 1;
        } else {
            (self.note, self.quiet) = (note, 0);
            self.changes += 1;
        }
        if self.quiet >= QUIET_LOOKS {
            self.changes = 0;
        }
        self.changes > 1
    }
}

impl Cluster {
    /// Sends sessions to other nodes while those are connected to the registry and this node has been cut off for
    /// longer than they look for its writes.
    pub async fn watch_isolation(self: Arc<Self>, departure: Departure, end: CancellationToken) {
        let watching = async {
            let mut was_connected = false;
            let mut health = self.health.clone();
            loop {
                if *health.borrow_and_update() == Health::Connected {
                    was_connected = true;
                    self.alone.send_replace(false);
                    if departure.end() {
                        tracing::info!("reconnected to redis, accepting clients");
                    }
                    tokio::select! {
                        biased;
                        away = health.wait_for(|health| *health == Health::Away) => drop(away),
                        never = self.leave_notes(&departure) => match never {},
                    }
                } else {
                    // Nobody looks for the writes of a node that was never seen.
                    let patience = if was_connected { self.isolation } else { Duration::ZERO };
                    tokio::select! {
                        biased;
                        back = health.wait_for(|health| *health == Health::Connected) => drop(back),
                        never = self.watch_notes(patience, &departure) => match never {},
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = watching => {}
        }
    }

    fn note_every(&self) -> Duration {
        (self.isolation / NOTES_IN_ISOLATION).min(NOTE_EVERY)
    }

    /// Keeps the note changing: writes one if no other node has.
    async fn leave_notes(&self, departure: &Departure) -> Infallible {
        let mut tick = interval(self.note_every());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut left) = (None, 0_u64);
        loop {
            tick.tick().await;
            let found = match self.store.last_note().await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "cannot read the note of other nodes");
                    continue;
                }
            };
            // A node that is shutting down is no destination for clients.
            if found != seen || self.is_away() || departure.shutdown().is_cancelled() {
                seen = found;
                continue;
            }
            left += 1;
            let note = format!("{}-{left}", self.registry.node());
            match self.store.leave_note(&note).await {
                Ok(()) => seen = Some(note),
                Err(error) => tracing::debug!(%error, "cannot write the note for other nodes"),
            }
        }
    }

    async fn watch_notes(&self, patience: Duration, departure: &Departure) -> Infallible {
        let (since, every) = (Instant::now(), self.note_every());
        let mut watched: Option<Watched> = None;
        loop {
            sleep(every).await;
            let note = match self.store.last_note().await {
                Ok(note) => note,
                Err(error) => {
                    tracing::debug!(%error, "cannot read the note of other nodes");
                    continue;
                }
            };
            let Some(watched) = &mut watched else {
                watched = Some(Watched::from(note));
                continue;
            };
            let alone = watched.look(note);
            self.alone.send_replace(alone);
            if !alone {
                if departure.end() {
                    tracing::warn!("no other node is connected to redis either, accepting clients");
                }
            } else if since.elapsed() >= patience && departure.begin() {
                tracing::warn!(away = ?since.elapsed(), "only this node is cut off from redis, moving clients to other nodes");
                metrics::counter!("parlance_departures_total").increment(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result after each read of a note, after a first one of "0".
    fn looks(notes: &[&str]) -> Vec<bool> {
        let mut watched = Watched::from(Some("0".to_owned()));
        notes.iter().map(|note| watched.look(Some((*note).to_owned()))).collect()
    }

    #[test]
    fn changing_notes_show_connected_nodes() {
        assert_eq!(looks(&["1", "2", "2", "3"]), [false, true, true, true]);
    }

    #[test]
    fn single_change_may_be_from_a_node_unaware_of_the_outage() {
        assert_eq!(looks(&["0", "1", "1", "1", "1", "1"]), [false; 6]);
    }

    #[test]
    fn unchanged_notes_show_an_outage_for_everyone() {
        assert_eq!(looks(&["1", "2", "2", "2", "2", "3"]), [false, true, true, true, false, false]);
    }
}
