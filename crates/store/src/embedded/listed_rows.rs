use parlance_core::ListingChange;
use parlance_proto::storage::v1::ListedRecord;

use super::keys;
use super::tables::Table;
use super::transaction::Transaction;
use crate::StoreError;
use crate::record::{carry_unknown, encode_listed};

/// The writes of a change, to be made after all reads of its append.
pub(super) struct Rows {
    put: Option<(Vec<u8>, Vec<u8>)>,
    removed: Option<Vec<u8>>,
}

impl Rows {
    pub(super) fn read(txn: &Transaction, change: &ListingChange) -> Result<Self, StoreError> {
        let removed = change.removed.as_ref().map(keys::listed);
        let Some(listing) = &change.put else { return Ok(Self { put: None, removed }) };
        let (key, row) = (keys::listed(&listing.place), encode_listed(listing.members));
        // Of the row that this one follows, perhaps at another place.
        let row = match txn.get(Table::Members, removed.as_ref().unwrap_or(&key))? {
            Some(stored) => carry_unknown::<ListedRecord>(&stored, row),
            None => row,
        };
        Ok(Self { put: Some((key, row)), removed })
    }

    pub(super) fn write(self, txn: &mut Transaction) {
        if let Some(key) = self.removed {
            txn.remove(Table::Members, key);
        }
        if let Some((key, row)) = self.put {
            txn.put(Table::Members, key, row);
        }
    }
}
