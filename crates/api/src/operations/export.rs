//! Everything that is stored about a user.

use futures::future::BoxFuture;
use parlance_core::{Member, ReportList, ReportPlace, SeqRange, UserId};
use parlance_proto::{convert, v1};
use parlance_store::UserRoom;
use prost::Message;
use tokio::time::Instant;
use v1::exported_item::Item;

use super::only_the_app;
use super::parse::{self, TOKEN_SPACE};
use super::preferences::preferences_to_proto;
use super::report_view::{Reader, report_to_proto};
use super::views::user_to_proto;
use super::walk::{Place, Visit};
use crate::gate::Admitted;
use crate::limits::{MAX_PAGE_BYTES, WALK_TIME};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn export_user(
        &self,
        caller: &Admitted,
        request: v1::ExportUserRequest,
    ) -> Result<v1::ExportUserResponse, Error> {
        only_the_app(caller)?;
        let id = parse::user_id("user_id", &request.user_id)?;
        let section = Section::parse(&request.page_token)?;
        let user = self.store().user(&id).await?.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        let until = Instant::now() + WALK_TIME;
        let mut page = Page { api: self, user: &id, items: Vec::new(), bytes: 0, scanned: 0, until };
        let mut unreadable_room_ids = Vec::new();
        if matches!(section, Section::Rooms(None)) {
            page.push(Item::User(user_to_proto(&user)));
            let blocks = self.store().blocks(&id).await?;
            for (other, since) in blocks.iter() {
                let since = Some(convert::timestamp(since));
                page.push(Item::Block(v1::Block { user_id: other.to_string(), since }));
            }
            let invited = self.all_invited(&id).await?;
            unreadable_room_ids.extend(invited.unreadable);
            for invitation in invited.invitations {
                page.push(Item::Invitation(invitation));
            }
            for request in invited.requests {
                page.push(Item::JoinRequest(request));
            }
        }
        let mut section = Some(section);
        if let Some(Section::Rooms(place)) = section {
            let walked = self.walk(&id, place, &mut page).await?;
            unreadable_room_ids.extend(walked.unreadable);
            section = Some(match walked.next {
                Some(place) => Section::Rooms(Some(place)),
                None => Section::Made(None),
            });
        }
        while let Some(Section::Made(_) | Section::About(_) | Section::Answered(_)) = section
            && !page.is_full()
        {
            section = page.reports(section).await?;
        }
        let next_page_token = section.map(|section| section.token()).unwrap_or_default();
        Ok(v1::ExportUserResponse { items: page.items, next_page_token, unreadable_room_ids })
    }
}

/// Where an export continues.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    /// In the user's rooms, after profile and blocks.
    Rooms(Option<Place>),
    /// In the reports that the user made.
    Made(Option<ReportPlace>),
    /// In those about the user.
    About(Option<ReportPlace>),
    /// In those that the user answered.
    Answered(Option<ReportPlace>),
}

/// What the tokens of reports begin with: no id of a room does.
const MADE: &str = "#made";
const ABOUT: &str = "#about";
const ANSWERED: &str = "#answered";

impl Section {
    fn parse(token: &str) -> Result<Self, Error> {
        let of_reports = [(MADE, Self::Made as fn(_) -> _), (ABOUT, Self::About), (ANSWERED, Self::Answered)];
        for (name, section) in of_reports {
            if let Some(place) = token.strip_prefix(name) {
                let place = place.strip_prefix(TOKEN_SPACE).unwrap_or(place);
                let place = parse::page_token(place, |place| ReportPlace::parse(place).ok_or(()))?;
                return Ok(section(place));
            }
        }
        Ok(Self::Rooms(Place::parse(token)?))
    }

    fn token(&self) -> String {
        let of_reports = |name: &str, place: &Option<ReportPlace>| match place {
            Some(place) => format!("{name}{TOKEN_SPACE}{place}"),
            None => name.to_owned(),
        };
        match self {
            Self::Rooms(place) => Place::token(place.as_ref()),
            Self::Made(place) => of_reports(MADE, place),
            Self::About(place) => of_reports(ABOUT, place),
            Self::Answered(place) => of_reports(ANSWERED, place),
        }
    }
}

/// The page that is being filled.
struct Page<'a> {
    api: &'a Api,
    user: &'a UserId,
    items: Vec<v1::ExportedItem>,
    bytes: usize,
    /// Events read for it, most of which are of others.
    scanned: usize,
    /// When the rest is left to the next page.
    until: Instant,
}

