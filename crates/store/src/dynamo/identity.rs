//! The store's own item, in the table `rooms` under a key that no room has.
//!
//! | attribute | | |
//! |---|---|---|
//! | `room_id`, `item` | S | `#store`, `#` |
//! | `identity` | S | random |
//! | `epoch` | N | no room has a lower one |
//! | `tables` | S | the tables' own ids, by which tables that were copied or restored are noticed |

use aws_sdk_dynamodb::types::TableDescription;
use tokio::time::{MissedTickBehavior, interval};

use super::item::{self, Item, get_number, get_text, number, text};
use super::limits::{IDENTITY_LOOK, IDENTITY_TRIES};
use super::{Dynamo, rooms};
use crate::StoreError;
use crate::identity::Identity;
use crate::record::damaged;

const OPERATION: &str = "identity";
/// Not a valid room id.
const KEY: &str = "#store";
const ID: &str = "identity";

impl Dynamo {
    /// The store's identity. Creates it if missing; renews it, and raises the epoch, if the tables differ from those
    /// it was written for.
    pub(super) async fn settle_identity(&self) -> Result<Identity, StoreError> {
        let tables = self.table_ids().await?;
        for _ in 0..IDENTITY_TRIES {
            let (old, new) = match self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await? {
                None => (None, Identity::new()?),
                Some(item) => {
                    let (identity, written_in) = read(&item)?;
                    if written_in == tables {
                        return Ok(identity);
                    }
                    let epoch = identity.epoch;
                    (Some(identity), Identity::after_restore(epoch)?)
                }
            };
            if self.put_identity(old.as_ref(), &new, &tables).await? {
                if old.is_some() {
                    tracing::warn!(
                        epoch = new.epoch,
                        "the tables were copied or restored: clients start over"
                    );
                }
                return Ok(new);
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Makes clients start over, as after a restore that the store cannot detect itself (for example of items into
    /// the same tables): sets a new identity, and a higher epoch for all rooms, which it returns. Running
    /// processes end when they notice.
    ///
    /// # Errors
    /// If the service does not answer, or refuses.
    pub async fn restored(&self) -> Result<u64, StoreError> {
        let tables = self.table_ids().await?;
        for _ in 0..IDENTITY_TRIES {
            let old = self.settle_identity().await?;
            let new = Identity::after_restore(old.epoch)?;
            if self.put_identity(Some(&old), &new, &tables).await? {
                return Ok(new.epoch);
            }
        }
        Err(StoreError::Overloaded)
    }

    /// Whether the store was ever restored from a backup, or copied.
    ///
    /// # Errors
    /// If the service does not answer, or refuses.
    pub async fn is_restored(&self) -> Result<bool, StoreError> {
        Ok(self.settled().await?.is_restored())
    }

    /// Resolves once the store has another identity than this process works with, with the reason.
    pub(super) async fn replaced(&self) -> String {
        let mut look = interval(IDENTITY_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            // Without it, nothing of an earlier history is remembered.
            let Some(own) = self.identity.get() else { continue };
            match self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await {
                Ok(Some(item)) if get_text(&item, ID).is_some_and(|id| id != own.id) => {
                    return "the tables were restored while this process was running: start it again"
                        .to_owned();
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot look whether the tables were restored"),
            }
        }
    }

    /// Whether the store's item exists; writes nothing.
    pub(super) async fn has_identity(&self) -> Result<bool, StoreError> {
        Ok(self.get(OPERATION, &self.tables.rooms, rooms::reserved(KEY)).await?.is_some())
    }

    /// Writes the item, if it is still that of `old`. Returns whether it did.
    async fn put_identity(
        &self,
        old: Option<&Identity>,
        new: &Identity,
        tables: &str,
    ) -> Result<bool, StoreError> {
        let mut item = rooms::reserved(KEY);
        item.extend(item::item([
            (ID, text(&new.id)),
            ("epoch", number(new.epoch)),
            ("tables", text(tables)),
        ]));
        self.put_if(OPERATION, &self.tables.rooms, item, |put| {
            let put = match old {
                None => put.condition_expression("attribute_not_exists(#i)"),
                Some(old) => {
                    put.condition_expression("#i = :old").expression_attribute_values(":old", text(&old.id))
                }
            };
            put.expression_attribute_names("#i", ID)
        })
        .await
    }

    /// The tables' own ids, in one string.
    async fn table_ids(&self) -> Result<String, StoreError> {
        let mut ids = Vec::new();
        for name in self.table_names() {
            let table = self.describe(name).await?;
            let table = table.ok_or_else(|| StoreError::Refused(format!("{name} is missing")))?;
            ids.push(id_of(&table));
        }
        Ok(ids.join(" "))
    }
}

/// Emulators without table ids report the creation time.
fn id_of(table: &TableDescription) -> String {
    match table.table_id() {
        Some(id) => id.to_owned(),
        None => {
            let created = table.creation_date_time().map_or(0.0, |at| at.as_secs_f64());
            format!("{}@{created}", table.table_arn().unwrap_or_default())
        }
    }
}

/// The identity in the store's item, and the tables it was written for.
fn read(item: &Item) -> Result<(Identity, &str), StoreError> {
    let read = || {
        let identity = Identity { id: get_text(item, ID)?.to_owned(), epoch: get_number(item, "epoch")? };
        Some((identity, get_text(item, "tables")?))
    };
    read().ok_or_else(|| damaged("the item", "the store"))
}
