//! Reports of messages and users: items of the table `user_rooms` whose keys are no ids of a user and a room. They are in
//! the stream of the table, whose readers ignore them.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id`, `room_id` | S | `#report ` and the report's id, a text that is no id: the report |
//! | `report` | B | a `ReportRecord` |
//! | `user_id`, `room_id` | S | `#reports ` and the name of a list, the report's place: the report is in that list |
//!
//! A report is made seldom, so all that are open can be in one partition.

use std::collections::HashMap;

use parlance_core::{Report, ReportId, ReportList, ReportPlace, Timestamp};
use parlance_proto::storage::v1::ReportRecord;

use super::calls::Range;
use super::item::{self, Item, bytes, get_bytes, get_text, text};
use super::transaction::{Outcome, Transaction};
use super::{BEHIND_IDS, Dynamo, user_rooms};
use crate::random::random;
use crate::record::{carry_unknown, damaged};
use crate::report_record::{decode_report, encode_report};
use crate::{Created, FoundReports, StoreError};

/// In place of a room's id.
const ITEM: &str = " report";
const REPORT: &str = "report";

const READ: &str = "reports";
const WRITE: &str = "write_report";

fn key(id: &ReportId) -> Item {
    item::item([(user_rooms::USER, text(&format!("#report {id}"))), (user_rooms::ROOM, text(ITEM))])
}

fn partition(list: &ReportList) -> String {
    format!("#reports {list}")
}

fn row(list: &ReportList, place: &ReportPlace) -> Item {
    item::item([(user_rooms::USER, text(&partition(list))), (user_rooms::ROOM, text(&place.to_string()))])
}

/// What all places before `place` are not above: the last character is the next lower one.
fn before(place: &ReportPlace) -> String {
    let mut text = place.to_string();
    let last = text.pop().and_then(|last| char::from_u32(u32::from(last) - 1));
    text.extend(last);
    text
}

fn record(item: &Item) -> Result<(Report, &[u8]), StoreError> {
    let id =
        get_text(item, user_rooms::USER).and_then(|id| ReportId::parse(id.strip_prefix("#report ")?).ok());
    let id = id.ok_or_else(|| damaged("a key", "reports"))?;
    let bytes = get_bytes(item, REPORT).ok_or_else(|| damaged("the report", &id))?;
    Ok((decode_report(&id, bytes)?, bytes))
}

impl Dynamo {
    fn listed<'a>(&'a self, partition: &'a str, low: &str, high: &str) -> Range<'a> {
        Range {
            operation: READ,
            table: &self.tables.user_rooms,
            partition: (user_rooms::USER, partition),
            sort: user_rooms::ROOM,
            low: text(low),
            high: text(high),
            backwards: true,
        }
    }

    pub(super) async fn stored_report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        let item = self.get_settled(READ, &self.tables.user_rooms, key(id)).await?;
        item.map(|item| Ok(record(&item)?.0)).transpose()
    }

    pub(super) async fn put_report(&self, report: Report) -> Result<Created<Report>, StoreError> {
        let mut item = key(&report.id);
        item.insert(REPORT.to_owned(), bytes(encode_report(&report)));
        let mut transaction = Transaction::new(&random()?);
        transaction.create(&self.tables.user_rooms, item, user_rooms::USER)?;
        for list in report.lists() {
            transaction.put(&self.tables.user_rooms, row(&list, &report.place()))?;
        }
        match self.commit(WRITE, &transaction).await? {
            Outcome::Done => Ok(Created::New(report)),
            Outcome::Unknown(error) => Err(error),
            Outcome::Refused { .. } => {
                let stored = self.stored_report(&report.id).await?;
                Ok(Created::Existing(stored.ok_or_else(|| damaged("the report", &report.id))?))
            }
        }
    }

    pub(super) async fn reports_in(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        let (partition, high) = (partition(list), after.map_or_else(|| BEHIND_IDS.to_string(), before));
        let items = self.run(&self.listed(&partition, " ", &high), limit).await?;
        let place = |item: &Item| {
            let place = get_text(item, user_rooms::ROOM).and_then(ReportPlace::parse);
            place.ok_or_else(|| damaged("a key", "reports"))
        };
        let places = items.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let keys = places.iter().map(|place| key(&place.id)).collect();
        let mut found = HashMap::new();
        for item in self.get_many(READ, &self.tables.user_rooms, keys).await? {
            match record(&item) {
                Ok((report, _)) => drop(found.insert(report.id.clone(), report)),
                // It hides no others.
                Err(error) => tracing::error!(%error, "a report is left out of a list"),
            }
        }
        // Rows and reports are read one after the other: a report may have left the list by now.
        let is_listed = |report: &Report| report.lists().contains(list);
        let reports = places.iter().filter_map(|place| found.remove(&place.id).filter(is_listed)).collect();
        let next = if places.len() == limit { places.last().cloned() } else { None };
        Ok(FoundReports { reports, next })
    }

    pub(super) async fn count_in(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let (partition, low) = (partition(list), ReportPlace::first_at(since));
        Ok(self.run(&self.listed(&partition, &low, &BEHIND_IDS.to_string()), limit).await?.len())
    }

    pub(super) async fn change_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        let Some(item) = self.get_settled(WRITE, &self.tables.user_rooms, key(&old.id)).await? else {
            return Ok(false);
        };
        let (stored, known) = record(&item)?;
        if stored != *old {
            return Ok(stored == *new);
        }
        let changed = carry_unknown::<ReportRecord>(known, encode_report(new));
        let mut transaction = Transaction::new(&random()?);
        transaction.change_if(
            &self.tables.user_rooms,
            key(&old.id),
            &[(REPORT, item.get(REPORT))],
            &[(REPORT, bytes(changed))],
        )?;
        let (place, before, after) = (old.place(), old.lists(), new.lists());
        for list in before.iter().filter(|list| !after.contains(list)) {
            transaction.remove(&self.tables.user_rooms, row(list, &place))?;
        }
        for list in after.iter().filter(|list| !before.contains(list)) {
            transaction.put(&self.tables.user_rooms, row(list, &place))?;
        }
        match self.commit(WRITE, &transaction).await? {
            Outcome::Done => Ok(true),
            Outcome::Refused { .. } => Ok(false),
            Outcome::Unknown(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_between_a_place_and_those_before() {
        let place = |id: &str| ReportPlace { at: Timestamp(7), id: ReportId::parse(id).unwrap() };
        for (id, lower) in [("pa0", "p9f"), ("pa1", "pa0"), ("paa", "pa9")] {
            let bound = before(&place(id));
            assert!(place(lower).to_string() <= bound && bound < place(id).to_string(), "{id}");
        }
    }
}
