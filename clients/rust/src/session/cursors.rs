use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parlance_proto::v1::Cursor;

/// Stores an application's position in each room across restarts. Events are then
/// delivered at least once: after a crash, those of the last seconds again. The store
/// reports its own failures.
#[async_trait]
pub trait CursorStore: Send + Sync + 'static {
    /// All cursors, called when a session starts.
    async fn load(&self) -> Vec<Cursor>;

    /// Stores the cursors of rooms that moved: about once a second, and when the
    /// session ends. Those of other rooms are unchanged.
    async fn save(&self, moved: Vec<Cursor>);
}

/// Positions that the application has processed but that are not stored yet.
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
