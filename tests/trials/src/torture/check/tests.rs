//! A history in which every promise holds, and for each rule some in which it does
//! not.

use parlance_proto::v1::GapReason;

use super::super::history::{
    Answer, At, ChangedText, ClientHistory, FaultRecord, Frame, History, InboxRecord, LogBody, LogEvent,
    OpKind, OpRecord, Outcome, PageRecord, RoomHistory, SessionRecord, Text,
};
use super::super::world::OpId;
use super::*;

/// When each event was acknowledged; it is delivered everywhere ten milliseconds
/// later.
fn acknowledged(seq: u64) -> At {
    seq as At * 1_000
}

fn id(client: u16, number: u32) -> OpId {
    OpId { client, number }
}

/// A room of three. The first writes and edits, the second writes, the third is
/// removed, misses a message, is added again and writes.
fn good() -> History {
    let mut history = History::default();
    let mut room = RoomHistory { id: "r".to_owned(), setup_head: 4, head: 11, ..RoomHistory::default() };
    history.clients = (0..3).map(|_| ClientHistory::default()).collect();
    let says = |op: OpId| LogBody::Message { text: Text::Of(op), deleted: false, reactions: Vec::new() };
    let edited = LogBody::Message { text: Text::Of(id(0, 2)), deleted: false, reactions: vec![(1, 1)] };
    let log = [
        (None, LogBody::Other, OpKind::Send),
        (None, LogBody::Added(0), OpKind::Send),
        (None, LogBody::Added(1), OpKind::Send),
        (None, LogBody::Added(2), OpKind::Send),
        (Some(id(0, 1)), edited, OpKind::Send),
        (Some(id(1, 1)), LogBody::Reacted { target: 5, emoji: 1 }, OpKind::React),
        (Some(id(0, 2)), LogBody::Edited { target: 5, text: Text::Of(id(0, 2)) }, OpKind::Edit),
        (Some(id(0, 3)), LogBody::Removed(2), OpKind::Remove),
        (Some(id(1, 2)), says(id(1, 2)), OpKind::Send),
        (Some(id(0, 4)), LogBody::Added(2), OpKind::Add),
        (Some(id(2, 1)), says(id(2, 1)), OpKind::Send),
    ];
    let mut count = 0;
    for (seq, (op, body, kind)) in (1..).zip(log) {
        count += u64::from(matches!(body, LogBody::Message { .. }));
        let (at, actor) = (i128::from(seq) * 1_000, op.map(|op| op.client));
        room.log.push(LogEvent { seq, at, actor, op, print: seq * 7, message_count: count, body });
        let Some(op) = op else { continue };
        let counted = if kind == OpKind::Send { count as u32 } else { 0 };
        history.clients[usize::from(op.client)].ops.push(done(op, kind, seq, counted));
    }
    history.clients[0].ops[0].repeats.push(answer(5, 1, true));
    history.clients[1].ops.push(OpRecord { target: 4, ..done(id(1, 3), OpKind::MarkRead, 9, 0) });
    for (client, own) in (0..).zip(&mut history.clients) {
        let mut session = SessionRecord { caught_up: Some(0), ..SessionRecord::default() };
        session.heads.insert(0, 4);
        let frames = (1..=11).map(|seq| match seq {
            9 if client == 2 => {
                Frame::Gap { from: 9, to: 9, at: acknowledged(10) + 10, reason: GapReason::NotMember }
            }
            _ => Frame::Event { seq, at: acknowledged(seq.into()) + 10, print: u64::from(seq) * 7 },
        });
        session.rooms.insert(0, frames.collect());
        own.sessions.push(session);
        let (read_seq, read_count, unread) = [(5, 1, 2), (9, 2, 1), (11, 3, 0)][client];
        own.inbox.push(InboxRecord { room: 0, head: 11, message_count: 3, unread, read_seq, read_count });
    }
    history.clients[2].pages.push(page(8, &[5, 6, 7, 8]));
    // After a reconnect: the message in its edited form.
    history.clients[1].sessions[0].changed.push(reads(5, id(0, 2)));
    history.rooms.push(room);
    history
}

