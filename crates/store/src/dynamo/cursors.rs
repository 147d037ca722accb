//! Moving the marks of a member forward.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use parlance_core::{Cursors, RoomId, UserId};

use super::backoff::pause;
use super::error::{is_conflict, store_error};
use super::item::{Item, number};
use super::limits::MAX_CONFLICTS;
use super::user_rooms::{self, DELIVERED, READ, READ_COUNT, READ_DELETED, Row};
use super::{Dynamo, units};
use crate::StoreError;

pub(super) const OPERATION: &str = "advance";

/// The result of writing a row once.
enum Moved {
    /// The row after the write.
    To(Item),
    /// The current row, which differs from the expected one; `None` if there is none.
    Refused(Option<Item>),
}

impl Dynamo {
    /// The row after moving its marks; `None` if there is none.
    pub(super) async fn advance_row(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Row>, StoreError> {
        // Without reading first: a device is usually ahead of the stored marks.
        let mut ahead = to;
        loop {
            let stored = match self.try_advance(user, room, ahead).await? {
                Moved::To(item) => item,
                Moved::Refused(None) => return Ok(None),
                Moved::Refused(Some(item)) => {
                    let stored = user_rooms::row(user, room, &item)?.cursors;
                    // Only the marks that still move, each separately.
                    let mut left = Cursors::default();
                    if ahead.delivered > stored.delivered {
                        left.delivered = ahead.delivered;
                    }
                    if ahead.read.seq > stored.read.seq {
                        left.read = ahead.read;
                    }
                    if left != Cursors::default() {
                        ahead = left;
                        continue;
                    }
                    item
                }
            };
            return Ok(Some(user_rooms::row(user, room, &stored)?));
        }
    }

    /// Writes the non-zero marks of `to`, if all of them are ahead of the stored ones.
    async fn try_advance(&self, user: &UserId, room: &RoomId, to: Cursors) -> Result<Moved, StoreError> {
        let mut sets = Vec::new();
        let mut conditions = vec!["attribute_exists(#u)".to_owned()];
        let mut names = vec![("#u", user_rooms::USER)];
        let mut values: Vec<(&str, AttributeValue)> = Vec::new();
        if to.delivered > 0 {
            sets.push("#d = :d");
            conditions.push("(attribute_not_exists(#d) OR #d < :d)".to_owned());
            names.push(("#d", DELIVERED));
            values.push((":d", number(to.delivered)));
        }
        if to.read.seq > 0 {
            sets.push("#r = :r, #c = :c, #e = :e");
            conditions.push("(attribute_not_exists(#r) OR #r < :r)".to_owned());
            names.extend([("#r", READ), ("#c", READ_COUNT), ("#e", READ_DELETED)]);
            values.extend([
                (":r", number(to.read.seq)),
                (":c", number(to.read.message_count)),
                (":e", number(to.read.deleted_count)),
            ]);
        }
        if sets.is_empty() {
            let item = self.get(OPERATION, &self.tables.user_rooms, user_rooms::key(user, room)).await?;
            return Ok(Moved::Refused(item));
        }
        for attempt in 0..MAX_CONFLICTS {
            let mut update = self
                .client
                .update_item()
                .table_name(&self.tables.user_rooms)
                .set_key(Some(user_rooms::key(user, room)))
                .update_expression(format!("SET {}", sets.join(", ")))
                .condition_expression(conditions.join(" AND "))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            for (name, value) in &names {
                update = update.expression_attribute_names(*name, *value);
            }
            for (name, value) in &values {
                update = update.expression_attribute_values(*name, value.clone());
            }
            let error = match update.send().await {
                Ok(answer) => {
                    units::written(OPERATION, answer.consumed_capacity());
                    return Ok(Moved::To(answer.attributes.unwrap_or_default()));
                }
                Err(error) => error,
            };
            if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
                units::refused(OPERATION, 1);
                return Ok(Moved::Refused(failed.item().cloned()));
            }
            if !is_conflict(&error) {
                return Err(store_error(OPERATION, error));
            }
            pause(attempt).await;
        }
        Err(StoreError::Overloaded)
    }
}
