//! Reads of rooms' logs that a session waits for while it goes on with other rooms.
use std::collections::VecDeque;
use std::sync::Arc;

use parlance_hub::{Hub, Subscription};
use parlance_store::StoreError;

use crate::limits::LOG_READS;
use crate::needs::{Found, Needs};
use crate::room_stream::RoomStream;
use crate::tasks::Tasks;

/// A read that has ended, and whose it is.
pub(crate) struct LogRead {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) found: Result<Found, StoreError>,
}

/// Few at a time: what each has found waits for a client that does not read.
pub(crate) struct LogReads {
    tasks: Tasks<Box<LogRead>>,
    /// Not begun yet.
    waiting: VecDeque<(Arc<Subscription>, Needs)>,
}

impl Default for LogReads {
    fn default() -> Self {
        Self { tasks: Tasks::new(LOG_READS), waiting: VecDeque::new() }
    }
}

impl LogReads {
    /// Puts a read in line.
    pub(crate) fn add(&mut self, subscription: Arc<Subscription>, needs: Needs) {
        self.waiting.push_back((subscription, needs));
    }

    /// The next read to begin, if there may be one more.
    pub(crate) fn next_waiting(&mut self) -> Option<(Arc<Subscription>, Needs)> {
        if self.tasks.is_full() { None } else { self.waiting.pop_front() }
    }

    /// Begins to read what `stream` needs.
    pub(crate) fn begin(&mut self, hub: &Arc<Hub>, stream: &RoomStream, needs: Needs) {
        let subscription = stream.subscription().clone();
        match needs {
            Needs::Log { to, until } => {
                let read = stream.listening().read(to, until);
                self.tasks.spawn(async move {
                    let found = read.await.map(|fetched| Found::Log { to, until, fetched });
                    Box::new(LogRead { subscription, found })
                });
            }
            Needs::Membership => {
                let hub = hub.clone();
                self.tasks.spawn(async move {
                    let member = hub.member(subscription.room(), subscription.user()).await;
                    Box::new(LogRead { found: member.map(Found::Membership), subscription })
                });
            }
        }
    }

    /// Waits for the next read that ends. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Box<LogRead> {
        self.tasks.next().await
    }
}
