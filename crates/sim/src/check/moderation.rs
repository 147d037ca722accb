//! Nobody says anything while they are muted, nor more often than slow mode lets them.

use std::collections::BTreeMap;

use parlance_core::{Body, Event, Mute, Role, Timestamp, UserId};

use crate::store::Tables;

pub(super) fn check(tables: &Tables, violations: &mut Vec<String>) {
    for (id, row) in &tables.rooms {
        let found = unheeded(row.events());
        violations.extend(found.into_iter().map(|what| format!("the log of {id}: {what}")));
    }
}

/// Events that should have been refused.
fn unheeded<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<String> {
    let mut roles: BTreeMap<&UserId, Role> = BTreeMap::new();
    let mut mutes: BTreeMap<&UserId, Mute> = BTreeMap::new();
    let mut sent: BTreeMap<&UserId, Timestamp> = BTreeMap::new();
    let (mut slow_mode, mut found) = (0, Vec::new());
    for event in events {
        let (actor, at) = (&event.actor, event.at);
        if matches!(event.body, Body::Message(_) | Body::MessageEdited { .. } | Body::ReactionAdded { .. })
            && mutes.get(actor).is_some_and(|mute| mute.holds_at(at))
        {
            found.push(format!("{} of {actor}, who is muted then", event.seq));
        }
        match &event.body {
            Body::RoomCreated { settings, .. } | Body::RoomChanged { settings } => {
                slow_mode = u64::from(settings.slow_mode) * 1_000;
            }
            Body::MemberAdded { user, role, .. } | Body::RoleChanged { user, role } => {
                roles.insert(user, *role);
            }
            Body::MemberMuted { user, until, .. } => drop(mutes.insert(user, Mute { until: *until })),
            Body::MemberUnmuted { user } => drop(mutes.remove(user)),
            Body::Message(_) => {
                let is_slowed = roles.get(actor).is_some_and(|role| *role < Role::Admin);
                if let Some(last) = sent.insert(actor, at)
                    && is_slowed
                    && at.since(last) < slow_mode
                {
                    found.push(format!("{} of {actor}, {} ms after their last", event.seq, at.since(last)));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use parlance_core::{Message, Reason, RequestId, Settings, Text, Unknown};

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn said() -> Body {
        Body::Message(Message::plain(Text::parse("x").unwrap()))
    }

    /// Checks a log of bob's events, each with its time.
    fn check(events: &[(u64, Body)], expected: &[&str]) {
        let event = |(index, (at, body)): (usize, &(u64, Body))| Event {
            seq: index as u64 + 1,
            at: Timestamp(*at),
            actor: user("bob"),
            service: None,
            request: RequestId::parse(&index.to_string()).unwrap(),
            message_count: 0,
            deleted_count: 0,
            body: body.clone(),
            unknown: Unknown::default(),
        };
        let events: Vec<Event> = events.iter().enumerate().map(event).collect();
        assert_eq!(unheeded(events.iter()), expected);
    }

    #[test]
    fn words_of_the_muted_are_found() {
        let mute = |until: Option<u64>| Body::MemberMuted {
            user: user("bob"),
            until: until.map(Timestamp),
            reason: Reason::default(),
        };
        let unmute = Body::MemberUnmuted { user: user("bob") };
        check(&[(1, said()), (2, mute(None)), (3, unmute), (3, said())], &[]);
        check(&[(2, mute(Some(9))), (9, said())], &[]);
        check(&[(2, mute(None)), (9, said())], &["2 of bob, who is muted then"]);
        check(&[(2, mute(Some(9))), (8, said())], &["2 of bob, who is muted then"]);
    }

    #[test]
    fn messages_too_soon_are_found() {
        let joined = |role| Body::MemberAdded { user: user("bob"), role, link: None };
        let slow = Body::RoomChanged { settings: Settings { slow_mode: 2, ..Settings::default() } };
        let start = |role| vec![(1, joined(role)), (1, slow.clone())];
        let then = |role, more: &[u64]| {
            let mut events = start(role);
            events.extend(more.iter().map(|at| (*at, said())));
            events
        };
        check(&then(Role::Member, &[10, 2_010]), &[]);
        check(&then(Role::Member, &[10, 2_009]), &["4 of bob, 1999 ms after their last"]);
        check(&then(Role::Admin, &[10, 11]), &[]);
    }
}
