//! Reports of messages and users: made by anyone, answered by those who moderate.

use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{
    Member, Reason, Refusal, Report, ReportCategory, ReportId, ReportList, ReportOf, ReportOutcome,
    ReportPlace, ReportedMessage, RequestId, Resolution, Role, RoomId, Timestamp, UserId,
};
use parlance_proto::v1;
use parlance_store::UserState;
use tokio::time::Instant;

use super::filtered::{Filling, page_bytes};
use super::report_signal::is_shown;
use super::report_view::{Reader, category_from, report_to_proto};
use super::{Access, only_the_app, parse};
use crate::gate::Admitted;
use crate::limits::{
    MAX_OPEN_REPORTS, MAX_PAGE_BYTES, MAX_REPORTS_A_DAY, PLACES_FOR_ONE, REPORT_TRIES, REPORT_WINDOW_MS,
};
use crate::{Api, Error};

/// What a report says, and the caller's id for it.
struct Claim {
    category: ReportCategory,
    text: Reason,
    request: RequestId,
}

/// Whom and what a report is about, and when it is made.
struct Target {
    at: Timestamp,
    user: UserId,
    message: Option<ReportedMessage>,
    /// Whether moderators of the room do not see it.
    for_app_only: bool,
}

impl Claim {
    fn parse(category: i32, text: &str, request: &str) -> Result<Self, Error> {
        Ok(Self {
            category: category_from(parse::known("category", category)?),
            text: Reason::parse_new(text).map_err(|error| parse::field("text", error))?,
            request: parse::request_id("request_id", request)?,
        })
    }
}

