//! How many streams of events each user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::UserId;

use crate::Error;
use crate::limits::EVENT_STREAMS;

/// The number of open streams of each user. A stream buffers up to 3 MB.
#[derive(Default)]
pub(crate) struct EventStreams(Mutex<HashMap<UserId, u32>>);

impl EventStreams {
    /// A place for one more stream of `user`, until it is dropped.
    pub(crate) fn open(self: &Arc<Self>, user: &UserId) -> Result<Place, Error> {
        let mut open = self.open_streams();
        let count = open.entry(user.clone()).or_insert(0);
        if *count >= EVENT_STREAMS {
            return Err(Error::TooManyEventStreams(EVENT_STREAMS));
        }
        *count += 1;
        Ok(Place { streams: self.clone(), user: user.clone() })
    }

    fn open_streams(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream.
pub(crate) struct Place {
    streams: Arc<EventStreams>,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open_streams();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}
