use std::collections::BTreeMap;

use parlance_core::{Report, ReportId, ReportList, ReportOf, ReportPlace, Timestamp};
use parlance_store::{Created, FoundReports};

/// Reports by id, and the last one that somebody has made of a message.
#[derive(Default)]
pub(super) struct Reports {
    by_id: BTreeMap<ReportId, Report>,
    last: BTreeMap<ReportOf, ReportId>,
}

impl Reports {
    pub(super) fn create(&mut self, report: Report, is_only: bool) -> Created<Report> {
        if let Some(there) = self.by_id.get(&report.id) {
            return Created::Existing(there.clone());
        }
        if let Some(of) = report.of_message().filter(|_| is_only) {
            if let Some(open) = self.last(&of).filter(|last| last.resolution.is_none()) {
                return Created::Existing(open);
            }
            self.last.insert(of, report.id.clone());
        }
        self.by_id.insert(report.id.clone(), report.clone());
        Created::New(report)
    }

    pub(super) fn last(&self, of: &ReportOf) -> Option<Report> {
        self.last.get(of).and_then(|last| self.get(last))
    }

    pub(super) fn get(&self, id: &ReportId) -> Option<Report> {
        self.by_id.get(id).cloned()
    }

    fn listed(&self, list: &ReportList) -> Vec<&Report> {
        let mut listed: Vec<_> = self.by_id.values().filter(|report| report.lists().contains(list)).collect();
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
        match self.by_id.get_mut(&old.id) {
            Some(stored) if stored == old => {
                *stored = new.clone();
                true
            }
            stored => stored.is_some_and(|stored| stored == new),
        }
    }
}
