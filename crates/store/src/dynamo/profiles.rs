//! Writes and lists users.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue};
use parlance_core::{Timestamp, UserId};

use super::backoff::pause;
use super::calls::{Next, next};
use super::error::store_error;
use super::item::{Item, number, text};
use super::limits::MAX_CONFLICTS;
use super::transaction::{Outcome, Transaction};
use super::{Dynamo, by_name, units, users};
use crate::random::random;
use crate::{Created, StoreError, UpdateError, User, UserChange, UserState};

const UPDATE: &str = "update_user";

/// The result of an attempt to change a user.
enum Changed {
    User(Box<User>),
    /// There is no such user, or the data has changed.
    Refused,
}

impl Dynamo {
    pub(super) async fn put_user(&self, user: User) -> Result<Created<User>, StoreError> {
        let operation = "create_user";
        let mut transaction = Transaction::new(&random()?);
        transaction.create(&self.tables.users, users::user_item(&user), users::USER)?;
        if let Some(place) = user.place() {
            transaction.put(&self.tables.user_rooms, by_name::key(&place))?;
        }
        match self.commit(operation, &transaction).await? {
            Outcome::Done => Ok(Created::New(user)),
            Outcome::Refused { first: Some(item), .. } => {
                let stored = users::user(&item)?;
                // Identical, to the millisecond: a retry has met our own first attempt.
                Ok(if stored == user { Created::New(user) } else { Created::Existing(stored) })
            }
            Outcome::Refused { first: None, what } => {
                Err(StoreError::Refused(format!("{operation}: {what}")))
            }
            Outcome::Unknown(error) => Err(error),
        }
    }

    /// Changes a user. The new data depends on the existing data: if that has changed since it was
    /// read, retries.
    pub(super) async fn change_user(
        &self,
        id: &UserId,
        change: &UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        for attempt in 0..MAX_CONFLICTS {
            let is_read = change.sets_place() || !change.data.is_empty();
            let before = match is_read {
                true => match self.get(UPDATE, &self.tables.users, users::key(id)).await? {
                    Some(item) if change.may_change(&users::user(&item)?) => Some(item),
                    _ => return Ok(None),
                },
                false => None,
            };
            let changed = match &before {
                Some(before) if change.sets_place() => self.put_place(id, change, before, at).await?,
                _ => self.put_changes(id, change, before.as_ref(), at).await?,
            };
            match changed {
                Changed::User(user) => return Ok(Some(*user)),
                Changed::Refused if before.is_none() => return Ok(None),
                Changed::Refused => pause(attempt).await,
            }
        }
        Err(StoreError::Overloaded.into())
    }

    /// Changes a user together with the item by which they are found.
    async fn put_place(
        &self,
        id: &UserId,
        change: &UserChange,
        before: &Item,
        at: Timestamp,
    ) -> Result<Changed, UpdateError> {
        let old = users::user(before)?;
        let mut new = old.clone();
        change.clone().apply(&mut new, at)?;
        let attributes = [
            (users::NAME, text(new.name.as_str())),
            (users::IMAGE, text(new.image.as_str())),
            (users::DATA, users::data_value(&new.data)),
            (users::STATE, users::state_value(new.state)),
            (users::UPDATED, number(at.0)),
        ];
        let expected =
            [users::NAME, users::IMAGE, users::DATA, users::STATE].map(|name| (name, before.get(name)));
        let mut transaction = Transaction::new(&random()?);
        transaction.change_if(&self.tables.users, users::key(id), &expected, &attributes)?;
        let place = new.place();
        if let Some(old) = old.place().filter(|old| Some(old) != place.as_ref()) {
            transaction.remove(&self.tables.user_rooms, by_name::key(&old))?;
        }
        if let Some(place) = place {
            transaction.put(&self.tables.user_rooms, by_name::key(&place))?;
        }
        match self.commit(UPDATE, &transaction).await? {
            Outcome::Done => Ok(Changed::User(Box::new(new))),
            Outcome::Refused { .. } => Ok(Changed::Refused),
            Outcome::Unknown(error) => Err(error.into()),
        }
    }

    async fn put_changes(
        &self,
        id: &UserId,
        change: &UserChange,
        before: Option<&Item>,
        at: Timestamp,
    ) -> Result<Changed, UpdateError> {
        let mut update = self
            .client
            .update_item()
            .table_name(&self.tables.users)
            .set_key(Some(users::key(id)))
            .expression_attribute_names("#u", users::USER)
            .expression_attribute_names("#t", users::UPDATED)
            .expression_attribute_values(":t", number(at.0))
            .expression_attribute_names("#s", users::STATE)
            .expression_attribute_values(":s", users::state_value(UserState::Deleted))
            .return_values(ReturnValue::AllNew)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut set = "SET #t = :t".to_owned();
        let mut condition = "attribute_exists(#u) AND (attribute_not_exists(#s) OR #s <> :s)".to_owned();
        if let Some(image) = &change.image {
            set.push_str(", #i = :i");
            update = update
                .expression_attribute_names("#i", users::IMAGE)
                .expression_attribute_values(":i", text(image.as_str()));
        }
        if let Some(before) = before {
            let data = users::user(before)?.data.changed(&change.data)?;
            set.push_str(", #d = :d");
            update = update
                .expression_attribute_names("#d", users::DATA)
                .expression_attribute_values(":d", users::data_value(&data));
            match before.get(users::DATA) {
                Some(old) => {
                    condition.push_str(" AND #d = :o");
                    update = update.expression_attribute_values(":o", old.clone());
                }
                None => condition.push_str(" AND attribute_not_exists(#d)"),
            }
        }
        let answer = update.update_expression(set).condition_expression(condition).send().await;
        match answer {
            Ok(answer) => {
                units::written(UPDATE, answer.consumed_capacity());
                let item = answer.attributes.ok_or_else(|| StoreError::Damaged(format!("user {id}")))?;
                Ok(Changed::User(Box::new(users::user(&item)?)))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => {
                    units::refused(UPDATE, 1);
                    Ok(Changed::Refused)
                }
                _ => Err(store_error(UPDATE, error).into()),
            },
        }
    }

    /// Users in the table's hash order.
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
