//! Reports of messages and users: items of the table `user_rooms` whose keys are no ids of a user and a room. They are in
//! the stream of the table, whose readers ignore them.
//!
//! | attribute | | |
//! |---|---|---|
//! | `user_id`, `room_id` | S | `#report ` and the report's id, a text that is no id: the report |
//! | `report` | B | a `ReportRecord` |
//! | `user_id`, `room_id` | S | `#reports ` and the name of a list, the report's place: the report is in that list |
//! | `user_id`, `room_id` | S | `#reported ` and who reports, the room and the seq of a message: their last report of it |
//! | `last` | B | a `LastReportRecord` |
//!
//! A report is made seldom, so all that are open can be in one partition.

use std::collections::HashMap;

use parlance_core::{Report, ReportId, ReportList, ReportOf, ReportPlace, Timestamp};
use parlance_proto::storage::v1::ReportRecord;

use super::calls::Range;
use super::item::{self, Item, bytes, get_bytes, get_text, text};
use super::limits::REPORT_TRIES;
use super::transaction::{Outcome, Transaction};
use super::{BEHIND_IDS, Dynamo, user_rooms};
use crate::random::random;
use crate::record::{carry_unknown, damaged};
use crate::report_record::{decode_last, decode_report, encode_last, encode_report};
use crate::{Created, FoundReports, StoreError};

/// In place of a room's id.
const ITEM: &str = " report";
const REPORT: &str = "report";

const LAST: &str = "last";

const READ: &str = "reports";
const WRITE: &str = "write_report";

fn key(id: &ReportId) -> Item {
    item::item([(user_rooms::USER, text(&format!("#report {id}"))), (user_rooms::ROOM, text(ITEM))])
}

fn partition(list: &ReportList) -> String {
    format!("#reports {list}")
}

/// The item that names the last report of a message by somebody.
fn reported(of: &ReportOf) -> Item {
    let ReportOf { reporter, room, seq } = of;
    item::item([
        (user_rooms::USER, text(&format!("#reported {reporter}"))),
        (user_rooms::ROOM, text(&format!("{room} {seq}"))),
    ])
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

    pub(super) async fn put_report(
        &self,
        report: Report,
        is_only: bool,
    ) -> Result<Created<Report>, StoreError> {
        let of = report.of_message().filter(|_| is_only).map(|of| reported(&of));
        let mut last: Option<Item> = None;
        for _ in 0..REPORT_TRIES {
            let mut item = key(&report.id);
            item.insert(REPORT.to_owned(), bytes(encode_report(&report)));
            let mut transaction = Transaction::new(&random()?);
            transaction.create(&self.tables.user_rooms, item, user_rooms::USER)?;
            for list in report.lists() {
                transaction.put(&self.tables.user_rooms, row(&list, &report.place()))?;
            }
            if let Some(of) = &of {
                self.replace_last(&mut transaction, of, last.as_ref(), &report.id)?;
            }
            match self.commit(WRITE, &transaction).await? {
                Outcome::Done => return Ok(Created::New(report)),
                Outcome::Unknown(error) => return Err(error),
                Outcome::Refused { .. } => {}
            }
            if let Some(stored) = self.stored_report(&report.id).await? {
                return Ok(Created::Existing(stored));
            }
            let of = of.clone().ok_or_else(|| damaged("the report", &report.id))?;
            last = self.get_settled(READ, &self.tables.user_rooms, of).await?;
            // One that was answered gives way.
            if let Some(item) = &last
                && let Some(open) = self.named_by(item).await?
                && open.resolution.is_none()
            {
                return Ok(Created::Existing(open));
            }
        }
        Err(StoreError::Failed("a report of the same message is made again and again".into()))
    }

    pub(super) async fn last_report_of(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        match self.get_settled(READ, &self.tables.user_rooms, reported(of)).await? {
            Some(item) => self.named_by(&item).await,
            None => Ok(None),
        }
    }

    async fn named_by(&self, last: &Item) -> Result<Option<Report>, StoreError> {
        self.stored_report(&decode_last(get_bytes(last, LAST).unwrap_or_default())?).await
    }

    /// Names the report `id` in the item `of`, if that is still as it was read.
    fn replace_last(
        &self,
        transaction: &mut Transaction,
        of: &Item,
        before: Option<&Item>,
        id: &ReportId,
    ) -> Result<(), StoreError> {
        let value = bytes(encode_last(id));
        match before {
            None => {
                let mut item = of.clone();
                item.insert(LAST.to_owned(), value);
                transaction.create(&self.tables.user_rooms, item, user_rooms::USER)
            }
            Some(before) => transaction.change_if(
                &self.tables.user_rooms,
                of.clone(),
                &[(LAST, before.get(LAST))],
                &[(LAST, value)],
            ),
        }
    }

    pub(super) async fn reports_in(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        let (partition, high) = (partition(list), after.map_or_else(|| BEHIND_IDS.to_string(), before));
        let place = |item: &Item| {
            let place = get_text(item, user_rooms::ROOM).and_then(ReportPlace::parse);
            place.ok_or_else(|| damaged("a key", "reports"))
        };
        let places = self.run_readable(&self.listed(&partition, " ", &high), limit, place).await?;
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
