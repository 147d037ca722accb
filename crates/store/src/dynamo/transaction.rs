//! Atomic writes of several items: everything that belongs to a chunk.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, Update,
};
use parlance_core::{Mark, Member, Nonce, RoomId};

use super::backoff::pause;
use super::calls::unbuilt;
use super::error::{Attempts, Cancelled, store_error};
use super::item::{self, Item, number};
use super::limits::MAX_CONFLICTS;
use super::{Dynamo, members, units, user_rooms};
use crate::StoreError;
use crate::hex::hex;

/// Writes that are executed together.
pub(super) struct Transaction {
    /// Identifies a retry to the service, which carries it out once.
    token: String,
    items: Vec<TransactWriteItem>,
    /// A name for each write, for error messages.
    names: Vec<&'static str>,
    /// Estimated write units, for when it fails.
    bytes: usize,
}

/// How a transaction ended.
pub(super) enum Outcome {
    Done,
    /// The conditions of some items did not hold.
    Refused {
        /// The existing item in place of the first one, if that condition failed.
        first: Option<Item>,
        /// The names of the failed ones.
        what: String,
    },
    /// It may have happened, or may still happen.
    Unknown(StoreError),
}

impl Transaction {
    pub(super) fn new(nonce: &Nonce) -> Self {
        Self { token: hex(nonce), items: Vec::new(), names: Vec::new(), bytes: 0 }
    }

