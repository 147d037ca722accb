//! What users have set for their rooms: hidden, pinned, muted, marked as unread.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use parlance_core::{RoomId, UserId};

use super::backoff::pause;
use super::error::{is_conflict, store_error};
use super::item::number;
use super::limits::MAX_CONFLICTS;
use super::user_rooms::{self, HIDDEN, HIDDEN_COUNT, MUTED, MUTED_UNTIL, PINNED, UNREAD};
use super::{Dynamo, units};
use crate::{PreferencesChange, StoreError};

impl Dynamo {
    /// Returns whether the row exists.
    pub(super) async fn update_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        let mut values = Vec::new();
        if let Some(hidden) = change.hidden {
            values.extend([(HIDDEN, hidden.seq), (HIDDEN_COUNT, hidden.message_count)]);
        }
        values.extend(change.pinned_at.map(|at| (PINNED, at)));
        if let Some((at, until)) = change.muted {
            values.extend([(MUTED, at), (MUTED_UNTIL, until.0)]);
        }
        values.extend(change.unread_at.map(|at| (UNREAD, at)));
        self.set_numbers("set_preferences", user, room, &values).await
    }

    /// Sets attributes of a row that exists. Others stay as they are, so two devices that change different ones at once do
    /// not undo each other.
    async fn set_numbers(
        &self,
        operation: &'static str,
        user: &UserId,
        room: &RoomId,
        values: &[(&'static str, u64)],
    ) -> Result<bool, StoreError> {
        let assignments: Vec<String> = values.iter().map(|(name, _)| format!("{name} = :{name}")).collect();
        // Without attributes this only checks that the row exists.
        let expression = (!values.is_empty()).then(|| format!("SET {}", assignments.join(", ")));
        for attempt in 0..MAX_CONFLICTS {
            let mut update = self
                .client
                .update_item()
                .table_name(&self.tables.user_rooms)
                .set_key(Some(user_rooms::key(user, room)))
                .set_update_expression(expression.clone())
                .condition_expression("attribute_exists(#u)")
                .expression_attribute_names("#u", user_rooms::USER)
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            for (name, value) in values {
                update = update.expression_attribute_values(format!(":{name}"), number(*value));
            }
            let error = match update.send().await {
                Ok(answer) => {
                    units::written(operation, answer.consumed_capacity());
                    return Ok(true);
                }
                Err(error) => error,
            };
            if let Some(UpdateItemError::ConditionalCheckFailedException(_)) = error.as_service_error() {
                units::refused(operation, 1);
                return Ok(false);
            }
            if !is_conflict(&error) {
                return Err(store_error(operation, error));
            }
            pause(attempt).await;
        }
        Err(StoreError::Overloaded)
    }
}