fn answer(seq: u64, message_count: u32, is_repeat: bool) -> Answer {
    Answer { at: acknowledged(seq), seq: seq as u32, message_count, is_repeat, right_room: true }
}

fn done(id: OpId, kind: OpKind, seq: u64, message_count: u32) -> OpRecord {
    OpRecord {
        id,
        kind,
        room: 0,
        target: 0,
        first_sent: acknowledged(seq) - 100,
        attempts: 1,
        outcome: Outcome::Done(answer(seq, message_count, false)),
        repeats: Vec::new(),
    }
}

/// A page read by the third client after the removal.
fn page(head: u64, seqs: &[u32]) -> PageRecord {
    let events = seqs.iter().map(|seq| (*seq, u64::from(*seq) * 7)).collect();
    PageRecord { room: 0, asked: 8_500, answered: 8_600, head, from: 5, messages: false, events }
}

/// A message received in an edited form.
fn reads(seq: u32, edit: OpId) -> ChangedText {
    ChangedText { room: 0, seq, at: acknowledged(20), text: Text::Of(edit) }
}

fn frames(history: &mut History, client: usize) -> &mut Vec<Frame> {
    history.clients[client].sessions[0].rooms.get_mut(&0).unwrap()
}

fn set_outcome(history: &mut History, outcome: Outcome) {
    history.clients[0].ops[0].outcome = outcome;
}

/// Modifies the good history, and expects a violation of `rule`.
fn breaks(rule: Rule, by: impl Fn(&mut History)) {
    let mut history = good();
    by(&mut history);
    let verdict = check(&history);
    assert!(verdict.violations.contains_key(&rule), "{rule:?} not in {:?}", verdict.violations);
}

#[test]
fn good_history_passes_and_exercises_every_rule() {
    let verdict = check(&good());
    assert_eq!(verdict.total(), 0, "{:?}", verdict.violations);
    use Rule::{Acknowledged, Agreement, Answered, CaughtUp, Log, Members, Once, Pages, PresentForm, Prompt};
    use Rule::{Repeats, Streams, Texts, Unread};
    for rule in [Acknowledged, Once, Repeats, Answered, Log, PresentForm, Agreement, Streams, Members] {
        assert!(verdict.checked.contains_key(&rule), "{rule:?}");
    }
    for rule in [CaughtUp, Prompt, Unread, Pages, Texts] {
        assert!(verdict.checked.contains_key(&rule), "{rule:?}");
    }
}

#[test]
fn acknowledged_operations_must_be_stored() {
    breaks(Rule::Acknowledged, |history| {
        let lost = done(id(0, 9), OpKind::Send, 11, 3);
        history.clients[0].ops.push(lost);
    });
    breaks(Rule::Acknowledged, |history| set_outcome(history, Outcome::Done(answer(6, 1, false))));
    breaks(Rule::Acknowledged, |history| set_outcome(history, Outcome::Done(answer(5, 2, false))));
    breaks(Rule::Acknowledged, |history| {
        let elsewhere = Answer { right_room: false, ..answer(5, 1, false) };
        set_outcome(history, Outcome::Done(elsewhere));
    });
}

#[test]
fn nothing_may_be_stored_twice_or_unasked() {
    breaks(Rule::Once, |history| history.rooms[0].log[8].op = Some(id(0, 1)));
    breaks(Rule::Once, |history| history.rooms[0].log[8].op = None);
    breaks(Rule::Once, |history| history.rooms[0].log[8].actor = Some(0));
    // Refused at the only attempt, but carried out nevertheless.
    breaks(Rule::Once, |history| {
        set_outcome(history, Outcome::Refused { reason: "needs_role".to_owned(), at: 1 });
    });
}

#[test]
fn repeats_must_get_the_first_answer() {
    breaks(Rule::Repeats, |history| history.clients[0].ops[0].repeats[0].is_repeat = false);
    breaks(Rule::Repeats, |history| history.clients[0].ops[0].repeats[0].seq = 11);
}

#[test]
fn everything_must_be_answered_with_reason() {
    breaks(Rule::Answered, |history| set_outcome(history, Outcome::Open));
    breaks(Rule::Answered, |history| {
        set_outcome(history, Outcome::Refused { reason: "cursor_ahead".to_owned(), at: 1 });
    });
    breaks(Rule::Answered, |history| {
        history.clients[0].sessions[0].refused = Some("cursor_ahead".to_owned());
    });
    breaks(Rule::Members, |history| {
        set_outcome(history, Outcome::Refused { reason: "not_member".to_owned(), at: 1 });
    });
}

