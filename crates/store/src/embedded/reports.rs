//! Reports: a row for each, and one in each list that it is in.

use std::ops::Bound;

use async_trait::async_trait;
use parlance_core::{Report, ReportId, ReportList, ReportPlace, Timestamp};
use parlance_proto::storage::v1::ReportRecord;

use super::tables::{Table, damaged};
use super::transaction::Transaction;
use super::view::View;
use super::{Embedded, keys};
use crate::record::carry_unknown;
use crate::report_record::{decode_report, encode_report};
use crate::{Created, FoundReports, ReportStore, StoreError};

#[async_trait]
impl ReportStore for Embedded {
    async fn create_report(&self, report: Report) -> Result<Created<Report>, StoreError> {
        self.committer
            .commit(move |txn| {
                let key = keys::report(&report.id);
                if let Some(bytes) = txn.get(Table::Members, &key)? {
                    return Ok(Created::Existing(decode_report(&report.id, &bytes)?));
                }
                txn.put(Table::Members, key, encode_report(&report));
                move_in_lists(txn, &report.place(), &[], &report.lists());
                Ok(Created::New(report))
            })
            .await?
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
            let mut found = FoundReports::default();
            let mut rows = 0;
            let from = Bound::Included(keys::report_list(&list));
            let to = Bound::Excluded(match &after {
                Some(after) => keys::report_in(&list, after),
                None => keys::report_list_end(&list),
            });
            for guard in view.range(Table::Members, from, to).rev().take(limit) {
                let key = guard.key().map_err(damaged)?;
                let place = keys::last_id(&key).and_then(ReportPlace::parse);
                let place = place.ok_or_else(|| StoreError::Damaged("a key of reports".into()))?;
                match read(view, &place.id) {
                    Ok(report) => found.reports.extend(report),
                    // It hides no others.
                    Err(error) => tracing::error!(%error, "a report is left out of a list"),
                }
                found.next = Some(place);
                rows += 1;
            }
            if rows < limit {
                found.next = None;
            }
            Ok(found)
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

fn move_in_lists(txn: &mut Transaction, place: &ReportPlace, before: &[ReportList], after: &[ReportList]) {
    for list in before.iter().filter(|list| !after.contains(list)) {
        txn.remove(Table::Members, keys::report_in(list, place));
    }
    for list in after.iter().filter(|list| !before.contains(list)) {
        txn.put(Table::Members, keys::report_in(list, place), Vec::new());
    }
}
