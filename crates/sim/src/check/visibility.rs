use parlance_core::{Body, Member, RoomId, visible_ranges};
use parlance_proto::v1;
use v1::client_frame::Operation;
use v1::event::Body as Seen;
use v1::reply::Result as Reply;

use super::{RoomTruth, Truth};
use crate::history::{self, Asked, History};

/// Every reader gets what was visible to them: all messages of their intervals, each in a form no later than their
/// last visible seq and no earlier than the head they were authorised at; deleted text is never returned.
pub(super) fn check(truth: &Truth, history: &History, violations: &mut Vec<String>) {
    for (index, asked) in history.asked.iter().enumerate() {
        let mut complain =
            |what: String| violations.push(format!("operation {index} of {}: {what}", asked.user));
        match asked.answer.as_ref().map(|answer| &answer.result) {
            Some(Reply::ListEvents(page)) => check_events(truth, asked, page, &mut complain),
            Some(Reply::ListMessages(page)) => check_messages(truth, asked, page, &mut complain),
            Some(Reply::GetMessage(found)) => {
                let Some(message) = &found.message else { continue };
                let Some(room) = room_of(truth, &message.room_id) else { continue };
                check_seq(room, asked, message, &mut complain);
                check_form(&Reader::in_the_end(room, asked), message, &mut complain);
            }
            _ => {}
        }
    }
    for (number, session) in history.sessions.iter().enumerate() {
        let mut complain =
            |what: String| violations.push(format!("session {number} of {}: {what}", session.user));
        for (_, seen) in &session.seen {
            let history::Seen::Event(event) = seen else { continue };
            let Some(room) = room_of(truth, &event.room_id) else { continue };
            let reader =
                Reader { room, horizon: horizon(room.members.get(&session.user), room.head), at: None };
            check_form(&reader, event, &mut complain);
        }
    }
}

/// The reader of a room, and the point in time.
struct Reader<'a> {
    room: &'a RoomTruth,
    /// The last seq whose changes they may see; `None` while they are a member.
    horizon: Option<u64>,
    /// The head they were authorised at, if the answer contains it.
    at: Option<u64>,
}

impl<'a> Reader<'a> {
    fn at_head(room: &'a RoomTruth, asked: &Asked, head: u64) -> Self {
        Self { room, horizon: horizon(room.members.get(&asked.user), head), at: Some(head) }
    }

    fn in_the_end(room: &'a RoomTruth, asked: &Asked) -> Self {
        Self { room, horizon: horizon(room.members.get(&asked.user), room.head), at: None }
    }

    fn sees_change(&self, seq: u64) -> bool {
        self.horizon.is_none_or(|horizon| seq <= horizon)
    }
}

/// The end of the last membership that began by `head`: a member at `head` sees changes until
/// they leave, a former member those before they left.
fn horizon(member: Option<&Member>, head: u64) -> Option<u64> {
    let last = member?.intervals.iter().rev().find(|interval| interval.joined <= head);
    last.map_or(Some(0), |interval| interval.left)
}

fn room_of<'a>(truth: &'a Truth, room: &str) -> Option<&'a RoomTruth> {
    truth.rooms.get(&RoomId::parse(room).ok()?)
}

/// The seqs that the reader may see at `head`.
fn visible_at(room: &RoomTruth, asked: &Asked, head: u64) -> Vec<u64> {
    let Some(member) = room.members.get(&asked.user) else { return Vec::new() };
    let mut then = member.clone();
    then.intervals.retain(|interval| interval.joined <= head);
    for interval in &mut then.intervals {
        interval.left = interval.left.filter(|left| *left <= head);
    }
    let ranges = visible_ranges(&then, room.visibility, head);
    ranges.iter().flat_map(|range| range.from..=range.to).collect()
}

fn check_events(
    truth: &Truth,
    asked: &Asked,
    page: &v1::ListEventsResponse,
    complain: &mut impl FnMut(String),
) {
    let Operation::ListEvents(request) = &asked.operation else { return };
    let Some(room) = room_of(truth, &request.room_id) else { return };
    let reader = Reader::at_head(room, asked, page.head_seq);
    for event in &page.events {
        check_form(&reader, event, complain);
    }
    let end = if page.next_from_seq == 0 { page.head_seq } else { page.next_from_seq - 1 };
    let expected = visible_at(room, asked, page.head_seq);
    let expected = expected.into_iter().filter(|seq| (request.from_seq..=end).contains(seq));
    let got: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    let missing: Vec<u64> = expected.filter(|seq| !got.contains(seq)).collect();
    if !missing.is_empty() {
        complain(format!("{missing:?} of {} are missing on a page up to {end}", room.id));
    }
}

