use parlance_core::{InvitationsChange, RoomId};
use parlance_proto::storage::v1::{InvitationsRecord, InvitedRecord, JoinRequestsRecord};

use super::keys;
use super::tables::Table;
use super::transaction::Transaction;
use crate::StoreError;
use crate::invitation_record::{encode_invitations, encode_invited, encode_requests};
use crate::record::carry_unknown;

/// The rows of a change, to be put after all reads of its append.
pub(super) struct Rows {
    put: Vec<(Vec<u8>, Vec<u8>)>,
    removed: Vec<Vec<u8>>,
}

impl Rows {
    pub(super) fn read(
        txn: &Transaction,
        room: &RoomId,
        change: &InvitationsChange,
    ) -> Result<Self, StoreError> {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        if change.issued {
            let key = keys::invitations(room.as_str());
            let row = encode_invitations(&change.all);
            let row = match txn.get(Table::Members, &key)? {
                Some(stored) => carry_unknown::<InvitationsRecord>(&stored, row),
                None => row,
            };
            put.push((key, row));
        }
        if change.requests {
            let key = keys::requests(room.as_str());
            let row = encode_requests(&change.all);
            let row = match txn.get(Table::Members, &key)? {
                Some(stored) => carry_unknown::<JoinRequestsRecord>(&stored, row),
                None => row,
            };
            put.push((key, row));
        }
        for (user, listed) in &change.lists {
            let key = keys::invited(user.as_str(), room.as_str());
            match listed {
                Some(listed) => {
                    let row = encode_invited(listed);
                    let row = match txn.get(Table::Members, &key)? {
                        Some(stored) => carry_unknown::<InvitedRecord>(&stored, row),
                        None => row,
                    };
                    put.push((key, row));
                }
                None => removed.push(key),
            }
        }
        Ok(Self { put, removed })
    }

    pub(super) fn write(self, txn: &mut Transaction) {
        for (key, row) in self.put {
            txn.put(Table::Members, key, row);
        }
        for key in self.removed {
            txn.remove(Table::Members, key);
        }
    }
}
