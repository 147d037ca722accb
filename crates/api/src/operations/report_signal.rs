//! Tells those who moderate a room of new reports.

use parlance_cluster::Cluster;
use parlance_core::{Member, Report, Role, RoomKind};
use parlance_delivery::SharedFrame;
use parlance_proto::v1;
use parlance_proto::v1::signal::Signal;
use parlance_store::Store;

use super::Access;
use crate::limits::MAX_REPORT_MEMBERS;
use crate::{Api, Error};

/// Whether the moderator with this access to a room sees a report of a message there. `reported` is the row of who is
/// reported.
pub(super) fn is_shown(access: &Access, report: &Report, reported: Option<&Member>) -> Result<bool, Error> {
    let own = access.active_member()?;
    let Some(message) = &report.message else { return Ok(false) };
    let may_ban = report.user != own.user && reported.is_none_or(|row| own.may_ban(row));
    Ok(may_ban && !report.for_app_only && access.shows(message.seq)?)
}

impl Api {
    /// Signals a new report to those who moderate its room and see it. Best effort, and nobody waits for it: neither the
    /// time of the answer nor what becomes of the signal says anything to the reporter.
    pub(super) fn tell_moderators(&self, report: Report) {
        let (store, cluster, page) =
            (self.parts.store.clone(), self.cluster.clone(), self.sizes().rooms_page);
        self.tasks().spawn(async move {
            if let Err(error) = tell(store.as_ref(), &cluster, &report, page).await {
                tracing::debug!(report = %report.id, %error, "cannot signal a report");
            }
        });
    }
}

async fn tell(store: &dyn Store, cluster: &Cluster, report: &Report, page: usize) -> Result<(), Error> {
    let Some(message) = &report.message else { return Ok(()) };
    let Some(room) = store.room(&message.room).await? else { return Ok(()) };
    if room.info.kind == RoomKind::Direct {
        return Ok(());
    }
    let reported = store.member(&message.room, &report.user).await?;
    let made = v1::ReportMade { room_id: message.room.to_string(), report_id: report.id.to_string() };
    let frame = SharedFrame::signal(Signal::ReportMade(made));
    let (mut after, mut left) = (None, MAX_REPORT_MEMBERS);
    while left > 0 {
        let rows = store.members(&message.room, after.as_ref(), page.min(left)).await?;
        left -= page.min(left);
        let is_last = rows.len() < page;
        after = rows.last().map(|last| last.user.clone());
        for row in rows.into_iter().filter(|row| row.is_active() && row.role >= Role::Admin) {
            let (user, member) = (row.user.clone(), row.as_of(room.head().seq()));
            let access = Access { room: room.clone(), own: member.clone(), member };
            if is_shown(&access, report, reported.as_ref()).unwrap_or(false) {
                cluster.signal_user(&user, &frame).await;
            }
        }
        if is_last {
            break;
        }
    }
    Ok(())
}
