use async_trait::async_trait;
use parlance_core::{Report, ReportId, ReportList, ReportOf, ReportPlace, Timestamp};

use crate::created::Created;
use crate::error::StoreError;

/// A page of reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundReports {
    /// The reports; fewer than asked for where some have just changed.
    pub reports: Vec<Report>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<ReportPlace>,
}

/// Reports of messages and users. Not in the change feed.
#[async_trait]
pub trait ReportStore: Send + Sync + 'static {
    /// Stores a report, or returns the existing one with its id; with `is_only`, also the open one that its reporter has made
    /// of the same message in this way.
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError>;

    /// The last report that somebody made of a message with `is_only`.
    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError>;

    /// One report.
    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError>;

    /// The reports of a list, latest first, after `after`.
    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError>;

    /// How many reports of a list were made at `since` or later; counts up to `limit`.
    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Replaces `old`, if it is still stored like that, by `new`, which has the same id and time. Returns whether it is
    /// `new` now.
    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError>;
}
