//! Writing and listing users.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure};
use parlance_core::{Name, Timestamp, UserId};

use super::calls::{Next, next};
use super::error::store_error;
use super::item::{self, number, text};
use super::{Dynamo, units, users};
use crate::{Created, StoreError, User};

impl Dynamo {
    pub(super) async fn put_user(&self, user: User) -> Result<Created<User>, StoreError> {
        let operation = "create_user";
        let item = users::user_item(&user);
        let size = item::size(&item);
        let answer = self
            .client
            .put_item()
            .table_name(&self.tables.users)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#u)")
            .expression_attribute_names("#u", users::USER)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let error = match answer {
            Ok(answer) => {
                units::written(operation, answer.consumed_capacity());
                return Ok(Created::New(user));
            }
            Err(error) => error,
        };
        if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error()
            && let Some(item) = failed.item()
        {
            units::refused(operation, size);
            let stored = users::user(item)?;
            // The very same, to the millisecond: a retry has met our own first try.
            return Ok(if stored == user { Created::New(user) } else { Created::Existing(stored) });
        }
        Err(store_error(operation, error))
    }

    pub(super) async fn update_name(
        &self,
        id: &UserId,
        name: &Name,
        at: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let operation = "rename_user";
        let answer = self
            .client
            .update_item()
            .table_name(&self.tables.users)
            .set_key(Some(users::key(id)))
            .update_expression("SET #n = :n, #t = :t")
            .condition_expression("attribute_exists(#u)")
            .expression_attribute_names("#u", users::USER)
            .expression_attribute_names("#n", users::NAME)
            .expression_attribute_names("#t", users::UPDATED)
            .expression_attribute_values(":n", text(name.as_str()))
            .expression_attribute_values(":t", number(at.0))
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match answer {
            Ok(answer) => {
                units::written(operation, answer.consumed_capacity());
                answer.attributes.map(|item| users::user(&item)).transpose()
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => {
                    units::refused(operation, 1);
                    Ok(None)
                }
                _ => Err(store_error(operation, error)),
            },
        }
    }

    /// Users in the order of the table's own hash.
    pub(super) async fn scan_users(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<User>, StoreError> {
        let operation = "users";
        let mut found = Vec::new();
        let mut start = after.map(users::key);
        while found.len() < limit {
            let answer = self
                .client
                .scan()
                .table_name(&self.tables.users)
                .limit(i32::try_from(limit - found.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .consistent_read(true)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| store_error(operation, error))?;
            units::read(operation, answer.consumed_capacity());
            for item in answer.items.unwrap_or_default() {
                found.push(users::user(&item)?);
            }
            match next(answer.last_evaluated_key) {
                Next::At(key) => start = Some(key),
                Next::End => break,
            }
        }
        Ok(found)
    }
}
