//! Messages that were edited, deleted and reacted to.

use std::collections::BTreeMap;

use parlance_core::limits::{MAX_EMOJI_KINDS, MAX_REACTIONS, RoomSizes};
use parlance_core::{Body, Decision, Entry, Need, Overlay, PastForms, Posted, Refusal, Timestamp};
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::{command, delete, edit, emoji, react, send, unreact, user};

/// The whole log as returned by history.
fn history(solo: &Solo) -> Vec<Entry> {
    let events = solo.store.log.values().flat_map(parlance_core::Chunk::events).cloned();
    let overlay = |key: u64| solo.store.overlays.get(&key).cloned();
    events
        .map(|event| (Entry::overlay_key(&event).and_then(overlay), event))
        .map(|(overlay, event)| Entry::merge(event, overlay))
        .collect()
}

/// All texts in it.
fn texts(solo: &Solo) -> Vec<String> {
    let text = |entry: &Entry| match &entry.event.body {
        Body::Message(message) => Some(message.text.as_str().to_owned()),
        Body::MessageEdited { text, .. } => Some(text.as_str().to_owned()),
        _ => None,
    };
    let edited = |entry: &Entry| Some(entry.overlay.as_ref()?.edited.as_ref()?.0.as_str().to_owned());
    history(solo).iter().flat_map(|entry| [text(entry), edited(entry)]).flatten().collect()
}

#[test]
fn history_shows_the_text_now() {
    let mut solo = Solo::group();
    solo.does("ann", send("helo")).unwrap();
    solo.now = 7;
    solo.does("ann", edit(5, "hello")).unwrap();
    let entry = &history(&solo)[4];
    assert_eq!(entry.overlay.as_ref().unwrap().edited, Some((crate::values::text("hello"), Timestamp(7))));
    assert!(!texts(&solo).contains(&"helo".to_owned()));
}

