use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parlance_client_core::{StoreChange, StoredCommand};

use super::CommandStore;

/// Keeps commands while the process runs: across sessions, but not across restarts. Clones share the same store.
#[derive(Debug, Clone, Default)]
pub struct MemoryCommandStore(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

#[async_trait]
impl CommandStore for MemoryCommandStore {
    async fn load(&self) -> Result<Vec<StoredCommand>, String> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records =
            records.iter().map(|(id, record)| StoredCommand { id: id.clone(), record: record.clone() });
        Ok(records.collect())
    }

    async fn write(&self, changes: Vec<StoreChange>) -> Result<(), String> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for StoreChange { id, record } in changes {
            match record {
                Some(record) => records.insert(id, record),
                None => records.remove(&id),
            };
        }
        Ok(())
    }
}
