//! Reads of rooms' logs that a session waits for while it goes on with other rooms.
use std::sync::Arc;

use parlance_hub::{Hub, Subscription};
use parlance_store::StoreError;

use crate::needs::{Found, Needs};
use crate::room_stream::RoomStream;
use crate::tasks::Tasks;

/// A read that has ended, and whose it is.
pub(crate) struct LogRead {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) found: Result<Found, StoreError>,
}

/// Few at a time ([`LOG_READS`](crate::limits::LOG_READS)): what each has found waits for a client that does
/// not read.
pub(crate) type LogReads = Tasks<(Arc<Subscription>, Needs), Box<LogRead>>;

impl LogReads {
    /// Begins to read what `stream` needs.
    pub(crate) fn begin(&mut self, hub: &Arc<Hub>, stream: &RoomStream, needs: Needs) {
        let subscription = stream.subscription().clone();
        match needs {
            Needs::Log { to, until } => {
                let read = stream.listening().read(to, until);
                self.spawn(async move {
                    let found = read.await.map(|fetched| Found::Log { to, until, fetched });
                    Box::new(LogRead { subscription, found })
                });
            }
            Needs::Membership => {
                let (hub, since) = (hub.clone(), stream.since);
                self.spawn(async move {
                    let member = hub.member(subscription.room(), subscription.user()).await;
                    let found = member.and_then(|member| match member {
                        Some(member) if member.changed_at() >= since => Ok(Found::Membership(member)),
                        // Without the membership that began at `since`, the time before it would not be
                        // known to be closed.
                        _ => Err(StoreError::Unreachable("the latest membership".to_owned())),
                    });
                    Box::new(LogRead { found, subscription })
                });
            }
        }
    }
}
