//! Several requests decided together become one append.

use parlance_core::limits::{
    MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, MAX_ITEMS_PER_APPEND, MAX_MEMBERS_PER_REQUEST, MAX_TEXT_BYTES,
};
use parlance_core::{Action, Chunk, Decision, Refusal, Role, Timestamp};
use proptest::prelude::*;

use crate::model::serve;
use crate::solo::Solo;
use crate::values::{add, command, react, remove, rename, send, set_role, user};

#[test]
fn each_is_decided_on_what_those_before_it_did() {
    let mut solo = Solo::group();
    let commands = [
        command("ann", "r1", None, add(&["dan"])),
        command("dan", "r1", None, send("hello")),
        command("ann", "r2", None, set_role("dan", Role::Admin)),
        command("dan", "r2", None, remove("bob")),
    ];
    let append = solo.append(&commands).unwrap().1.unwrap();
    assert_eq!(append.chunk.events().len(), 4);
    assert_eq!(append.chunk.head().member_count(), 3);
    let changed: Vec<_> = append.members.iter().map(|row| (row.user.as_str(), row.role)).collect();
    assert_eq!(changed, [("bob", Role::Member), ("dan", Role::Admin)]);
    assert_eq!(solo.does("bob", send("hello?")), Err(Refusal::NotMember));
}

#[test]
fn a_refusal_leaves_the_draft_as_it_was() {
    let mut solo = Solo::group();
    let mut draft = solo.room.draft();
    let refused = draft.decide(&command("bob", "r1", None, rename("red")), Timestamp(0));
    assert_eq!(refused, Err(Refusal::NeedsRole("admin")));
    assert!(draft.is_empty());
    assert_eq!(draft.finish([1; 16]).0, None);
    assert_eq!(solo.does("bob", send("hello")).unwrap().first, 5);
}

#[test]
fn nothing_to_change_is_nothing_to_append() {
    let mut solo = Solo::group();
    let (outcomes, append) = solo.append(&[command("ann", "r1", None, add(&["bob"]))]).unwrap();
    assert_eq!((outcomes[0].first, outcomes[0].last, outcomes[0].is_repeat), (0, 0, false));
    assert_eq!(append, None);
}

#[test]
fn time_never_goes_back() {
    let mut solo = Solo::group();
    solo.now = 300_000;
    solo.does("ann", send("by a clock ahead")).unwrap();
    solo.now = 0;
    solo.reload();
    let sent = solo.does("bob", send("by a clock behind")).unwrap();
    assert_eq!(sent.at, Timestamp(300_000));
}

#[test]
fn settings_go_with_the_chunk_that_changes_them() {
    let mut solo = Solo::group();
    let append = solo.append(&[command("ann", "r1", None, rename("red"))]).unwrap().1.unwrap();
    assert_eq!(append.info.unwrap().settings.title.as_str(), "red");
    let append = solo.append(&[command("ann", "r2", None, send("hello"))]).unwrap().1.unwrap();
    assert_eq!(append.info, None);
}

#[test]
fn stored_events_that_are_no_chunk() {
    let solo = Solo::group();
    let events = solo.store.tail().events();
    assert!(Chunk::new([0; 16], events.to_vec(), 0, 3).is_some());
    assert!(Chunk::new([0; 16], Vec::new(), 0, 3).is_none());
    assert!(Chunk::new([0; 16], vec![events[0].clone(), events[2].clone()], 0, 3).is_none());
    let mut zero = events[0].clone();
    zero.seq = 0;
    assert!(Chunk::new([0; 16], vec![zero], 0, 3).is_none());
}

/// Requests of maximum size, to reach each limit.
#[derive(Debug, Clone, Copy)]
enum Large {
    Small,
    Text,
    Reaction,
    Crowd,
}

impl Large {
    /// The `n`th request of a draft: all messages, reactions and users are distinct.
    fn action(self, n: usize) -> Action {
        match self {
            Self::Small => send("small"),
            Self::Text => send(&"x".repeat(MAX_TEXT_BYTES)),
            Self::Reaction => react(5 + n as u64 % 300, "👍"),
            Self::Crowd => {
                let users = (0..MAX_MEMBERS_PER_REQUEST).map(|m| user(&format!("u{n}.{m}"))).collect();
                Action::Add { users }
            }
        }
    }
}

fn large() -> impl Strategy<Value = Large> {
    prop_oneof![Just(Large::Small), Just(Large::Text), Just(Large::Reaction), Just(Large::Crowd)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// A draft that is closed when it says so fits into one append.
    #[test]
    fn a_draft_with_room_fits(kinds in proptest::collection::vec(large(), 1..4)) {
        let mut solo = Solo::group();
        solo.fill(300);
        let mut draft = solo.room.draft();
        for (n, kind) in kinds.iter().cycle().enumerate() {
            if !draft.can_take_more() {
                break;
            }
            let command = command("ann", &format!("r{n}"), None, kind.action(n));
            let mut last = None;
            while let Ok(Decision::Need(need)) = draft.decide(&command, Timestamp(0)) {
                prop_assert!(serve(&solo.store, draft.room_mut(), &need));
                prop_assert_ne!(last.replace(need.clone()), Some(need));
            }
        }
        let (append, room) = draft.finish([1; 16]);
        let append = append.unwrap();
        prop_assert!(append.chunk.events().len() <= MAX_CHUNK_EVENTS);
        let bytes: usize = append.chunk.events().iter().map(|event| event.body.text_bytes()).sum();
        prop_assert!(bytes <= MAX_CHUNK_BYTES);
        let items = 2 * append.members.len() + append.overlays.len() + usize::from(append.info.is_some());
        prop_assert!(items <= MAX_ITEMS_PER_APPEND, "{}", items);
        solo.room.apply(&append.chunk).unwrap();
        prop_assert_eq!(solo.room.head(), room.head());
    }
}
