use std::collections::BTreeMap;

use parlance_core::{Report, ReportId, ReportList, ReportPlace, Timestamp};
use parlance_store::{Created, FoundReports};

/// Reports by id.
#[derive(Default)]
pub(super) struct Reports(BTreeMap<ReportId, Report>);

impl Reports {
    pub(super) fn create(&mut self, report: Report) -> Created<Report> {
        if let Some(there) = self.0.get(&report.id) {
            return Created::Existing(there.clone());
        }
        self.0.insert(report.id.clone(), report.clone());
        Created::New(report)
    }

    pub(super) fn get(&self, id: &ReportId) -> Option<Report> {
        self.0.get(id).cloned()
    }

    fn listed(&self, list: &ReportList) -> Vec<&Report> {
        let mut listed: Vec<_> = self.0.values().filter(|report| report.lists().contains(list)).collect();
        listed.sort_by_key(|report| report.place());
        listed.reverse();
        listed
    }

    pub(super) fn page(&self, list: &ReportList, after: Option<&ReportPlace>, limit: usize) -> FoundReports {
        let rest = self.listed(list).into_iter();
        let rest = rest.filter(|report| after.is_none_or(|after| report.place() < *after));
        let reports: Vec<_> = rest.take(limit).cloned().collect();
        let next = reports.last().filter(|_| reports.len() == limit).map(Report::place);
        FoundReports { reports, next }
    }

    pub(super) fn count(&self, list: &ReportList, since: Timestamp, limit: usize) -> usize {
        self.listed(list).into_iter().filter(|report| report.at >= since).take(limit).count()
    }

    pub(super) fn replace(&mut self, old: &Report, new: &Report) -> bool {
        match self.0.get_mut(&old.id) {
            Some(stored) if stored == old => {
                *stored = new.clone();
                true
            }
            stored => stored.is_some_and(|stored| stored == new),
        }
    }
}