impl Api {
    pub(crate) async fn report_message(
        &self,
        caller: &Admitted,
        request: v1::ReportMessageRequest,
    ) -> Result<v1::ReportMessageResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let seq = parse::seq(request.seq)?;
        let claim = Claim::parse(request.category, &request.text, &request.request_id)?;
        let id = self.report_id(caller, &claim).await?;
        if let Some(earlier) = self.store().report(&id).await? {
            let is_same =
                earlier.message.as_ref().is_some_and(|message| message.room == room && message.seq == seq);
            return match is_same {
                true => Ok(v1::ReportMessageResponse { report_id: id.to_string(), is_repeat: true }),
                false => Err(Error::RequestIdReused),
            };
        }
        let access = self.access(caller, &room).await?;
        let entry = self.message_at(caller, &access, seq).await?;
        if entry.overlay.as_ref().is_some_and(|overlay| overlay.deleted) {
            return Err(Error::Refused { room, refusal: Refusal::MessageDeleted(seq) });
        }
        let author = entry.event.actor.clone();
        if author == caller.user {
            return Err(parse::field("seq", "is a message of the caller"));
        }
        // The app makes any number.
        if !caller.is_app() {
            let of = ReportOf { reporter: caller.user.clone(), room: room.clone(), seq };
            let last = self.store().last_report(&of).await?;
            if let Some(open) = last.filter(|last| last.resolution.is_none()) {
                return Ok(v1::ReportMessageResponse { report_id: open.id.to_string(), is_repeat: true });
            }
        }
        let at = self.clock().now();
        // First, as it is cheaper.
        self.check_reports_made(caller, at).await?;
        let list = ReportList::Room { room: room.clone(), is_open: true };
        let open = self.store().count_reports(&list, Timestamp::default(), MAX_OPEN_REPORTS).await?;
        self.gate.charge(caller, open / PLACES_FOR_ONE);
        // Nobody keeps others from reporting by many reports: the app sees them all.
        let for_app_only = !caller.is_app() && open >= MAX_OPEN_REPORTS;
        let message = Some(ReportedMessage::of(&room, &entry));
        let (id, is_repeat) =
            self.file(caller, id, claim, Target { at, user: author, message, for_app_only }).await?;
        Ok(v1::ReportMessageResponse { report_id: id.to_string(), is_repeat })
    }

    pub(crate) async fn report_user(
        &self,
        caller: &Admitted,
        request: v1::ReportUserRequest,
    ) -> Result<v1::ReportUserResponse, Error> {
        let user = parse::user_id("user_id", &request.user_id)?;
        let claim = Claim::parse(request.category, &request.text, &request.request_id)?;
        if user == caller.user {
            return Err(parse::field("user_id", "nobody reports themselves"));
        }
        let id = self.report_id(caller, &claim).await?;
        if let Some(earlier) = self.store().report(&id).await? {
            return match earlier.message.is_none() && earlier.user == user {
                true => Ok(v1::ReportUserResponse { report_id: id.to_string(), is_repeat: true }),
                false => Err(Error::RequestIdReused),
            };
        }
        self.existing_users(caller, std::slice::from_ref(&user)).await?;
        let at = self.clock().now();
        self.check_reports_made(caller, at).await?;
        let target = Target { at, user, message: None, for_app_only: false };
        let (id, is_repeat) = self.file(caller, id, claim, target).await?;
        Ok(v1::ReportUserResponse { report_id: id.to_string(), is_repeat })
    }

    async fn report_id(&self, caller: &Admitted, claim: &Claim) -> Result<ReportId, Error> {
        self.ensure_user(caller).await?;
        Ok(ReportId::created(&self.room_ids().key, &caller.user, &claim.request))
    }

    /// Refuses a caller who has reached the limit of reports a day. The app has none: it may report by a program.
    async fn check_reports_made(&self, caller: &Admitted, at: Timestamp) -> Result<(), Error> {
        if caller.is_app() {
            return Ok(());
        }
        let list = ReportList::By(caller.user.clone());
        let since = Timestamp(at.0.saturating_sub(REPORT_WINDOW_MS));
        let made = self.store().count_reports(&list, since, MAX_REPORTS_A_DAY).await?;
        if made >= MAX_REPORTS_A_DAY { Err(Error::TooManyReports(MAX_REPORTS_A_DAY)) } else { Ok(()) }
    }

    /// Stores a report. Returns its id, and whether it was there before; of a message that the caller reports twice at once,
    /// the second is the first.
    async fn file(
        &self,
        caller: &Admitted,
        id: ReportId,
        claim: Claim,
        target: Target,
    ) -> Result<(ReportId, bool), Error> {
        let Target { at, user, message, for_app_only } = target;
        let mut report = Report {
            id,
            at,
            reporter: caller.user.clone(),
            category: claim.category,
            text: claim.text,
            user: user.clone(),
            message,
            resolution: None,
            for_app_only,
            reporter_erased: false,
            user_erased: false,
        };
        // No copy of what an account left that was deleted.
        if self.is_deleted(&user).await? {
            report = report.without_words_of(&user).unwrap_or(report);
        }
        let (stored, is_repeat) =
            self.store().create_report(report.clone(), !caller.is_app()).await?.into_parts();
        if is_repeat && !stored.has_target_of(&report) {
            return Err(Error::RequestIdReused);
        }
        // An account that was deleted meanwhile was perhaps erased from the reports before this one was among them.
        for account in [stored.user.clone(), stored.reporter.clone()] {
            if self.is_deleted(&account).await? {
                self.erase_from_report(stored.clone(), &account).await?;
            }
        }
        let id = stored.id.clone();
        if !is_repeat {
            self.tell_moderators(stored);
        }
        Ok((id, is_repeat))
    }

    pub(super) async fn is_deleted(&self, user: &UserId) -> Result<bool, Error> {
        Ok(self.store().user(user).await?.is_some_and(|user| user.state == UserState::Deleted))
    }

    pub(crate) async fn list_reports(
        &self,
        caller: &Admitted,
        request: v1::ListReportsRequest,
    ) -> Result<v1::ListReportsResponse, Error> {
        if request.room_id.is_empty() {
            only_the_app(caller)?;
        }
        let (room, access) = match request.room_id.as_str() {
            "" => (None, None),
            room => {
                let room = parse::room_id(room)?;
                // The app sees reports of deleted rooms, too.
                let access =
                    if caller.is_service { None } else { Some(self.moderated(caller, &room).await?) };
                (Some(room), access)
            }
        };
        let is_open = match parse::known("state", request.state)? {
            v1::ReportState::Unspecified | v1::ReportState::Open => true,
            v1::ReportState::Resolved => false,
        };
        let size = parse::page_size(request.page_size)?;
        let mut page = Filling::new(&request.page_token, size, ReportPlace::parse)?;
        let list = match room {
            Some(room) => ReportList::Room { room, is_open },
            None => ReportList::All { is_open },
        };
        let reader = if access.is_some() { Reader::Moderator } else { Reader::App };
        let (mut after, mut bytes) = (page.start(), 0);
        let is_end = 'page: loop {
            let found = self.store().reports(&list, after.as_ref(), self.sizes().page_read).await?;
            let shown = match &access {
                Some(access) => self.shown_to(access, &found.reports).await?,
                None => vec![true; found.reports.len()],
            };
            for (report, is_shown) in found.reports.iter().zip(shown) {
                let shown = is_shown.then(|| report_to_proto(report, reader));
                bytes += shown.as_ref().map_or(0, page_bytes);
                // Not of what the caller has not seen does the token name the place.
                let is_full = bytes > MAX_PAGE_BYTES && page.end_before(is_shown);
                if is_full || page.push(report.place(), shown) {
                    break 'page false;
                }
            }
            after = found.next;
            if after.is_none() || page.is_enough() {
                break after.is_none();
            }
        };
        self.gate.charge(caller, page.cost());
        let (reports, next_page_token) = page.finish(is_end, ReportPlace::to_string);
        Ok(v1::ListReportsResponse { reports, next_page_token })
    }

    /// A room whose reports the caller may list.
    async fn moderated(&self, caller: &Admitted, room: &RoomId) -> Result<Access, Error> {
        let access = self.access(caller, room).await?;
        access.member_with(Role::Admin)?;
        Ok(access)
    }

    /// Which of `reports`, of messages in one room, a moderator sees.
    async fn shown_to(&self, access: &Access, reports: &[Report]) -> Result<Vec<bool>, Error> {
        let users: BTreeSet<UserId> = reports.iter().map(|report| report.user.clone()).collect();
        let users: Vec<UserId> = users.into_iter().collect();
        let rows = self.store().members_by_id(&access.room.info.id, &users).await?;
        let rows: BTreeMap<&UserId, &Member> = rows.iter().map(|row| (&row.user, row)).collect();
        reports.iter().map(|report| is_shown(access, report, rows.get(&report.user).copied())).collect()
    }

    pub(crate) async fn resolve_report(
        &self,
        caller: &Admitted,
        request: v1::ResolveReportRequest,
    ) -> Result<v1::ResolveReportResponse, Error> {
        let id = ReportId::parse(&request.report_id).map_err(|error| parse::field("report_id", error))?;
        let outcome = match v1::ReportOutcome::try_from(request.outcome) {
            Ok(v1::ReportOutcome::Dismissed) => ReportOutcome::Dismissed,
            Ok(v1::ReportOutcome::ActionTaken) => ReportOutcome::ActionTaken,
            _ => return Err(parse::field("outcome", "must be one that this server knows")),
        };
        let note = Reason::parse_new(&request.note).map_err(|error| parse::field("note", error))?;
        let mut report = self.store().report(&id).await?.ok_or(Error::ReportNotFound)?;
        let reader = self.reader_of(caller, &report).await?;
        let resolution = Resolution { at: self.clock().now(), by: caller.user.clone(), outcome, note };
        for _ in 0..REPORT_TRIES {
            let is_repeat = report.resolution.as_ref().is_some_and(|earlier| {
                (&earlier.by, earlier.outcome, &earlier.note) == (&resolution.by, outcome, &resolution.note)
            });
            if !is_repeat && report.resolution.is_some() && reader != Reader::App {
                return Err(Error::ReportResolved);
            }
            let resolved = Report { resolution: Some(resolution.clone()), ..report.clone() };
            if is_repeat || self.store().replace_report(&report, &resolved).await? {
                let report = if is_repeat { &report } else { &resolved };
                return Ok(v1::ResolveReportResponse { report: Some(report_to_proto(report, reader)) });
            }
            report = self.store().report(&id).await?.ok_or(Error::ReportNotFound)?;
        }
        Err(Error::Contention)
    }

    /// As whom the caller sees the report, if at all.
    async fn reader_of(&self, caller: &Admitted, report: &Report) -> Result<Reader, Error> {
        if caller.is_service {
            return Ok(Reader::App);
        }
        let message = report.message.as_ref().ok_or(Error::ReportNotFound)?;
        let access = match self.moderated(caller, &message.room).await {
            Err(Error::Refused { .. } | Error::RoomNotFound) => return Err(Error::ReportNotFound),
            access => access?,
        };
        match self.shown_to(&access, std::slice::from_ref(report)).await? == [true] {
            true => Ok(Reader::Moderator),
            false => Err(Error::ReportNotFound),
        }
    }

    /// Removes from reports what `user`, whose account is deleted, has left in them: their words, and copies of their
    /// messages. Returns whether that is all, or the time was up before.
    pub(super) async fn erase_from_reports(&self, user: &UserId, until: Instant) -> Result<bool, Error> {
        for list in [ReportList::About(user.clone()), ReportList::By(user.clone())] {
            let mut after = None;
            loop {
                let found = self.store().reports(&list, after.as_ref(), self.sizes().page_read).await?;
                for report in found.reports {
                    self.erase_from_report(report, user).await?;
                }
                after = found.next;
                if after.is_none() {
                    break;
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn erase_from_report(&self, mut report: Report, user: &UserId) -> Result<(), Error> {
        for _ in 0..REPORT_TRIES {
            let Some(erased) = report.without_words_of(user) else { return Ok(()) };
            if self.store().replace_report(&report, &erased).await? {
                return Ok(());
            }
            let Some(stored) = self.store().report(&report.id).await? else { return Ok(()) };
            report = stored;
        }
        Err(Error::Contention)
    }
}
