//! Each room's log on its own: one order without a gap, and messages in their present
//! form.

use std::collections::{BTreeSet, HashMap};

use super::super::history::{History, LogBody, LogEvent, RoomHistory, Text};
use super::{Rule, Verdict};

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    for room in &history.rooms {
        order(room, verdict);
        present_form(room, verdict);
    }
}

fn order(room: &RoomHistory, verdict: &mut Verdict) {
    let name = &room.id;
    let (mut seq, mut count, mut at) = (0, 0, i128::MIN);
    for event in &room.log {
        verdict.check(Rule::Log, event.seq == seq + 1, || {
            format!("room {name}: event {} comes after {seq}", event.seq)
        });
        seq = event.seq;
        count += u64::from(matches!(event.body, LogBody::Message { .. }));
        if event.message_count != count {
            verdict.violation(Rule::Log, || {
                format!("room {name}: event {seq} counts {} messages, there are {count}", event.message_count)
            });
            count = event.message_count;
        }
        if event.at < at {
            verdict.violation(Rule::Log, || {
                format!(
                    "room {name}: event {seq} is {} µs older than the one before",
                    (at - event.at) / 1_000
                )
            });
        }
        at = event.at;
    }
    verdict.check(Rule::Log, seq == room.head, || {
        format!("room {name}: the log ends at {seq}, its head is {}", room.head)
    });
}

/// The expected form of a message.
#[derive(Default)]
struct Form {
    text: Option<Text>,
    deleted: bool,
    reactions: BTreeSet<(u8, u16)>,
}

fn present_form(room: &RoomHistory, verdict: &mut Verdict) {
    let name = &room.id;
    let mut forms: HashMap<u64, Form> = HashMap::new();
    for event in &room.log {
        let Some(target) = target(event) else { continue };
        let form = forms.entry(target).or_default();
        match event.body {
            LogBody::Edited { .. } => form.text = event.op.map(Text::Of),
            LogBody::Deleted { .. } => {
                *form = Form { text: Some(Text::Empty), deleted: true, ..Form::default() }
            }
            LogBody::Reacted { emoji, .. } => form.reactions.extend(event.actor.map(|actor| (emoji, actor))),
            LogBody::Unreacted { emoji, .. } => {
                event.actor.map(|actor| form.reactions.remove(&(emoji, actor)));
            }
            _ => {}
        }
    }
    let untouched = Form::default();
    for event in &room.log {
        match &event.body {
            LogBody::Message { text, deleted, reactions } => {
                let form = forms.get(&event.seq).unwrap_or(&untouched);
                // Messages from before the run have a text of their own.
                let own = event.op.map(Text::Of).unwrap_or(*text);
                let wanted = form.text.unwrap_or(own);
                verdict.check(Rule::PresentForm, *text == wanted && *deleted == form.deleted, || {
                    format!(
                        "room {name}: message {} reads {text:?} (deleted: {deleted}), should {wanted:?} (deleted: {})",
                        event.seq, form.deleted
                    )
                });
                let reactions: BTreeSet<_> = reactions.iter().copied().collect();
                if reactions != form.reactions {
                    verdict.violation(Rule::PresentForm, || {
                        format!(
                            "room {name}: message {} has reactions {reactions:?}, should have {:?}",
                            event.seq, form.reactions
                        )
                    });
                }
            }
            LogBody::Edited { target, text } => {
                let deleted = forms.get(target).is_some_and(|form| form.deleted);
                let wanted = if deleted { Text::Empty } else { event.op.map_or(*text, Text::Of) };
                verdict.check(Rule::PresentForm, *text == wanted, || {
                    format!("room {name}: the edit at {} reads {text:?}, should {wanted:?}", event.seq)
                });
            }
            _ => {}
        }
    }
}

/// The message that an event changes.
fn target(event: &LogEvent) -> Option<u64> {
    match event.body {
        LogBody::Edited { target, .. }
        | LogBody::Deleted { target }
        | LogBody::Reacted { target, .. }
        | LogBody::Unreacted { target, .. } => Some(target),
        _ => None,
    }
}
