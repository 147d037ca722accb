//! Texts of delivered messages and edits: as written, or as left by a change that their reader
//! may know of.

use std::collections::HashMap;

use super::super::history::{ChangedText, History, LogBody, RoomHistory, Text};
use super::super::world::User;
use super::view::{View, spell};
use super::{Rule, Verdict};

/// Changes of one message: their seqs, and the resulting texts.
type Changes = HashMap<u64, Vec<(u64, Text)>>;

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    let changes: Vec<Changes> = history.rooms.iter().map(changes).collect();
    for (user, client) in (0..).zip(&history.clients) {
        for changed in client.sessions.iter().flat_map(|session| &session.changed) {
            let room = usize::from(changed.room);
            let why_not = why_not(&history.rooms[room], &changes[room], view, user, changed);
            verdict.check(Rule::Texts, why_not.is_none(), || {
                format!(
                    "client {user}: event {} of room {} read {:?} at {} ms, but {}",
                    changed.seq,
                    history.rooms[room].id,
                    changed.text,
                    changed.at,
                    why_not.unwrap_or_default()
                )
            });
        }
    }
}

fn changes(room: &RoomHistory) -> Changes {
    let mut changes = Changes::new();
    for event in &room.log {
        let (target, text) = match event.body {
            LogBody::Edited { target, .. } => (target, event.op.map_or(Text::Foreign, Text::Of)),
            LogBody::Deleted { target } => (target, Text::Empty),
            _ => continue,
        };
        changes.entry(target).or_default().push((event.seq, text));
    }
    changes
}

fn why_not(
    room: &RoomHistory,
    changes: &Changes,
    view: &View<'_>,
    user: User,
    changed: &ChangedText,
) -> Option<String> {
    let seq = u64::from(changed.seq);
    let event = room.log.get(seq.checked_sub(1)? as usize);
    let (message, is_edit) = match event.map(|event| &event.body) {
        Some(LogBody::Edited { target, .. }) => (*target, true),
        _ => (seq, false),
    };
    // An edit of an invisible message has no text.
    if is_edit && changed.text == Text::Empty && !view.is_visible(changed.room, user, message) {
        return None;
    }
    let made = changes.get(&message).into_iter().flatten().filter(|(_, text)| *text == changed.text);
    let made: Vec<u64> = made.map(|(at, _)| *at).collect();
    if made.is_empty() || (is_edit && changed.text != Text::Empty) {
        return Some("nothing has changed it to that".to_owned());
    }
    // Former members may still see deletions.
    let may_know =
        |at: &u64| changed.text == Text::Empty || view.may_know(changed.room, user, *at, changed.at);
    let intervals = view.intervals(changed.room, user);
    (!made.iter().any(may_know))
        .then(|| format!("was changed to that at {made:?}, which is not for them ({})", spell(intervals)))
}
