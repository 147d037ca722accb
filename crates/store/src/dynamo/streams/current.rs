//! The current streams of the tables.
//!
//! A disabled stream is closed; to its readers that looks like a quiet one. Enabled again, it is a different stream,
//! without the records of the writes in between.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::TableDescription;

use super::frontier::Source;
use crate::StoreError;
use crate::dynamo::Dynamo;

/// The streams of all tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Streams {
    /// Changes with the tables, and with each new stream of one of them.
    pub(super) identity: String,
    arns: HashMap<Source, String>,
}

impl Streams {
    /// Reads the streams of the tables.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if a table has no stream; errors of the service.
    pub(super) async fn of(store: &Dynamo) -> Result<Self, StoreError> {
        let mut identity = store.settled().await?.id.clone();
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
