//! The fleet that owns the tables: an item of the table `rooms` under a key that no room has.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#fleet`, `#` |
//! | `prefix` | S | what the fleet's keys in the registry begin with |
//! | `until` | N | when the claim ends unless it is renewed, Unix milliseconds |

use std::time::Duration;

use parlance_core::Timestamp;

use super::item::{self, get_number, get_text, number, text};
use super::limits::FLEET_TRIES;
use super::{Dynamo, rooms};
use crate::StoreError;
use crate::record::damaged;

const OPERATION: &str = "fleet";
/// Not a valid room id.
const KEY: &str = "#fleet";

/// Another fleet that owns the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFleet {
    /// Prefix of its keys in the registry.
    pub prefix: String,
    /// When its claim ends unless renewed.
    pub until: Timestamp,
}

impl Dynamo {
    /// Claims the tables for the fleet with this `prefix`, or renews its claim, for `lease` from `now`. Returns the
    /// owner if it is another fleet. Only the first node after a quarter of the lease actually writes.
    ///
    /// # Errors
    /// If the service does not answer, or refuses.
    pub async fn claim_tables(
        &self,
        prefix: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<OtherFleet>, StoreError> {
        let lease = lease.as_millis() as u64;
        for _ in 0..FLEET_TRIES {
            if let Some(found) = self.tables_claim().await? {
                if found.prefix != prefix && found.until > now {
                    return Ok(Some(found));
                }
                if found.prefix == prefix && found.until.since(now) > lease / 4 * 3 {
                    return Ok(None);
                }
            }
            if self.put_claim(prefix, Timestamp(now.0 + lease), now).await? {
                return Ok(None);
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Ends the claim of the fleet with this `prefix` when its last node stops.
    ///
    /// # Errors
    /// If the service does not answer, or refuses.
    pub async fn release_tables(&self, prefix: &str) -> Result<(), StoreError> {
        // No claim has ended by then, so only its own is replaced.
        self.put_claim(prefix, Timestamp(0), Timestamp(0)).await.map(drop)
    }

    async fn tables_claim(&self) -> Result<Option<OtherFleet>, StoreError> {
        let Some(item) = self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await? else {
            return Ok(None);
        };
        let claim = || {
            let until = Timestamp(get_number(&item, "until")?);
            Some(OtherFleet { prefix: get_text(&item, "prefix")?.to_owned(), until })
        };
        claim().map(Some).ok_or_else(|| damaged("the item", "the fleet"))
    }

    /// Writes the claim unless another fleet has one beyond `now`. Returns whether it did.
    async fn put_claim(&self, prefix: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let mut item = rooms::reserved(KEY);
        item.extend(item::item([("prefix", text(prefix)), ("until", number(until.0))]));
        self.put_if(OPERATION, &self.tables.rooms, item, |put| {
            put.condition_expression("attribute_not_exists(#p) OR #p = :own OR #u <= :now")
                .expression_attribute_names("#p", "prefix")
                .expression_attribute_names("#u", "until")
                .expression_attribute_values(":own", text(prefix))
                .expression_attribute_values(":now", number(now.0))
        })
        .await
    }
}
