//! Reads of room logs, which a session waits for while it continues with other rooms.
use std::sync::Arc;

use parlance_hub::{Hub, Subscription};
use parlance_store::StoreError;

use crate::needs::{Found, Needs};
use crate::room_stream::RoomStream;
use crate::tasks::Tasks;

/// A finished read, and its room.
pub(crate) struct LogRead {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) found: Result<Found, StoreError>,
}

/// Few at a time ([`LOG_READS`](crate::limits::LOG_READS)): results wait in memory for a client that does not read.
pub(crate) type LogReads = Tasks<(Arc<Subscription>, Needs), Box<LogRead>>;

impl LogReads {
    /// Starts reading what `stream` needs.
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
                        // Without the membership that began at `since`, the time before it would not be known to be
                        // closed to the user.
                        _ => Err(StoreError::Unreachable("the latest membership".to_owned())),
                    });
                    Box::new(LogRead { found, subscription })
                });
            }
        }
    }
}