#[test]
fn log_is_gap_free_and_ascending() {
    breaks(Rule::Log, |history| drop(history.rooms[0].log.remove(6)));
    breaks(Rule::Log, |history| history.rooms[0].log[6].seq = 6);
    breaks(Rule::Log, |history| history.rooms[0].head = 12);
    breaks(Rule::Log, |history| history.rooms[0].log[6].at = 0);
    breaks(Rule::Log, |history| history.rooms[0].log[8].message_count = 3);
}

#[test]
fn messages_must_read_as_they_were_changed() {
    let message = |text, deleted, reactions| LogBody::Message { text, deleted, reactions };
    let changed = Text::Of(id(0, 2));
    let first = Text::Of(id(0, 1));
    for body in [
        message(first, false, vec![(1, 1)]),
        message(changed, true, vec![(1, 1)]),
        message(changed, false, Vec::new()),
        message(Text::Foreign, false, vec![(1, 1)]),
    ] {
        breaks(Rule::PresentForm, |history| history.rooms[0].log[4].body = body.clone());
    }
    // Deleted text must not reappear.
    breaks(Rule::PresentForm, |history| {
        history.rooms[0].log[5].body = LogBody::Deleted { target: 5 };
    });
}

#[test]
fn everyone_must_see_the_same() {
    breaks(Rule::Agreement, |history| {
        frames(history, 1)[6] = Frame::Event { seq: 7, at: acknowledged(7), print: 1 };
    });
    breaks(Rule::Agreement, |history| {
        frames(history, 1).push(Frame::Event { seq: 12, at: acknowledged(12), print: 84 });
    });
    breaks(Rule::Agreement, |history| history.clients[2].pages[0].events[1].1 = 1);
}

#[test]
fn streams_must_have_no_holes_and_true_gaps() {
    breaks(Rule::Streams, |history| _ = frames(history, 1).remove(6));
    breaks(Rule::Streams, |history| {
        let again = frames(history, 1)[6];
        frames(history, 1).insert(7, again);
    });
    breaks(Rule::Streams, |history| frames(history, 1).swap(6, 7));
    breaks(Rule::Streams, |history| _ = history.clients[1].sessions[0].cursors.insert(0, 3));
    let gap = |history: &mut History, client, reason| {
        frames(history, client)[8] = Frame::Gap { from: 9, to: 9, at: acknowledged(9), reason };
    };
    breaks(Rule::Streams, |history| gap(history, 1, GapReason::NotMember));
    breaks(Rule::Streams, |history| gap(history, 2, GapReason::TooLong));
    breaks(Rule::Streams, |history| gap(history, 2, GapReason::Retention));
    breaks(Rule::Streams, |history| gap(history, 1, GapReason::AcknowledgedElsewhere));
    breaks(Rule::Streams, |history| {
        frames(history, 1).push(Frame::Gap { from: 12, to: 0, at: 12_000, reason: GapReason::NotMember });
    });
}

#[test]
fn nothing_may_reach_strangers() {
    let stray = Frame::Event { seq: 9, at: acknowledged(10), print: 63 };
    breaks(Rule::Members, |history| frames(history, 2)[8] = stray);
    breaks(Rule::Members, |history| history.clients[2].pages[0] = page(9, &[5, 6, 7, 8, 9]));
    breaks(Rule::Members, |history| history.clients[2].strange.push(("s".to_owned(), 1)));
    // With open history it may, but not before the user is back.
    let open = |at| {
        let mut history = good();
        history.rooms[0].open_past = true;
        frames(&mut history, 2)[8] = Frame::Event { seq: 9, at, print: 63 };
        check(&history).violations.contains_key(&Rule::Members)
    };
    assert!(!open(acknowledged(10)));
    assert!(open(acknowledged(10) - 101));
}