impl Visit for Page<'_> {
    fn visit<'a>(&'a mut self, row: &'a UserRoom, seq: u64) -> BoxFuture<'a, Result<Option<u64>, Error>> {
        Box::pin(self.export(row, seq))
    }
}

impl Page<'_> {
    fn push(&mut self, item: Item) {
        let item = v1::ExportedItem { item: Some(item) };
        self.bytes += item.encoded_len();
        self.items.push(item);
    }

    fn is_full(&self) -> bool {
        let is_full = self.bytes > MAX_PAGE_BYTES || self.scanned >= self.api.sizes().max_scan;
        is_full || Instant::now() >= self.until
    }

    /// Adds a room, from `seq` on; the membership only at its beginning.
    async fn export(&mut self, row: &UserRoom, seq: u64) -> Result<Option<u64>, Error> {
        if self.is_full() {
            return Ok(Some(seq));
        }
        if seq == 0 {
            let member = self.api.store().member(&row.room, self.user).await?;
            self.push(Item::Room(self.room(row, member.as_ref().unwrap_or(&row.member))));
        }
        let Some(room) = self.api.store().room(&row.room).await?.filter(|room| !room.info.deleted) else {
            return Ok(None);
        };
        let (mut from, head) = (seq.max(1), room.head().seq());
        while from <= head {
            let range = SeqRange { from, to: head };
            let entries = self.api.store().read(&row.room, range, self.api.sizes().page_read, false).await?;
            from = entries.last().map_or(head, |last| last.event.seq) + 1;
            self.scanned += entries.len();
            for entry in entries.iter().filter(|entry| entry.event.actor == *self.user) {
                // Messages with many reactions are large.
                if self.bytes > MAX_PAGE_BYTES {
                    return Ok(Some(entry.event.seq));
                }
                self.push(Item::Event(convert::entry(row.room.as_str(), entry)));
            }
            if from <= head && self.is_full() {
                return Ok(Some(from));
            }
        }
        // An empty room costs a read, too.
        self.scanned += 1;
        Ok(None)
    }

    /// Adds reports from `section` on. Returns where to continue.
    async fn reports(&mut self, section: Option<Section>) -> Result<Option<Section>, Error> {
        let (list, reader, after) = match &section {
            Some(Section::Made(after)) => (ReportList::By(self.user.clone()), Reader::Reporter, after),
            Some(Section::About(after)) => (ReportList::About(self.user.clone()), Reader::Reported, after),
            Some(Section::Answered(after)) => {
                (ReportList::AnsweredBy(self.user.clone()), Reader::Answerer, after)
            }
            Some(Section::Rooms(_)) | None => return Ok(section),
        };
        let found = self.api.store().reports(&list, after.as_ref(), self.api.sizes().page_read).await?;
        self.scanned += found.reports.len();
        for report in &found.reports {
            self.push(Item::Report(report_to_proto(report, reader)));
        }
        let next = found.next;
        Ok(match section {
            Some(Section::Made(_)) if next.is_some() => Some(Section::Made(next)),
            Some(Section::Made(_)) => Some(Section::About(None)),
            Some(Section::About(_)) if next.is_some() => Some(Section::About(next)),
            Some(Section::About(_)) => Some(Section::Answered(None)),
            _ => next.map(|next| Section::Answered(Some(next))),
        })
    }

    /// A room of the user, whose row with the data is `member`.
    fn room(&self, row: &UserRoom, member: &Member) -> v1::ExportedRoom {
        let now = self.api.clock().now();
        v1::ExportedRoom {
            room_id: row.room.to_string(),
            membership: Some(convert::member(member)),
            read: Some(convert::read_mark(row.cursors.read)),
            delivered_seq: row.cursors.delivered,
            preferences: Some(preferences_to_proto(&row.preferences, &row.member, &row.cursors, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{ReportId, RoomId, Timestamp};

    use super::*;

    #[test]
    fn tokens_are_read_as_they_were_written() {
        let place = ReportPlace { at: Timestamp(7), id: ReportId::parse("p1").unwrap() };
        let room = Place { room: RoomId::parse("order-42").unwrap(), seq: 7 };
        for section in [
            Section::Rooms(Some(room)),
            Section::Made(None),
            Section::Made(Some(place.clone())),
            Section::About(None),
            Section::About(Some(place.clone())),
            Section::Answered(None),
            Section::Answered(Some(place)),
        ] {
            assert_eq!(Section::parse(&section.token()), Ok(section));
        }
        assert_eq!(Section::parse(""), Ok(Section::Rooms(None)));
        for wrong in ["#", "#made x", "#madex", "#about 1 2", "about"] {
            assert!(Section::parse(wrong).is_err(), "{wrong}");
        }
    }
}
