//! Rooms hidden by their users.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use parlance_core::{Mark, RoomId, UserId};

use super::backoff::pause;
use super::error::{is_conflict, store_error};
use super::item::number;
use super::limits::MAX_CONFLICTS;
use super::user_rooms::{self, HIDDEN, HIDDEN_COUNT};
use super::{Dynamo, units};
use crate::StoreError;

const OPERATION: &str = "set_hidden";

impl Dynamo {
    /// Returns whether the row exists.
    pub(super) async fn update_hidden(
        &self,
        user: &UserId,
        room: &RoomId,
        hidden: Mark,
    ) -> Result<bool, StoreError> {
        for attempt in 0..MAX_CONFLICTS {
            let answer = self
                .client
                .update_item()
                .table_name(&self.tables.user_rooms)
                .set_key(Some(user_rooms::key(user, room)))
                .update_expression("SET #h = :h, #c = :c")
                .condition_expression("attribute_exists(#u)")
                .expression_attribute_names("#u", user_rooms::USER)
                .expression_attribute_names("#h", HIDDEN)
                .expression_attribute_names("#c", HIDDEN_COUNT)
                .expression_attribute_values(":h", number(hidden.seq))
                .expression_attribute_values(":c", number(hidden.message_count))
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await;
            let error = match answer {
                Ok(answer) => {
                    units::written(OPERATION, answer.consumed_capacity());
                    return Ok(true);
                }
                Err(error) => error,
            };
            if let Some(UpdateItemError::ConditionalCheckFailedException(_)) = error.as_service_error() {
                units::refused(OPERATION, 1);
                return Ok(false);
            }
            if !is_conflict(&error) {
                return Err(store_error(OPERATION, error));
            }
            pause(attempt).await;
        }
        Err(StoreError::Overloaded)
    }
}
