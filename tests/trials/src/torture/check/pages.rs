//! Pages of history read during the run.

use super::super::history::History;
use super::view::View;
use super::{Rule, Verdict};

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    for (user, client) in (0..).zip(&history.clients) {
        for page in &client.pages {
            let name = &history.rooms[usize::from(page.room)].id;
            let mut after = page.from.saturating_sub(1);
            for (seq, print) in &page.events {
                let seq = u64::from(*seq);
                verdict.check(Rule::Pages, seq <= page.head, || {
                    format!(
                        "client {user}: a page of room {name} at head {} holds event {seq} ({} ms)",
                        page.head, page.answered
                    )
                });
                if seq <= after {
                    verdict.violation(Rule::Pages, || {
                        format!("client {user}: a page of room {name} holds event {seq} after {after}")
                    });
                }
                // In between are only events that the user may not see.
                let due = |between: &u64| {
                    view.is_visible(page.room, user, *between)
                        && (!page.messages || view.is_message(page.room, *between))
                };
                let skipped = (after + 1..seq).find(due);
                if let Some(skipped) = skipped {
                    verdict.violation(Rule::Pages, || {
                        format!(
                            "client {user}: a page of room {name} from {} leaves out {skipped}",
                            page.from
                        )
                    });
                }
                after = seq;
                verdict.check(Rule::Agreement, view.print(page.room, seq) == Some(*print), || {
                    format!("client {user}: event {seq} of a page of room {name} is not that of the log")
                });
                let trespass = view.trespass(page.room, user, seq, page.answered);
                verdict.check(Rule::Members, trespass.is_none(), || {
                    format!(
                        "client {user}: a page of room {name}, asked for at {} ms, holds event {seq}, but the user {}",
                        page.asked,
                        trespass.unwrap_or_default()
                    )
                });
            }
        }
    }
}
