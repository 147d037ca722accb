//! Creates and checks the tables.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus, ScalarAttributeType, StreamSpecification, StreamViewType, TableDescription,
    TableStatus, Tag, TimeToLiveStatus,
};
use tokio::time::{Instant, sleep};

use super::calls::unbuilt;
use super::error::{CallError, store_error};
use super::limits::{CREATION_POLL, CREATION_TIMEOUT};
use super::{Dynamo, consumers, messages, rooms, user_rooms, users};
use crate::StoreError;

/// Options for creating tables.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// Whether tables are protected from deletion.
    pub deletion_protection: bool,
    /// Names and values, for billing and access rules.
    pub tags: Vec<(String, String)>,
}

/// What was done to the tables, or found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Created, changed, or correct.
    pub notes: Vec<String>,
    /// Incorrect, but usable.
    pub warnings: Vec<String>,
    /// Not usable, or not safe.
    pub problems: Vec<String>,
}

/// The expected form of a table.
struct Design<'a> {
    name: &'a str,
    partition: &'static str,
    /// Sort key and its type.
    sort: Option<(&'static str, ScalarAttributeType)>,
    /// Whether its changes are in the change feed. Tables of the feed's consumers are not.
    has_stream: bool,
}

impl Design<'_> {
    fn keys(&self) -> Vec<(&'static str, ScalarAttributeType, KeyType)> {
        let partition = (self.partition, ScalarAttributeType::S, KeyType::Hash);
        let sort = self.sort.clone().map(|(name, kind)| (name, kind, KeyType::Range));
        std::iter::once(partition).chain(sort).collect()
    }

    /// The keys as text, to be compared and shown.
    fn in_words(&self) -> String {
        let keys = self.keys();
        let words: Vec<String> =
            keys.iter().map(|(name, kind, key)| format!("{key} {name} ({kind})")).collect();
        words.join(", ")
    }
}

impl Dynamo {
    fn designs(&self) -> [Design<'_>; 5] {
        let text = |name| Some((name, ScalarAttributeType::S));
        let table = |name, partition, sort| Design { name, partition, sort, has_stream: true };
        let consumers = table(&self.tables.consumers, consumers::CONSUMER, text(consumers::ITEM));
        let seq = Some((messages::SEQ, ScalarAttributeType::N));
        [
            table(&self.tables.users, users::USER, None),
            table(&self.tables.rooms, rooms::ROOM, text(rooms::ITEM)),
            table(&self.tables.messages, messages::ROOM, seq),
            table(&self.tables.user_rooms, user_rooms::USER, text(user_rooms::ROOM)),
            Design { has_stream: false, ..consumers },
        ]
    }

    /// Creates missing tables, billed on demand, and enables point-in-time recovery for all of them. Existing tables
    /// are otherwise unchanged; [`Self::check_tables`] verifies them. Safe to repeat.
    pub async fn create_tables(&self, options: &TableOptions) -> Result<TableReport, StoreError> {
        let mut report = TableReport::default();
        for design in self.designs() {
            if self.describe(design.name).await?.is_some() {
                report.notes.push(format!("{} is there", design.name));
                continue;
            }
            self.create_table(&design, options).await?;
            report.notes.push(format!("{} created", design.name));
        }
        for design in self.designs() {
            self.wait_until_active(design.name).await?;
            Box::pin(self.keep_backups(design.name, &mut report)).await?;
            if design.has_stream {
                Box::pin(self.keep_stream(design.name, &mut report)).await?;
            }
        }
        let identity = self.settle_identity().await?;
        report.notes.push(format!("the identity of the store is {}", identity.id));
        Ok(report)
    }

    async fn create_table(&self, design: &Design<'_>, options: &TableOptions) -> Result<(), StoreError> {
        let mut table = self
            .client
            .create_table()
            .table_name(design.name)
            .billing_mode(BillingMode::PayPerRequest)
            .deletion_protection_enabled(options.deletion_protection);
        if design.has_stream {
            table = table.stream_specification(keys_only()?);
        }
        for (name, kind, key) in design.keys() {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
            let element = KeySchemaElement::builder().attribute_name(name).key_type(key);
            table = table
                .attribute_definitions(attribute.build().map_err(unbuilt)?)
                .key_schema(element.build().map_err(unbuilt)?);
        }
        for (name, value) in &options.tags {
            table = table.tags(Tag::builder().key(name).value(value).build().map_err(unbuilt)?);
        }
        match table.send().await {
            Ok(_) => Ok(()),
            // Another process is creating it, or a retry has met our own first attempt.
            Err(error) if code(&error) == Some("ResourceInUseException") => Ok(()),
            Err(error) => Err(store_error("create_table", error)),
        }
    }

