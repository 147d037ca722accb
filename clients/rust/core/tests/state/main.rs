//! The state under news of all kinds in any order.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

mod log;
mod told;

use std::time::Duration;

use log::{Log, ROOM, SELF, Shown, Step, Truth};
use parlance_client_core::state::{Change, News, Parts, Room, State};
use parlance_proto::v1;
use proptest::prelude::*;
use told::{Sources, Told};

fn step() -> impl Strategy<Value = Step> {
    let one = 0..8_usize;
    let percent = 0..=100_u64;
    prop_oneof![
        8 => one.clone().prop_map(Step::Say),
        1 => one.clone().prop_map(Step::Import),
        2 => (one.clone(), one.clone()).prop_map(|(which, by)| Step::Edit(which, by)),
        2 => (one.clone(), one.clone()).prop_map(|(which, by)| Step::Delete(which, by)),
        3 => (one.clone(), one.clone(), one.clone()).prop_map(|(which, by, emoji)| Step::React(which, by, emoji)),
        2 => one.clone().prop_map(Step::Member),
        1 => (one.clone(), any::<bool>()).prop_map(|(who, is_admin)| Step::Role(who, is_admin)),
        1 => Just(Step::Title),
        2 => percent.clone().prop_map(Step::Read),
        1 => any::<bool>().prop_map(Step::Hide),
        2 => (one, percent.clone(), percent.clone()).prop_map(|(who, delivered, read)| Step::Receipt(who, delivered, read)),
        2 => Just(Step::Inbox),
        1 => Just(Step::Members),
        2 => (percent, 0..20_u64).prop_map(|(from, length)| Step::Page(from, length)),
        1 => Just(Step::Gap),
        1 => (1..6_u64).prop_map(Step::Resume),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..60)
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..64_usize, 32)
}

/// An interleaving of all sources, each in its own order.
fn interleave(sources: Vec<Vec<Told>>, picks: &[usize]) -> Vec<Told> {
    let mut sources: Vec<_> = sources.into_iter().map(|source| source.into_iter().peekable()).collect();
    let mut order = Vec::new();
    for pick in picks.iter().cycle() {
        sources.retain_mut(|source| source.peek().is_some());
        if sources.is_empty() {
            break;
        }
        let at = pick % sources.len();
        // A few in a row, as in practice.
        order.extend(sources[at].by_ref().take(1 + pick / 8));
    }
    order
}

fn run(state: &mut State, told: &[Told]) {
    for told in told {
        let before = state.clone();
        let changes = told.with(|news| state.apply(news));
        // Parts not reported as changed are unchanged, and snapshots are immutable.
        let known = (before.room(ROOM), state.room(ROOM));
        let is_same = match &known {
            (Some(before), Some(after)) => std::sync::Arc::ptr_eq(before, after),
            (before, after) => before.is_none() && after.is_none(),
        };
        assert_eq!(changes.is_empty(), is_same, "{told:?}");
    }
}

fn fresh() -> State {
    let mut state = State::new(10_000);
    run(&mut state, &[Told::Welcome(1), Told::Open]);
    state
}

fn shown(room: &Room) -> Vec<Shown> {
    let messages = room.messages().map(|message| {
        let reactions = message.reactions.iter();
        let reactions =
            reactions.map(|reaction| (reaction.emoji.clone(), reaction.user_ids.clone())).collect();
        (message.seq, message.text.clone(), message.data.clone(), message.is_deleted, reactions)
    });
    messages.collect()
}

