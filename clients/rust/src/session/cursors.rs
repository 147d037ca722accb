use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parlance_proto::v1::Cursor;

/// Keeps how far an application has each room, over restarts of its process. Events are
/// then handed over at least once: again after a crash where the last seconds were not
/// stored. Failures are the store's to report.
#[async_trait]
pub trait CursorStore: Send + Sync + 'static {
    /// All cursors, when a session starts.
    async fn load(&self) -> Vec<Cursor>;

    /// Stores cursors of rooms that moved: about once a second, and when the session
    /// ends. Those of other rooms stay as they are.
    async fn save(&self, moved: Vec<Cursor>);
}

/// What the application has processed and the store does not have yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Processed(Arc<Mutex<HashMap<String, Cursor>>>);

impl Processed {
    pub(super) fn add(&self, cursor: Cursor) {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.insert(cursor.room_id.clone(), cursor);
    }

    pub(super) fn take(&self) -> Vec<Cursor> {
        let moved = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        moved.into_values().collect()
    }
}