    /// Creates an item that must not exist yet.
    pub(super) fn create(&mut self, table: &str, item: Item, key: &str) -> Result<(), StoreError> {
        self.count(item::size(&item));
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#k)")
            .expression_attribute_names("#k", key)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        self.push("new items", TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// Sets attributes of an item, existing or not. Others are kept: a later version may have written them.
    pub(super) fn set(
        &mut self,
        table: &str,
        key: Item,
        attributes: Vec<(&'static str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        self.count(1);
        let update = set(Update::builder(), &attributes).table_name(table).set_key(Some(key));
        self.push("members", TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// Replaces an item whose number `changed` must not be beyond `head`, the head that the decision was based on.
    pub(super) fn replace(
        &mut self,
        table: &str,
        item: Item,
        changed: &str,
        head: u64,
    ) -> Result<(), StoreError> {
        self.count(item::size(&item));
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#g) OR #g <= :head")
            .expression_attribute_names("#g", changed)
            .expression_attribute_values(":head", number(head));
        self.push("overlays", TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// Sets attributes of an existing item.
    pub(super) fn change(
        &mut self,
        table: &str,
        key: Item,
        must_exist: &str,
        attributes: &[(&'static str, AttributeValue)],
    ) -> Result<(), StoreError> {
        self.count(1);
        let update = set(Update::builder(), attributes)
            .table_name(table)
            .set_key(Some(key))
            .condition_expression("attribute_exists(#k)")
            .expression_attribute_names("#k", must_exist);
        self.push("settings", TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// Sets attributes of an existing item whose `expected` attributes are still as they were read.
    pub(super) fn change_if(
        &mut self,
        table: &str,
        key: Item,
        expected: &[(&'static str, Option<&AttributeValue>)],
        attributes: &[(&'static str, AttributeValue)],
    ) -> Result<(), StoreError> {
        self.count(1);
        let mut update = set(Update::builder(), attributes).table_name(table);
        let mut conditions = Vec::with_capacity(expected.len() + key.len());
        for name in key.keys() {
            conditions.push("attribute_exists(#k)".to_owned());
            update = update.expression_attribute_names("#k", name);
        }
        for (at, (name, value)) in expected.iter().enumerate() {
            update = update.expression_attribute_names(format!("#e{at}"), *name);
            match value {
                Some(value) => {
                    conditions.push(format!("#e{at} = :e{at}"));
                    update = update.expression_attribute_values(format!(":e{at}"), (*value).clone());
                }
                None => conditions.push(format!("attribute_not_exists(#e{at})")),
            }
        }
        let update = update.set_key(Some(key)).condition_expression(conditions.join(" AND "));
        self.push(
            "changed items",
            TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build(),
        );
        Ok(())
    }

    /// Puts an item, whether it exists or not.
    pub(super) fn put(&mut self, table: &str, item: Item) -> Result<(), StoreError> {
        self.count(item::size(&item));
        let put = Put::builder().table_name(table).set_item(Some(item));
        self.push("items", TransactWriteItem::builder().put(put.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// Removes an item, if it exists.
    pub(super) fn remove(&mut self, table: &str, key: Item) -> Result<(), StoreError> {
        self.count(1);
        let delete = Delete::builder().table_name(table).set_key(Some(key));
        self.push("items", TransactWriteItem::builder().delete(delete.build().map_err(unbuilt)?).build());
        Ok(())
    }

    /// The room in a member's list. The read position is kept; the join is recorded separately, and the further one
    /// counts.
    pub(super) fn member_of(
        &mut self,
        table: &str,
        room: &RoomId,
        member: &Member,
        joined: Option<Mark>,
    ) -> Result<(), StoreError> {
        self.count(1);
        let mut attributes = members::attributes(member);
        if let Some(mark) = joined {
            attributes.push((user_rooms::JOIN, number(mark.seq)));
            attributes.push((user_rooms::JOIN_COUNT, number(mark.message_count)));
            attributes.push((user_rooms::JOIN_DELETED, number(mark.deleted_count)));
        }
        let update = set(Update::builder(), &attributes)
            .table_name(table)
            .set_key(Some(user_rooms::key(&member.user, room)));
        self.push(
            "rooms of members",
            TransactWriteItem::builder().update(update.build().map_err(unbuilt)?).build(),
        );
        Ok(())
    }

    fn push(&mut self, name: &'static str, item: TransactWriteItem) {
        self.names.push(name);
        self.items.push(item);
    }

    /// Each item is rounded up to whole units, and costs twice the normal price.
    fn count(&mut self, bytes: usize) {
        self.bytes += 2 * 1024 * bytes.div_ceil(1024);
    }
}

/// An update that sets these attributes.
fn set(
    mut update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
    attributes: &[(&'static str, AttributeValue)],
) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
    let mut sets = Vec::with_capacity(attributes.len());
    for (at, (name, value)) in attributes.iter().enumerate() {
        sets.push(format!("#a{at} = :a{at}"));
        update = update
            .expression_attribute_names(format!("#a{at}"), *name)
            .expression_attribute_values(format!(":a{at}"), value.clone());
    }
    update.update_expression(format!("SET {}", sets.join(", ")))
}

impl Dynamo {
    /// Executes a transaction, or returns why it failed. Conflicts with other transactions are retried here.
    pub(super) async fn commit(
        &self,
        operation: &'static str,
        transaction: &Transaction,
    ) -> Result<Outcome, StoreError> {
        let attempts = Attempts::default();
        let unknown_or = |error: StoreError| match attempts.unclear() {
            true => Ok(Outcome::Unknown(error)),
            false => Err(error),
        };
        for attempt in 0..MAX_CONFLICTS {
            let answer = self
                .client
                .transact_write_items()
                .client_request_token(&transaction.token)
                .set_transact_items(Some(transaction.items.clone()))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .customize()
                .interceptor(attempts.clone())
                .send()
                .await;
            let error = match answer {
                Ok(answer) => {
                    units::written(operation, answer.consumed_capacity());
                    return Ok(Outcome::Done);
                }
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                // A request with this token was made before, by this process, since nonces are random.
                let before = error.code() == Some("IdempotentParameterMismatchException");
                let unknown = before || attempts.outcome_unknown(&error);
                let error = store_error(operation, error);
                return if unknown { Ok(Outcome::Unknown(error)) } else { Err(error) };
            };
            let reasons = cancelled.cancellation_reasons();
            match Cancelled::from(reasons) {
                Cancelled::Busy => pause(attempt).await,
                Cancelled::Conditions(failed) => {
                    units::refused(operation, transaction.bytes);
                    let first = failed.contains(&0).then(|| reasons[0].item().cloned().unwrap_or_default());
                    let names = failed.iter().filter_map(|at| transaction.names.get(*at)).copied();
                    return Ok(Outcome::Refused { first, what: names.collect::<Vec<_>>().join(", ") });
                }
                Cancelled::Other(code) => {
                    return unknown_or(StoreError::Refused(format!("{operation}: {code}")));
                }
            }
        }
        unknown_or(StoreError::Overloaded)
    }
}