fn check_messages(
    truth: &Truth,
    asked: &Asked,
    page: &v1::ListMessagesResponse,
    complain: &mut impl FnMut(String),
) {
    let Operation::ListMessages(request) = &asked.operation else { return };
    let Some(room) = room_of(truth, &request.room_id) else { return };
    let reader = Reader::at_head(room, asked, page.head_seq);
    for message in &page.messages {
        check_seq(room, asked, message, complain);
        check_form(&reader, message, complain);
    }
    // The page ends where it says that the next one begins, or at the bounds.
    let (mut from, mut to) = (request.after_seq.unwrap_or(0) + 1, page.head_seq);
    if request.before_seq > 0 {
        to = to.min(request.before_seq - 1);
    }
    let latest = request.before_seq > 0 || request.after_seq.is_none();
    if page.has_more && latest {
        from = from.max(page.next_seq);
    } else if page.has_more {
        to = to.min(page.next_seq);
    }
    let got: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
    let expected = visible_at(room, asked, page.head_seq).into_iter().filter(|seq| {
        let is_message = room.events.get(seq).is_some_and(|event| matches!(event.body, Body::Message(_)));
        is_message && (from..=to).contains(seq)
    });
    let missing: Vec<u64> = expected.filter(|seq| !got.contains(seq)).collect();
    if !missing.is_empty() {
        complain(format!("messages {missing:?} of {} are missing between {from} and {to}", room.id));
    }
    if got.windows(2).any(|pair| pair[0] >= pair[1]) {
        complain(format!("messages in no order: {got:?}"));
    }
}

fn check_seq(room: &RoomTruth, asked: &Asked, event: &v1::Event, complain: &mut impl FnMut(String)) {
    if let Some(difference) = room.differs(&asked.user, event) {
        complain(format!("read alone: {difference}"));
    }
    if !room.may_see(&asked.user, event.seq) {
        complain(format!("{} of {} was read, and is not theirs to see", event.seq, room.id));
    }
}

/// The text and the reactions of a message are from the same moment, which the reader may see.
fn check_form(reader: &Reader<'_>, event: &v1::Event, complain: &mut impl FnMut(String)) {
    let (target, text) = match &event.body {
        Some(Seen::Message(message)) => (event.seq, &message.text),
        Some(Seen::MessageEdited(edited)) => (edited.target_seq, &edited.text),
        _ => return,
    };
    let room = reader.room;
    let forms = room.texts(target);
    // A deletion applies to everyone, so empty text may always have been read later.
    let deleted = forms.iter().any(|(_, text)| text.is_empty());
    let may_hold = forms.iter().enumerate().any(|(nth, (seq, known))| {
        let replaced_by = forms.get(nth + 1).map(|(next, _)| *next);
        // An edit keeps its own text, whatever follows.
        let is_message = matches!(event.body, Some(Seen::Message(_)));
        let sees_replacement = replaced_by.is_some_and(|next| {
            is_message && reader.at.is_some_and(|at| next <= at) && reader.sees_change(next)
        });
        known == text && reader.sees_change(*seq) && !sees_replacement
    });
    let is_hidden = matches!(event.body, Some(Seen::MessageEdited(_))) && text.is_empty();
    let is_empty_of_deleted = deleted && text.is_empty();
    if !(may_hold || is_hidden || is_empty_of_deleted) {
        complain(format!(
            "{target} of {} as {text:?} at {}, by a reader who sees changes up to {:?} at {:?}; its forms: {forms:?}",
            room.id, event.seq, reader.horizon, reader.at
        ));
    }
    let deletion = forms.iter().find(|(_, text)| text.is_empty()).map(|(seq, _)| *seq);
    if !text.is_empty() && deletion.is_some_and(|seq| reader.at.is_some_and(|at| seq <= at)) {
        complain(format!("{target} of {} with its deleted text", room.id));
    }
    let Some(Seen::Message(message)) = &event.body else { return };
    for reaction in &message.reactions {
        for user in &reaction.user_ids {
            let added = room.events.values().find(|event| {
                event.actor.as_str() == user
                    && matches!(&event.body, Body::ReactionAdded { target: on, .. } if *on == target)
            });
            if added.is_none_or(|added| !reader.sees_change(added.seq)) {
                complain(format!(
                    "{target} of {} with a reaction of {user} that is not theirs to see, after {:?}",
                    room.id, reader.horizon
                ));
            }
        }
    }
}
