use std::collections::{BTreeMap, BTreeSet};

use parlance_core::limits::MAX_CLOCK_OFFSET_MS;
use parlance_core::{Body, Event, Timestamp};

use super::Truth;
use crate::store::{RoomRow, Tables};

/// The log of each room is one sequence without holes, and the data next to it is consistent.
pub(super) fn check(tables: &Tables, violations: &mut Vec<String>) {
    // Clocks are compared with a resolution of a millisecond.
    if tables.ahead_ms > MAX_CLOCK_OFFSET_MS + 1 {
        violations.push(format!("an event is stamped {} ms ahead of time", tables.ahead_ms));
    }
    let truth = Truth::of(tables);
    for (id, row) in &tables.rooms {
        let mut complain = |what: String| violations.push(format!("the log of {id}: {what}"));
        let mut next = 1;
        let mut last_at = Timestamp(0);
        let mut messages = 0;
        for event in row.events() {
            if event.seq != next {
                complain(format!("{} where {next} belongs", event.seq));
            }
            if event.at < last_at {
                complain(format!("time goes back at {}", event.seq));
            }
            messages += u64::from(matches!(event.body, Body::Message(_)));
            if event.message_count != messages {
                complain(format!(
                    "{} messages are counted as {} at {}",
                    messages, event.message_count, event.seq
                ));
            }
            (next, last_at) = (event.seq + 1, event.at);
        }
        repeated(row).into_iter().chain(by_strangers(row)).for_each(&mut complain);
        let Some(room) = truth.rooms.get(id) else { continue };
        if row.members.len() != room.members.len() {
            complain(format!("{} rows of members for {}", row.members.len(), room.members.len()));
        }
        for (user, member) in &room.members {
            let stored = row.members.get(user);
            if stored.is_none_or(|stored| stored.intervals != member.intervals || stored.role != member.role)
            {
                complain(format!("the row of {user} is {stored:?} and should be {member:?}"));
            }
        }
        let active = room.members.values().filter(|member| member.is_active()).count() as u64;
        let counted = row.tail().map_or(0, |tail| tail.head().member_count());
        if counted != active {
            complain(format!("{active} members are counted as {counted}"));
        }
    }
}

/// Events by users who were not members at that time.
fn by_strangers(row: &RoomRow) -> Vec<String> {
    let first_chunk = row.log.values().next().map_or(0, |chunk| chunk.head().seq());
    let (mut members, mut strange) = (BTreeSet::new(), Vec::new());
    // An owner who leaves passes on their role with the same request.
    let mut left = None;
    for event in row.events() {
        let by = (&event.actor, &event.request);
        let is_allowed = match &event.body {
            _ if event.seq <= first_chunk || members.contains(&event.actor) => true,
            Body::MemberAdded { user, .. } => *user == event.actor,
            Body::RoleChanged { .. } => left == Some(by),
            _ => false,
        };
        if !is_allowed {
            strange.push(format!("{} of {}, who is no member then", event.seq, event.actor));
        }
        match &event.body {
            Body::MemberAdded { user, .. } => drop(members.insert(user)),
            Body::MemberRemoved { user } => {
                members.remove(user);
                left = (*user == event.actor).then_some(by);
            }
            _ => {}
        }
    }
    strange
}

/// Requests that were carried out more than once.
fn repeated(row: &RoomRow) -> Vec<String> {
    let mut places: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in row.events() {
        places.entry((event.actor.as_str(), event.request.as_str())).or_default().push(event);
    }
    let is_torn = |events: &[&Event]| {
        let sent = events.iter().filter(|event| matches!(event.body, Body::Message(_))).count();
        sent > 1 || events.windows(2).any(|pair| pair[1].seq != pair[0].seq + 1)
    };
    let torn = places.iter().filter(|(_, events)| is_torn(events));
    torn.map(|((actor, request), events)| {
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        format!("{request} of {actor} was carried out more than once: {seqs:?}")
    })
    .collect()
}
