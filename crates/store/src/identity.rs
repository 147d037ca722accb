use parlance_core::{Clock as _, SystemClock};

use crate::StoredRoom;
use crate::error::StoreError;
use crate::hex::hex;
use crate::random::random;

/// Distinguishes a store from any other, including its copies and restored backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Random, hexadecimal.
    pub(crate) id: String,
    /// No room has a lower epoch. Increases with each restore.
    pub(crate) epoch: u64,
}

/// The epoch of a store that was never restored, and of the rooms created in it.
const FIRST_EPOCH: u64 = 1; // format

impl Identity {
    /// The identity of a new store.
    pub(crate) fn new() -> Result<Self, StoreError> {
        Ok(Self { id: random_id()?, epoch: FIRST_EPOCH })
    }

    /// The identity of a store restored from a backup with `epoch`.
    ///
    /// The next epoch is the time in seconds. A simple increment would repeat: a backup restored twice would get the
    /// same epoch both times.
    pub(crate) fn after_restore(epoch: u64) -> Result<Self, StoreError> {
        let now = SystemClock.now().0 / 1_000;
        Ok(Self { id: random_id()?, epoch: now.max(epoch + 1) })
    }

    /// Whether the store was restored from a backup, or copied.
    pub(crate) fn is_restored(&self) -> bool {
        self.epoch > FIRST_EPOCH
    }

    /// The room with its effective epoch.
    pub(crate) fn raise(epoch: u64, mut room: StoredRoom) -> StoredRoom {
        room.info.epoch = room.info.epoch.max(epoch);
        room
    }
}

fn random_id() -> Result<String, StoreError> {
    Ok(hex(&random::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restoring_one_backup_again_never_lowers_the_epoch() {
        let new = Identity::new().unwrap();
        let first = Identity::after_restore(new.epoch).unwrap();
        let second = Identity::after_restore(new.epoch).unwrap();
        assert!(new.epoch < first.epoch && first.epoch <= second.epoch);
        assert!(new.id != first.id && first.id != second.id);
        // Saturates, whatever the clock says.
        assert_eq!(Identity::after_restore(u64::MAX - 1).unwrap().epoch, u64::MAX);
    }
}
