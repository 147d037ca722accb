//! Reports: a row for each, one in each list that it is in, and one for each message and reporter with the last of them.

use std::ops::Bound;

use async_trait::async_trait;
use parlance_core::{Report, ReportId, ReportList, ReportOf, ReportPlace, Timestamp};
use parlance_proto::storage::v1::ReportRecord;

use super::tables::Table;
use super::transaction::Transaction;
use super::view::{View, readable};
use super::{Embedded, keys};
use crate::record::{carry_unknown, damaged};
use crate::report_record::{decode_last, decode_report, encode_last, encode_report};
use crate::{Created, FoundReports, ReportStore, StoreError};

#[async_trait]
impl ReportStore for Embedded {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        self.committer
            .commit(move |txn| {
                if let Some(stored) = stored(txn, &report.id)? {
                    return Ok(Created::Existing(stored));
                }
                let reported = report.of_message().filter(|_| is_only).map(|of| keys::reported(&of));
                if let Some(key) = &reported
                    && let Some(last) = txn.get(Table::Members, key)?
                    && let Some(last) = stored(txn, &decode_last(&last)?)?
                    && last.resolution.is_none()
                {
                    return Ok(Created::Existing(last));
                }
                if let Some(key) = reported {
                    txn.put(Table::Members, key, encode_last(&report.id));
                }
                txn.put(Table::Members, keys::report(&report.id), encode_report(&report));
                move_in_lists(txn, &report.place(), &[], &report.lists());
                Ok(Created::New(report))
            })
            .await?
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        let key = keys::reported(of);
        self.view(move |view| match view.get(Table::Members, &key)? {
            Some(last) => read(view, &decode_last(&last)?),
            None => Ok(None),
        })
        .await
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        let id = id.clone();
        self.view(move |view| read(view, &id)).await
    }

    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        let (list, after) = (list.clone(), after.cloned());
        self.view(move |view| {
            let from = Bound::Included(keys::report_list(&list));
            let to = Bound::Excluded(match &after {
                Some(after) => keys::report_in(&list, after),
                None => keys::report_list_end(&list),
            });
            let rows = view.range(Table::Members, from, to).rev();
            let places = readable(rows, limit, |key, _| {
                let place = keys::last_id(key).and_then(ReportPlace::parse);
                place.ok_or_else(|| damaged("a key", "reports"))
            })?;
            let mut reports = Vec::new();
            for place in &places {
                match read(view, &place.id) {
                    Ok(report) => reports.extend(report),
                    // It hides no others.
                    Err(error) => tracing::error!(%error, "a report is left out of a list"),
                }
            }
            let next = if places.len() == limit { places.last().cloned() } else { None };
            Ok(FoundReports { reports, next })
        })
        .await
    }

    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let list = list.clone();
        self.view(move |view| {
            let from = [keys::report_list(&list), ReportPlace::first_at(since).into_bytes()].concat();
            let to = Bound::Excluded(keys::report_list_end(&list));
            Ok(view.range(Table::Members, Bound::Included(from), to).take(limit).count())
        })
        .await
    }

    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        let (old, new) = (old.clone(), new.clone());
        self.committer
            .commit(move |txn| {
                let key = keys::report(&old.id);
                let Some(bytes) = txn.get(Table::Members, &key)? else { return Ok(false) };
                let stored = decode_report(&old.id, &bytes)?;
                if stored != old {
                    return Ok(stored == new);
                }
                let row = carry_unknown::<ReportRecord>(&bytes, encode_report(&new));
                txn.put(Table::Members, key, row);
                move_in_lists(txn, &old.place(), &old.lists(), &new.lists());
                Ok(true)
            })
            .await?
    }
}

fn read(view: &View, id: &ReportId) -> Result<Option<Report>, StoreError> {
    let bytes = view.get(Table::Members, &keys::report(id))?;
    bytes.map(|bytes| decode_report(id, &bytes)).transpose()
}

fn stored(txn: &Transaction, id: &ReportId) -> Result<Option<Report>, StoreError> {
    let bytes = txn.get(Table::Members, &keys::report(id))?;
    bytes.map(|bytes| decode_report(id, &bytes)).transpose()
}

fn move_in_lists(txn: &mut Transaction, place: &ReportPlace, before: &[ReportList], after: &[ReportList]) {
    for list in before.iter().filter(|list| !after.contains(list)) {
        txn.remove(Table::Members, keys::report_in(list, place));
    }
    for list in after.iter().filter(|list| !before.contains(list)) {
        txn.put(Table::Members, keys::report_in(list, place), Vec::new());
    }
}