fn view(state: &State) -> Truth {
    let room = state.room(ROOM).unwrap();
    Truth {
        title: room.title().to_owned(),
        member_count: room.member_count(),
        is_member: room.is_member(),
        head_seq: room.head_seq(),
        read_seq: room.read_seq(),
        unread_count: room.unread_count(),
        is_hidden: room.is_hidden(),
        members: room.members().map(|(user, role)| (user.to_owned(), role)).collect(),
        receipts: room.receipts().map(|(user, receipt)| (user.to_owned(), receipt)).collect(),
        messages: shown(&room),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn sources_in_any_order_converge_to_the_log(steps in steps(), picks in picks()) {
        let mut log = Log::new(1);
        log.run(&steps);
        log.read_all();
        let truth = log.truth();
        let mut state = fresh();
        run(&mut state, &interleave(log.sources.all(), &picks));
        prop_assert_eq!(view(&state), truth.clone());
        let room = state.room(ROOM).unwrap();
        prop_assert!(!room.is_stale() && room.is_members_complete());
        let last = room.last_message().map(|message| (message.seq, message.text.clone()));
        prop_assert_eq!(last, truth.messages.last().map(|shown| (shown.0, shown.1.clone())));
    }

    #[test]
    fn late_repeats_change_nothing(steps in steps(), picks in picks(), again in picks()) {
        let mut log = Log::new(1);
        log.run(&steps);
        log.read_all();
        let truth = log.truth();
        let told = interleave(log.sources.all(), &picks);
        let mut state = fresh();
        run(&mut state, &told);
        let again = again.iter().filter_map(|at| told.get(at * told.len() / 64));
        let again: Vec<Told> = again.filter(|told| !matches!(told, Told::Gap(_))).cloned().collect();
        run(&mut state, &again);
        prop_assert_eq!(view(&state), truth);
    }

    #[test]
    fn a_deleted_room_is_over_whatever_is_still_reported_of_it_until_it_is_restored(
        steps in steps(),
        picks in picks(),
    ) {
        let mut log = Log::new(1);
        log.run(&steps);
        log.read_all();
        log.delete();
        let head = log.head();
        let mut state = fresh();
        run(&mut state, &interleave(log.sources.all(), &picks));
        let room = state.room(ROOM).unwrap();
        prop_assert!(!room.is_member() && !room.is_stale());
        prop_assert_eq!((room.unread_count(), room.head_seq()), (0, head));
        prop_assert_eq!(room.last_message(), None);
        let held = (room.messages().count(), room.members().count(), room.receipts().count());
        prop_assert_eq!(held, (0, 0, 0));

        let mut restored = Log::new(2);
        restored.run(&[Step::Say(1)]);
        restored.sources = Sources::default();
        restored.restore();
        restored.read_all();
        let truth = restored.truth();
        run(&mut state, &[Told::Welcome(2)]);
        run(&mut state, &interleave(restored.sources.all(), &picks));
        prop_assert_eq!(view(&state), truth);
    }

    #[test]
    fn restored_room_continues_in_its_epoch(
        old in steps(),
        kept in steps(),
        new in steps(),
        picks in picks(),
        old_picks in picks(),
    ) {
        let mut before = Log::new(1);
        before.run(&old);
        before.read_all();
        let before = before.sources;
        let mut log = Log::new(2);
        log.run(&kept);
        // Restored events are not pushed.
        log.sources = Sources::default();
        log.restore();
        log.run(&new);
        log.read_all();
        let mut truth = log.truth();
        // Receipts after a restore are read again, which this test does not do.
        truth.receipts.clear();
        let after = log.sources;
        let mut stream = interleave(vec![before.stream, before.reads, before.receipts], &old_picks);
        stream.push(Told::Welcome(2));
        stream.extend(after.stream);
        stream.extend(after.reads);
        let inbox = [before.inbox, after.inbox].concat();
        let members = [before.members, after.members].concat();
        let pages = [before.pages, after.pages].concat();
        let mut state = fresh();
        run(&mut state, &interleave(vec![stream, inbox, members, pages], &picks));
        prop_assert_eq!(view(&state), truth);
    }

    #[test]
    fn an_open_room_holds_the_end_of_its_log_within_bounds(
        steps in steps(),
        picks in picks(),
        limit in 1..6_usize,
    ) {
        let mut log = Log::new(1);
        log.run(&steps);
        log.read_all();
        let all = log.truth().messages;
        let mut state = State::new(limit);
        run(&mut state, &[Told::Welcome(1), Told::Open]);
        for told in interleave(log.sources.all(), &picks) {
            run(&mut state, &[told]);
            prop_assert!(state.room(ROOM).unwrap().messages().count() <= limit);
        }
        let held = shown(&state.room(ROOM).unwrap());
        prop_assert_eq!(&held[..], &all[all.len().saturating_sub(limit)..]);
    }
}

#[test]
fn a_signal_after_a_question_is_newer_than_its_answer() {
    let mut state = State::default();
    let user_id = "bob";
    let mut online = |is_online, order| state.apply(&News::Presence { user_id, is_online, order });
    assert_eq!(online(true, 2), [Change::Presence { user_id: user_id.to_owned() }]);
    assert_eq!(online(false, 1), []);
    assert_eq!(online(true, 3), []);
    assert_eq!(state.is_online(user_id), Some(true));
    assert_eq!(state.is_online("carol"), None);
}

#[test]
fn typing_ends_in_time_and_with_the_connection() {
    let mut state = fresh();
    let second = Duration::from_secs(1);
    let typing = |state: &State| state.room(ROOM).unwrap().typing().map(str::to_owned).collect::<Vec<_>>();
    let types = |state: &mut State, user_id, until| {
        state.apply(&News::Typing { room_id: ROOM, user_id, until: second * until })
    };
    let parts = Parts { typing: true, ..Parts::default() };
    let change = [Change::Room { room_id: ROOM.to_owned(), parts }];
    assert_eq!(types(&mut state, "bob", 3), change);
    types(&mut state, "carol", 5);
    assert_eq!(types(&mut state, SELF, 9), []);
    assert_eq!(state.timeout(), Some(second * 3));
    assert_eq!(state.apply(&News::Time(second * 2)), []);
    assert_eq!(state.apply(&News::Time(second * 3)), change);
    assert_eq!((typing(&state), state.timeout()), (vec!["carol".to_owned()], Some(second * 5)));
    run(&mut state, &[Told::Welcome(1)]);
    assert!(typing(&state).is_empty());
}

#[test]
fn former_member_is_added_by_the_next_event_not_by_an_older_answer() {
    let mut state = fresh();
    let mut log = Log::new(1);
    log.run(&[Step::Say(0), Step::Inbox]);
    let head = log.head();
    run(&mut state, &log.sources.stream);
    let gap = v1::Gap {
        room_id: ROOM.to_owned(),
        from_seq: head + 1,
        to_seq: 0,
        reason: v1::GapReason::NotMember.into(),
        epoch: 1,
    };
    run(&mut state, &[Told::Gap(gap)]);
    run(&mut state, &log.sources.inbox);
    assert!(!state.room(ROOM).unwrap().is_member());
    let added =
        v1::MemberAdded { user_id: SELF.to_owned(), role: v1::Role::Member.into(), ..Default::default() };
    let body = Some(v1::event::Body::MemberAdded(added));
    let event = v1::Event { room_id: ROOM.to_owned(), seq: head + 1, body, ..Default::default() };
    run(&mut state, &[Told::Event(event)]);
    assert!(state.room(ROOM).unwrap().is_member());
}

#[test]
fn a_room_that_the_whole_inbox_lacks_was_left() {
    let mut state = fresh();
    let mut log = Log::new(1);
    log.run(&[Step::Say(0)]);
    run(&mut state, &log.sources.stream);
    let unlisted = |head_seq| News::Unlisted { room_id: ROOM, head_seq };
    // Something has happened since the inbox was requested.
    assert_eq!(state.apply(&unlisted(log.head() - 1)), []);
    assert_eq!(state.apply(&unlisted(log.head())).len(), 1);
    assert!(!state.room(ROOM).unwrap().is_member());
}

#[test]
fn a_page_older_than_changes_that_were_dropped_is_not_taken() {
    let mut state = fresh();
    let body = |target_seq, text: &str| {
        let text = text.to_owned();
        Some(v1::event::Body::MessageEdited(v1::MessageEdited { target_seq, text, ..Default::default() }))
    };
    let event = |seq, body| v1::Event { room_id: ROOM.to_owned(), seq, body, ..Default::default() };
    // Very many changes of messages that were not read.
    let changes = (1_000..1_400).map(|seq| Told::Event(event(seq, body(seq - 900, "edited"))));
    run(&mut state, &changes.collect::<Vec<_>>());
    let message = v1::Message { text: "first".to_owned(), ..Default::default() };
    let page = vec![event(100, Some(v1::event::Body::Message(message)))];
    run(&mut state, &[Told::Page(page.clone(), 100..=999, 999, 1)]);
    assert!(state.room(ROOM).unwrap().message(100).is_none());
    run(&mut state, &[Told::Page(page, 100..=999, 1_399, 1)]);
    assert!(state.room(ROOM).unwrap().message(100).is_some());
}
