//! Operations compared with the logs: acknowledged means stored, once, at the answered
//! position.

use std::collections::HashMap;

use super::super::history::{Answer, History, LogBody, OpKind, OpRecord, Outcome};
use super::super::world::OpId;
use super::view::{View, spell};
use super::{Rule, Verdict};

/// Reasons for a refusal that clients here never cause: they only use values received
/// from servers, and no data is damaged.
const UNCALLED_FOR: [&str; 5] =
    ["cursor_ahead", "internal", "outcome_unknown", "request_id_reused", "room_not_found"];

pub(super) fn check(history: &History, view: &View<'_>, verdict: &mut Verdict) {
    let stored = stored(history, view, verdict);
    for op in history.clients.iter().flat_map(|client| &client.ops) {
        match &op.outcome {
            Outcome::Done(answer) => {
                verdict.checked(Rule::Answered);
                if op.kind.is_logged() {
                    acknowledged(history, op, *answer, &stored, verdict);
                } else {
                    verdict.check(Rule::Unread, answer.seq >= op.target, || {
                        format!("{:?} {} to {} was answered with {}", op.kind, op.id, op.target, answer.seq)
                    });
                }
                repeats(op, *answer, verdict);
            }
            Outcome::Open => verdict.check(Rule::Answered, false, || {
                format!("{:?} {} has no answer, first sent at {} ms", op.kind, op.id, op.first_sent)
            }),
            Outcome::Unknown => {}
            Outcome::Refused { reason, at } => {
                verdict.check(Rule::Answered, !UNCALLED_FOR.contains(&reason.as_str()), || {
                    format!("{:?} {} was refused at {at} ms: {reason}", op.kind, op.id)
                });
                let kept = stored.get(&op.id);
                if let (Some((room, seq)), 1) = (kept, op.attempts) {
                    verdict.violation(Rule::Once, || {
                        format!(
                            "{:?} {} was sent once at {} ms, refused at {at} ms ({reason}), and stands in room {room} at {seq} ({})",
                            op.kind,
                            op.id,
                            op.first_sent,
                            spell(view.intervals(op.room, op.id.client))
                        )
                    });
                }
                excluded(op, reason, view, verdict);
            }
        }
    }
    for (client, own) in history.clients.iter().enumerate() {
        for session in &own.sessions {
            if let Some(reason) = &session.refused {
                verdict.violation(Rule::Answered, || {
                    format!("client {client}: could not resume at {} ms: {reason}", session.opened)
                });
            }
        }
    }
}

/// The position of each operation, by room and seq. Reports duplicates, and events that
/// nobody requested.
fn stored(history: &History, view: &View<'_>, verdict: &mut Verdict) -> HashMap<OpId, (usize, u64)> {
    let mut stored: HashMap<OpId, (usize, u64)> = HashMap::new();
    for (index, room) in history.rooms.iter().enumerate() {
        for event in &room.log {
            let Some(op) = event.op else {
                verdict.check(Rule::Once, event.seq <= room.setup_head, || {
                    format!("room {}: nobody asked for event {}", room.id, event.seq)
                });
                continue;
            };
            verdict.checked(Rule::Once);
            let known =
                view.ops.get(&op).is_some_and(|op| op.room as usize == index && fits(op.kind, &event.body));
            if !known || event.actor != Some(op.client) {
                verdict.violation(Rule::Once, || {
                    format!("room {}: event {} is not what {op} asked for", room.id, event.seq)
                });
            }
            if let Some((room, seq)) = stored.insert(op, (index, event.seq)) {
                verdict.violation(Rule::Once, || {
                    format!("{op} stands in room {room} at {seq} and in room {index} at {}", event.seq)
                });
            }
        }
    }
    stored
}

fn fits(kind: OpKind, body: &LogBody) -> bool {
    match body {
        LogBody::Message { .. } => kind == OpKind::Send,
        LogBody::Edited { .. } => kind == OpKind::Edit,
        LogBody::Deleted { .. } => kind == OpKind::Delete,
        LogBody::Reacted { .. } => kind == OpKind::React,
        LogBody::Unreacted { .. } => kind == OpKind::Unreact,
        LogBody::Added(_) => matches!(kind, OpKind::Join | OpKind::Add),
        LogBody::Removed(_) => matches!(kind, OpKind::Leave | OpKind::Remove),
        LogBody::Other => false,
    }
}

fn acknowledged(
    history: &History,
    op: &OpRecord,
    answer: Answer,
    stored: &HashMap<OpId, (usize, u64)>,
    verdict: &mut Verdict,
) {
    let (kind, id, room) = (op.kind, op.id, usize::from(op.room));
    // Nothing had to change.
    if answer.seq == 0 && kind != OpKind::Send {
        return;
    }
    let name = &history.rooms[room].id;
    let said = (room, u64::from(answer.seq));
    match stored.get(&id) {
        Some(stands) if *stands == said && answer.right_room => verdict.checked(Rule::Acknowledged),
        Some((other, seq)) => verdict.check(Rule::Acknowledged, false, || {
            format!(
                "{kind:?} {id} was acknowledged in room {name} at {}, it stands in room {other} at {seq}",
                answer.seq
            )
        }),
        None => verdict.check(Rule::Acknowledged, false, || {
            format!(
                "{kind:?} {id} was acknowledged in room {name} at {} ({} ms) and is lost",
                answer.seq, answer.at
            )
        }),
    }
    if kind == OpKind::Send
        && let Some(event) = history.rooms[room].log.get(said.1 as usize - 1)
        && event.op == Some(id)
    {
        verdict.check(Rule::Acknowledged, event.message_count == u64::from(answer.message_count), || {
            format!(
                "{id} was acknowledged as message {} of room {name}, it is {}",
                answer.message_count, event.message_count
            )
        });
    }
}

fn repeats(op: &OpRecord, first: Answer, verdict: &mut Verdict) {
    if !op.kind.is_logged() || first.seq == 0 {
        return;
    }
    for repeat in &op.repeats {
        let same = (repeat.seq, repeat.message_count) == (first.seq, first.message_count);
        verdict.check(Rule::Repeats, same && repeat.is_repeat && repeat.right_room, || {
            format!(
                "{:?} {} was answered with {}, its repeat with {} (flagged: {})",
                op.kind, op.id, first.seq, repeat.seq, repeat.is_repeat
            )
        });
    }
}

/// A user who never left is not a stranger.
fn excluded(op: &OpRecord, reason: &str, view: &View<'_>, verdict: &mut Verdict) {
    let intervals = view.intervals(op.room, op.id.client);
    if reason == "not_member" && matches!(intervals, [one] if one.joined == 1 && one.left.is_none()) {
        verdict.violation(Rule::Members, || {
            format!("{:?} {} was refused, though its sender never left the room", op.kind, op.id)
        });
    }
}
