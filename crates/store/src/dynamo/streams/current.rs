//! The streams that the tables have now.
//!
//! A stream that was switched off is closed, and its readers reach its end like that of a quiet one. Switched on
//! again it is another stream, which lacks what was written in between.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::TableDescription;

use super::frontier::Source;
use crate::StoreError;
use crate::dynamo::Dynamo;

/// The streams of all tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Streams {
    /// Differs for other tables, and for another stream of one of them.
    pub(super) identity: String,
    arns: HashMap<Source, String>,
}

impl Streams {
    /// What the tables have.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if a table has no stream; what the service said.
    pub(super) async fn of(store: &Dynamo) -> Result<Self, StoreError> {
        let mut identity = store.settle_identity().await?.id;
        let mut arns = HashMap::new();
        for source in Source::ALL {
            let name = store.name_of(source);
            let table = store.describe(name).await?;
            let is_on = |table: &&TableDescription| {
                table.stream_specification().is_some_and(|stream| stream.stream_enabled)
            };
            let table = table.as_ref().filter(is_on);
            let arn = table.and_then(|table| table.latest_stream_arn());
            let arn = arn.ok_or_else(|| {
                StoreError::Refused(format!("{name} has no stream: run `parlance tables create`"))
            })?;
            let label = table.and_then(|table| table.latest_stream_label()).unwrap_or_default();
            identity.push('-');
            identity.extend(label.chars().filter(char::is_ascii_digit));
            arns.insert(source, arn.to_owned());
        }
        Ok(Self { identity, arns })
    }

    /// The stream of a table.
    pub(super) fn of_table(&self, source: Source) -> &str {
        self.arns.get(&source).map_or("", String::as_str)
    }
}

impl Dynamo {
    fn name_of(&self, source: Source) -> &str {
        match source {
            Source::Messages => &self.tables.messages,
            Source::Rooms => &self.tables.rooms,
            Source::UserRooms => &self.tables.user_rooms,
            Source::Users => &self.tables.users,
        }
    }
}