    async fn wait_until_active(&self, name: &str) -> Result<(), StoreError> {
        let deadline = Instant::now() + CREATION_TIMEOUT;
        loop {
            let table = self.describe(name).await?;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(StoreError::Refused(format!("table {name} does not become active")));
            }
            sleep(CREATION_POLL).await;
        }
    }

    async fn keep_backups(&self, name: &str, report: &mut TableReport) -> Result<(), StoreError> {
        let wanted = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
        let wanted = wanted.build().map_err(unbuilt)?;
        let deadline = Instant::now() + CREATION_TIMEOUT;
        loop {
            let update = self.client.update_continuous_backups().table_name(name);
            match update.point_in_time_recovery_specification(wanted.clone()).send().await {
                Ok(_) => report.notes.push(format!("{name}: point-in-time recovery is on")),
                Err(error) if is_unknown(&error) => report.warnings.push(no_backups_here(name)),
                // A new table is not immediately ready for it.
                Err(error)
                    if code(&error) == Some("ContinuousBackupsUnavailableException")
                        && Instant::now() < deadline =>
                {
                    sleep(CREATION_POLL).await;
                    continue;
                }
                Err(error) => return Err(store_error("update_continuous_backups", error)),
            }
            return Ok(());
        }
    }

    /// Enables the stream of a table created by an older version.
    async fn keep_stream(&self, name: &str, report: &mut TableReport) -> Result<(), StoreError> {
        if self.describe(name).await?.is_some_and(|table| has_stream(&table)) {
            return Ok(());
        }
        let update = self.client.update_table().table_name(name).stream_specification(keys_only()?);
        update.send().await.map_err(|error| store_error("update_table", error))?;
        report.notes.push(format!("{name}: its stream is on"));
        self.wait_until_active(name).await
    }

    /// Checks that the tables exist with the required settings.
    pub async fn check_tables(&self) -> Result<TableReport, StoreError> {
        let mut report = TableReport::default();
        for design in self.designs() {
            let Some(table) = self.describe(design.name).await? else {
                if !design.has_stream {
                    report
                        .warnings
                        .push(format!("{} is missing, which only consumers of events need", design.name));
                    continue;
                }
                report.problems.push(format!("{} is missing", design.name));
                continue;
            };
            let before = report.problems.len();
            check_description(&design, &table, &mut report);
            self.check_backups(design.name, &mut report).await?;
            if design.has_stream && !has_stream(&table) {
                report
                    .warnings
                    .push(format!("{}: its stream is off, which consumers of events need", design.name));
            }
            self.check_expiry(design.name, &mut report).await?;
            if report.problems.len() == before {
                report.notes.push(format!("{} is there", design.name));
            }
        }
        if report.problems.is_empty() && !self.has_identity().await? {
            report.notes.push("the store has no identity yet: the first node gives it one".to_owned());
        }
        Ok(report)
    }

    async fn check_backups(&self, name: &str, report: &mut TableReport) -> Result<(), StoreError> {
        let answer = match self.client.describe_continuous_backups().table_name(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_unknown(&error) => {
                report.warnings.push(no_backups_here(name));
                return Ok(());
            }
            Err(error) => return Err(store_error("describe_continuous_backups", error)),
        };
        let status = answer
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        if status != Some(PointInTimeRecoveryStatus::Enabled) {
            report.warnings.push(format!("{name}: point-in-time recovery is off"));
        }
        Ok(())
    }

    /// A room whose last messages expire would start again at seq 1.
    async fn check_expiry(&self, name: &str, report: &mut TableReport) -> Result<(), StoreError> {
        let answer = match self.client.describe_time_to_live().table_name(name).send().await {
            Ok(answer) => answer,
            Err(error) if is_unknown(&error) => return Ok(()),
            Err(error) => return Err(store_error("describe_time_to_live", error)),
        };
        let status = answer.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            report.problems.push(format!("{name}: items expire (time to live is on), which loses rooms"));
        }
        Ok(())
    }

    /// The names of the tables with user data, always in the same order.
    pub(super) fn table_names(&self) -> [&str; 4] {
        let [users, rooms, messages, user_rooms, _] = self.designs().map(|design| design.name);
        [users, rooms, messages, user_rooms]
    }

    pub(super) async fn describe(&self, name: &str) -> Result<Option<TableDescription>, StoreError> {
        match self.client.describe_table().table_name(name).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) if code(&error) == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(store_error("describe_table", error)),
        }
    }
}

/// Only keys: content is read from the log.
fn keys_only() -> Result<StreamSpecification, StoreError> {
    let keys_only =
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::KeysOnly);
    keys_only.build().map_err(unbuilt)
}

fn has_stream(table: &TableDescription) -> bool {
    table.stream_specification().is_some_and(|stream| stream.stream_enabled)
}

fn check_description(design: &Design<'_>, table: &TableDescription, report: &mut TableReport) {
    let kind = |name: &str| {
        let found = table.attribute_definitions().iter().find(|attribute| attribute.attribute_name == name);
        found.map_or_else(|| "?".to_owned(), |attribute| attribute.attribute_type.to_string())
    };
    let keys: Vec<String> = table
        .key_schema()
        .iter()
        .map(|key| format!("{} {} ({})", key.key_type, key.attribute_name, kind(&key.attribute_name)))
        .collect();
    let (found, wanted, name) = (keys.join(", "), design.in_words(), design.name);
    if found != wanted {
        report.problems.push(format!("{name}: the keys are {found}, not {wanted}"));
    }
    if table.table_status() != Some(&TableStatus::Active) {
        let status = table.table_status().map_or("unknown", TableStatus::as_str);
        report.problems.push(format!("{name}: the status is {status}"));
    }
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    if billing != Some(&BillingMode::PayPerRequest) {
        report.warnings.push(format!("{name}: capacity is provisioned, not billed by request"));
    }
}

fn code<E: ProvideErrorMetadata>(error: &CallError<E>) -> Option<&str> {
    match error {
        SdkError::ServiceError(service) => service.err().code(),
        _ => None,
    }
}

/// Emulators do not support everything.
fn is_unknown<E: ProvideErrorMetadata>(error: &CallError<E>) -> bool {
    code(error) == Some("UnknownOperationException")
}

fn no_backups_here(name: &str) -> String {
    format!("{name}: this endpoint knows no point-in-time recovery")
}