#[test]
fn everyone_must_have_everything_in_the_end() {
    breaks(Rule::CaughtUp, |history| _ = frames(history, 1).pop());
    breaks(Rule::CaughtUp, |history| history.clients[1].sessions[0].ended = Some(20_000));
    breaks(Rule::CaughtUp, |history| history.clients[1].sessions.clear());
}

#[test]
fn deliveries_must_be_prompt_unless_excused() {
    let late = |history: &mut History| {
        let at = acknowledged(9) + prompt::BOUND + 1;
        for (frame, seq) in frames(history, 0)[8..].iter_mut().zip(9..) {
            *frame = Frame::Event { seq, at, print: u64::from(seq) * 7 };
        }
    };
    breaks(Rule::Prompt, late);
    breaks(Rule::Prompt, |history| frames(history, 0).truncate(8));
    let excused = |change: &dyn Fn(&mut History)| {
        let mut history = good();
        late(&mut history);
        change(&mut history);
        let verdict = check(&history);
        assert!(!verdict.violations.contains_key(&Rule::Prompt), "{:?}", verdict.violations);
    };
    let fault = |from, to, delays_all| FaultRecord { name: "fault", from, to, delays_all };
    excused(&|history| history.faults.push(fault(10_000, 11_000, true)));
    excused(&|history| history.clients[0].sessions[0].stalls.push((10_000, 12_000)));
    excused(&|history| history.clients[0].sessions[0].ended = Some(12_000));
    excused(&|history| history.clients[0].sessions[0].caught_up = Some(20_000));
    // The end of a node does not excuse delays on another one.
    breaks(Rule::Prompt, |history| {
        late(history);
        history.faults.push(fault(10_000, 11_000, false));
    });
}

#[test]
fn unread_must_be_arithmetic() {
    let inbox = |change: &dyn Fn(&mut InboxRecord)| {
        breaks(Rule::Unread, |history| change(&mut history.clients[1].inbox[0]));
    };
    inbox(&|entry| entry.unread += 1);
    inbox(&|entry| (entry.read_seq, entry.read_count, entry.unread) = (5, 1, 2));
    inbox(&|entry| entry.read_count = 1);
    inbox(&|entry| entry.head = 10);
    breaks(Rule::Unread, |history| history.clients[1].inbox.clear());
    // A deleted message is not unread.
    breaks(Rule::Unread, |history| history.rooms[0].log[10].body = LogBody::Deleted { target: 9 });
    // An acknowledged mark counts.
    breaks(Rule::Unread, |history| {
        history.clients[0].ops.push(OpRecord { target: 9, ..done(id(0, 7), OpKind::MarkRead, 9, 0) });
    });
}

#[test]
fn pages_must_end_at_their_head() {
    breaks(Rule::Pages, |history| history.clients[2].pages[0].head = 7);
    breaks(Rule::Pages, |history| history.clients[2].pages[0] = page(8, &[5, 7, 8]));
    breaks(Rule::Pages, |history| history.clients[2].pages[0] = page(8, &[5, 6, 8, 7]));
    // A page of messages omits none of these.
    let messages = |history: &mut History, seqs: &[u32]| {
        history.clients[0].pages.push(PageRecord { messages: true, ..page(11, seqs) });
    };
    breaks(Rule::Pages, |history| messages(history, &[5, 11]));
    let mut history = good();
    messages(&mut history, &[5, 9, 11]);
    assert_eq!(check(&history).total(), 0);
}

#[test]
fn texts_that_nobody_wrote_or_that_are_not_for_the_reader_break_a_rule() {
    // From another message, from no message, and empty without a deletion.
    for text in [Text::Of(id(1, 2)), Text::Foreign, Text::Empty] {
        breaks(Rule::Texts, |history| {
            history.clients[1].sessions[0].changed.push(ChangedText { text, ..reads(5, id(0, 2)) });
        });
    }
    // The third has left for good before the edit.
    breaks(Rule::Texts, |history| {
        history.rooms[0].log[6].body = LogBody::Removed(2);
        history.rooms[0].log[8].body = LogBody::Edited { target: 5, text: Text::Of(id(0, 7)) };
        history.rooms[0].log[8].op = Some(id(0, 7));
        history.rooms[0].log[9].body = LogBody::Other;
        history.clients[2].sessions[0].changed.push(reads(5, id(0, 7)));
    });
}