#[test]
fn deleted_text_does_not_leave_again() {
    let mut solo = Solo::group();
    solo.does("ann", send("secret")).unwrap();
    solo.does("ann", edit(5, "still secret")).unwrap();
    solo.does("bob", react(5, "👍")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    assert_eq!(texts(&solo), ["", ""], "neither of the message nor of its edit");
    let overlay = history(&solo)[4].overlay.clone().unwrap();
    assert_eq!(overlay, Overlay { changed: 8, deleted: true, ..Overlay::default() });
}

/// The spelling of the emoji in the room's last event.
fn written(solo: &Solo) -> String {
    match &solo.store.event(solo.head()).unwrap().body {
        Body::ReactionAdded { emoji, .. } | Body::ReactionRemoved { emoji, .. } => emoji.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn variation_selectors_make_no_second_reaction() {
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    solo.does("ann", react(5, "👍\u{fe0f}")).unwrap();
    assert_eq!(solo.does("ann", react(5, "👍")).unwrap().first, 0, "nothing to change");
    solo.does("bob", react(5, "👍")).unwrap();
    assert_eq!(written(&solo), "👍\u{fe0f}", "as the first one");
    solo.does("cat", react(5, "👍\u{fe0e}")).unwrap();
    let everyone = ["ann", "bob", "cat"].map(user).into();
    assert_eq!(solo.store.overlays[&5].reactions, [(emoji("👍"), everyone)].into());
    // Removal accepts either spelling, and its event has the one that clients know.
    solo.does("ann", unreact(5, "👍")).unwrap();
    assert_eq!(written(&solo), "👍\u{fe0f}");
    assert_eq!(solo.store.overlays[&5].reactions[&emoji("👍")].len(), 2);
    // A skin tone is not a variation selector.
    solo.does("bob", react(5, "👍🏽")).unwrap();
    assert_eq!(solo.store.overlays[&5].reactions.len(), 2);
}

#[test]
fn a_deleted_message_stays_deleted() {
    let mut solo = Solo::group();
    solo.does("ann", send("oops")).unwrap();
    solo.does("ann", delete(5)).unwrap();
    assert_eq!(solo.does("ann", edit(5, "hi")), Err(Refusal::MessageDeleted(5)));
    assert_eq!(solo.does("bob", react(5, "👍")), Err(Refusal::MessageDeleted(5)));
    assert_eq!(solo.does("bob", unreact(5, "👍")).unwrap().first, 0);
    assert_eq!(solo.does("ann", delete(5)).unwrap().first, 0, "nothing is left to delete");
    assert_eq!(solo.room.head().message_count(), 1, "it stays counted");
}

#[test]
fn a_reaction_is_there_once() {
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    assert_eq!(solo.does("bob", react(5, "👍")).unwrap().first, 6);
    assert_eq!(solo.does("bob", react(5, "👍")).unwrap().first, 0);
    assert_eq!(solo.does("cat", unreact(5, "👍")).unwrap().first, 0, "it is bob's");
    assert_eq!(solo.does("bob", unreact(5, "👍")).unwrap().first, 7);
    assert!(solo.store.overlays[&5].reactions.is_empty(), "no emoji without people");
}

/// cat reacts with `with` to a message with reactions of `people` users with `kinds` kinds
/// of emoji each.
fn check_reactions(people: usize, kinds: usize, with: &str, allowed: bool) {
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    let users = (0..people).map(|n| user(&format!("u{n}"))).collect::<std::collections::BTreeSet<_>>();
    let reactions: BTreeMap<_, _> = (0..kinds).map(|n| (emoji(&format!("e{n}")), users.clone())).collect();
    let overlay = Overlay { changed: 5, reactions, ..Overlay::default() };
    let hello = Posted { overlay, ..solo.store.message(5).unwrap() };
    assert!(solo.room.load_message(5, Some(hello)));
    let mut draft = solo.room.draft();
    let decided = draft.decide(&command("cat", "r1", None, react(5, with)), Timestamp(0));
    match allowed {
        true => assert!(matches!(decided, Ok(Decision::Done(_))), "{decided:?}"),
        false => assert_eq!(decided, Err(Refusal::TooManyReactions)),
    }
}

#[test]
fn a_message_has_so_many_reactions() {
    check_reactions(1, MAX_EMOJI_KINDS - 1, "new", true);
    check_reactions(1, MAX_EMOJI_KINDS, "new", false);
    check_reactions(1, MAX_EMOJI_KINDS, "e0", true);
    check_reactions(MAX_REACTIONS - 1, 1, "e0", true);
    check_reactions(MAX_REACTIONS, 1, "e0", false);
}

#[test]
fn recent_messages_are_at_hand() {
    let mut solo = Solo::group();
    solo.fill(RoomSizes::PRODUCTION.messages + 1);
    let (oldest, latest) = (5, solo.head());
    for (target, needs) in [(latest, vec![]), (oldest, vec![Need::Message(oldest)])] {
        solo.does("ann", react(target, "👍")).unwrap();
        assert_eq!(solo.needs, needs);
    }
}

#[test]
fn below_the_floor_there_is_nothing_to_read() {
    let mut solo = Solo::group();
    solo.does("ann", send("old")).unwrap();
    solo.now = 1;
    solo.does("ann", send("new")).unwrap();
    solo.store.retire(Timestamp(1));
    solo.reload();
    assert_eq!(solo.does("ann", delete(5)), Err(Refusal::MessageNotFound(5)));
    assert_eq!(solo.needs, [Need::Member(user("ann"))]);
}

#[test]
fn a_message_from_the_future_waits() {
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    let mut behind = solo.room.clone();
    solo.does("bob", react(5, "👍")).unwrap();
    assert!(!behind.load_message(5, solo.store.message(5)), "reacted to after the room's head");
    behind.apply(solo.store.tail()).unwrap();
    assert!(behind.load_message(5, solo.store.message(5)));
}

#[test]
fn a_message_and_its_fate_in_one_chunk() {
    let mut solo = Solo::group();
    let commands = [
        command("ann", "r1", None, send("secret")),
        command("ann", "r2", None, edit(5, "still secret")),
        command("bob", "r1", None, react(5, "👍")),
        command("ann", "r3", None, delete(5)),
    ];
    let (_, append) = solo.append(&commands).unwrap();
    let append = append.unwrap();
    assert_eq!(append.chunk.events().len(), 4);
    assert_eq!(append.overlays, [(5, Overlay { changed: 8, deleted: true, ..Overlay::default() })]);
    assert_eq!(texts(&solo), ["", ""]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to messages: history returns no text of a deleted one, and of the
    /// others every text except the first if it was edited.
    #[test]
    fn history_holds_no_deleted_text(steps in proptest::collection::vec((0..5u8, 0..4u64), 1..40), reload: bool) {
        let mut solo = Solo::group();
        // The texts of each message, in order, until it is deleted.
        let mut said: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut gone = std::collections::BTreeSet::new();
        for (n, (what, pick)) in steps.into_iter().enumerate() {
            if reload {
                solo.reload();
            }
            let target = said.keys().copied().rev().nth(pick as usize);
            let words = format!("text {n}");
            match (what, target) {
                (0 | 1, _) | (_, None) => {
                    let sent = solo.does("ann", send(&words)).unwrap();
                    said.insert(sent.first, vec![words]);
                }
                (2, Some(target)) if !gone.contains(&target) => {
                    solo.does("ann", edit(target, &words)).unwrap();
                    said.entry(target).or_default().push(words);
                }
                (3, Some(target)) => {
                    solo.does("ann", delete(target)).unwrap();
                    gone.insert(target);
                }
                (_, Some(target)) => drop(solo.does("bob", react(target, "👍"))),
            }
        }
        let left = texts(&solo);
        for (seq, texts) in &said {
            for (n, words) in texts.iter().enumerate() {
                let shown = !gone.contains(seq) && (n > 0 || texts.len() == 1);
                prop_assert_eq!(left.contains(words), shown, "{} of {}", words, seq);
            }
        }
    }
}

/// `entries` as they were at `until`.
fn as_of(solo: &Solo, until: u64, entries: Vec<Entry>) -> Vec<Entry> {
    let Some(mut past) = PastForms::of(&entries, until) else { return entries };
    if let Some(needed) = past.needed() {
        let events = solo.store.log.values().flat_map(parlance_core::Chunk::events);
        events.filter(|event| needed.contains(event.seq)).for_each(|event| past.fold(event));
    }
    past.put(entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// History returned at some moment, and history reconstructed later for a reader whose
    /// membership ended then, differ only in what was deleted since.
    #[test]
    fn past_forms_are_those_that_were_handed_out(
        steps in proptest::collection::vec((0..6u8, 0..3u64), 1..40),
        at in 0..40usize,
    ) {
        let mut solo = Solo::group();
        for words in ["one", "two", "three"] {
            solo.does("ann", send(words)).unwrap();
        }
        let mut then = None;
        for (number, (what, message)) in steps.iter().enumerate() {
            if number == at.min(steps.len() - 1) {
                then = Some((solo.head(), history(&solo)));
            }
            let target = 5 + message;
            // Impossible steps, such as editing a deleted message, are refused.
            let _ = match what {
                0 | 1 => solo.does("ann", edit(target, &format!("edit {number}"))),
                2 => solo.does("bob", react(target, "👍")),
                3 => solo.does("bob", unreact(target, "👍")),
                4 => solo.does("ann", send("more")),
                _ if number % 5 == 0 => solo.does("ann", delete(target)),
                _ => solo.does("cat", react(target, "👀")),
            };
        }
        let (until, before) = then.unwrap();
        let now: Vec<Entry> = history(&solo).into_iter().filter(|entry| entry.event.seq <= until).collect();
        let deleted: Vec<u64> = now
            .iter()
            .filter(|entry| entry.overlay.as_ref().is_some_and(|overlay| overlay.deleted))
            .map(|entry| entry.event.seq)
            .collect();
        let seen = as_of(&solo, until, now);
        prop_assert_eq!(seen.len(), before.len());
        for (seen, before) in seen.iter().zip(&before) {
            let target = Entry::overlay_key(&seen.event);
            if target.is_some_and(|target| deleted.contains(&target)) {
                let no_text = match &seen.event.body {
                    Body::Message(message) => message.text.as_str().is_empty(),
                    Body::MessageEdited { text, .. } => text.as_str().is_empty(),
                    _ => true,
                };
                prop_assert!(no_text, "{:?}", seen);
            } else {
                prop_assert_eq!(seen, before);
            }
            prop_assert!(seen.overlay.as_ref().is_none_or(|overlay| overlay.changed <= until));
        }
    }
}
