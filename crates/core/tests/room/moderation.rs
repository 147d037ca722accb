//! Bans and mutes that end, and slow mode.

use std::time::Duration;

use parlance_core::limits::MAX_RECENT_REQUESTS;
use parlance_core::{
    Action, Authority, Body, Command, Event, Need, Outcome, Permissions, Reason, Refusal, Role,
    SettingsChange, Standing, Timestamp, Visibility,
};

use crate::solo::Solo;
use crate::values::{add, ban, command, delete, edit, react, remove, rename, send, set_role, unreact, user};

const MINUTE: Duration = Duration::from_secs(60);

fn reason(reason: &str) -> Reason {
    Reason::parse(reason).unwrap()
}

fn ban_for(id: &str, lasts: Duration) -> Action {
    Action::Ban { user: user(id), lasts: Some(lasts), reason: reason("spam") }
}

fn mute(id: &str, lasts: Option<Duration>) -> Action {
    Action::Mute { user: user(id), lasts, reason: reason("too loud") }
}

fn unmute(id: &str) -> Action {
    Action::Unmute { user: user(id) }
}

fn slow(seconds: u32) -> Action {
    Action::Update(SettingsChange { slow_mode: Some(seconds), ..SettingsChange::default() })
}

/// A room at a moment far from the beginning of time.
fn later(mut solo: Solo) -> Solo {
    solo.now = 1_000_000_000;
    solo
}

fn last(solo: &Solo) -> Event {
    solo.store.event(solo.head()).unwrap().clone()
}

fn waits(millis: u64) -> Refusal {
    Refusal::SlowMode { wait: Duration::from_millis(millis) }
}

#[test]
fn a_ban_with_an_end_is_over_by_itself() {
    let mut solo = later(Solo::channel());
    let end = Timestamp(solo.now + 60_000);
    solo.does("ann", ban_for("bob", MINUTE)).unwrap();
    let expected = Body::MemberBanned { user: user("bob"), until: Some(end), reason: reason("spam") };
    assert_eq!(last(&solo).body, expected);
    assert_eq!(solo.store.members[&user("bob")].ban_ends, Some(end));
    solo.reload();
    solo.now = end.0 - 1;
    assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Banned { until: Some(end) }));
    assert_eq!(solo.does("ann", add(&["bob"])), Err(Refusal::TargetBanned(user("bob"))));
    solo.now = end.0;
    solo.does("bob", Action::Join).unwrap();
    let row = &solo.store.members[&user("bob")];
    assert_eq!((row.standing, row.ban_ends, row.is_active()), (Standing::Free, None, true));
}

#[test]
fn a_ban_is_changed_by_another_one() {
    let mut solo = later(Solo::group());
    solo.does("ann", ban_for("bob", MINUTE)).unwrap();
    solo.now += 1_000;
    assert_eq!(solo.does("ann", ban("bob")).unwrap().first, solo.head());
    assert_eq!(solo.does("ann", ban("bob")).unwrap().first, 0, "as it is already");
    solo.now += 3_600_000;
    assert_eq!(solo.does("ann", add(&["bob"])), Err(Refusal::TargetBanned(user("bob"))));
    // The same request again is the same ban, though time has passed.
    let again = command("ann", "again", None, ban_for("bob", MINUTE));
    let first = solo.ask(&again).unwrap();
    solo.now += 1_000;
    assert_eq!(solo.ask(&again).unwrap(), Outcome { is_repeat: true, ..first });
    solo.now = first.at.0 + 60_000;
    solo.does("ann", add(&["bob"])).unwrap();
}

#[test]
fn muted_member_reads_and_cannot_send() {
    let mut solo = later(Solo::group());
    let said = solo.does("bob", send("loud")).unwrap().first;
    solo.does("bob", react(said, "👍")).unwrap();
    let until = Some(Timestamp(solo.now + 60_000));
    solo.does("ann", mute("bob", Some(MINUTE))).unwrap();
    assert_eq!(last(&solo).body, Body::MemberMuted { user: user("bob"), until, reason: reason("too loud") });
    solo.reload();
    for action in [send("x"), edit(said, "x"), react(said, "❤")] {
        assert_eq!(solo.does("bob", action), Err(Refusal::Muted { until }));
    }
    // What takes something back is allowed, and so is leaving; coming back changes nothing.
    solo.does("bob", unreact(said, "👍")).unwrap();
    solo.does("bob", delete(said)).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    solo.does("ann", add(&["bob"])).unwrap();
    assert_eq!(solo.does("bob", send("x")), Err(Refusal::Muted { until }));
    solo.now += 60_000;
    solo.does("bob", send("quietly")).unwrap();
}

#[test]
fn a_mute_without_an_end_is_lifted() {
    let mut solo = later(Solo::group());
    solo.does("ann", mute("bob", None)).unwrap();
    assert_eq!(solo.does("ann", mute("bob", None)).unwrap().first, 0);
    solo.now += 1_000_000_000;
    assert_eq!(solo.does("bob", send("x")), Err(Refusal::Muted { until: None }));
    solo.does("ann", unmute("bob")).unwrap();
    assert_eq!(solo.does("ann", unmute("bob")).unwrap().first, 0);
    // At the very moment, and on a node that reads the row.
    solo.reload();
    solo.does("bob", send("thanks")).unwrap();
    assert_eq!(solo.does("ann", unmute("cat")).unwrap().first, 0, "who was never muted");
}

#[test]
fn moderators_mute_those_below_them() {
    let mut solo = later(Solo::group());
    assert_eq!(solo.does("bob", mute("cat", None)), Err(Refusal::NeedsRole("admin")));
    assert_eq!(solo.does("ann", mute("eve", None)), Err(Refusal::TargetNotMember(user("eve"))));
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    assert_eq!(solo.does("bob", mute("ann", None)), Err(Refusal::NeedsRole("owner")));
    solo.does("ann", mute("bob", None)).unwrap();
    assert_eq!(solo.does("bob", unmute("bob")), Err(Refusal::NeedsRole("owner")), "not one's own");
    assert_eq!(Solo::direct().does("ann", mute("bob", None)), Err(Refusal::DirectRoom));
    let app = |moderates, id: &str, action| Command {
        authority: Authority::App { moderates },
        ..command("backend", id, None, action)
    };
    assert_eq!(solo.ask(&app(false, "1", mute("ann", None))), Err(Refusal::NeedsScope("admin")));
    solo.ask(&app(true, "2", mute("ann", None))).unwrap();
    assert_eq!(solo.does("ann", send("x")), Err(Refusal::Muted { until: None }));
    solo.app("backend", send("the app is not muted")).unwrap();
    let on_behalf = Command {
        authority: Authority::OnBehalf { service: user("backend") },
        ..command("ann", "3", None, send("x"))
    };
    assert_eq!(solo.ask(&on_behalf), Err(Refusal::Muted { until: None }));
}

#[test]
fn leaving_lifts_no_mute() {
    let mut solo = later(Solo::group());
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", set_role("cat", Role::Admin)).unwrap();
    solo.does("ann", mute("bob", None)).unwrap();
    solo.does("bob", Action::Leave).unwrap();
    assert_eq!(solo.does("cat", unmute("bob")), Err(Refusal::NeedsRole("owner")));
    assert_eq!(solo.does("cat", mute("bob", Some(MINUTE))), Err(Refusal::NeedsRole("owner")));
    solo.does("cat", ban("bob")).unwrap();
    solo.does("ann", unmute("bob")).unwrap();
    // The owner lifts the mute of a former owner, too, whom nobody outranks.
    solo.does("ann", Action::Leave).unwrap();
    solo.reload();
    solo.does("cat", mute("ann", None)).unwrap();
    solo.does("cat", unmute("ann")).unwrap();
}

#[test]
fn slow_mode_spaces_the_messages_of_each_member() {
    let mut solo = later(Solo::group());
    solo.does("ann", slow(30)).unwrap();
    solo.does("bob", send("1")).unwrap();
    solo.does("cat", send("1")).unwrap();
    solo.now += 10_000;
    assert_eq!(solo.does("bob", send("2")), Err(waits(20_000)));
    // Those who moderate, and the app, are not slowed down.
    for words in ["1", "2"] {
        solo.does("ann", send(words)).unwrap();
        solo.app("backend", send(words)).unwrap();
    }
    // A node that remembers nothing finds out from the log.
    solo.reload();
    assert_eq!(solo.does("bob", send("2")), Err(waits(20_000)));
    assert!(solo.needs.iter().any(|need| matches!(need, Need::Older { .. })), "{:?}", solo.needs);
    solo.now += 20_000;
    solo.does("bob", send("2")).unwrap();
    // Two at once, in one append.
    solo.now += 30_000;
    let head = Some(solo.head());
    let both = ["a", "b"].map(|id| command("bob", id, head, send(id)));
    assert_eq!(solo.append(&both).map(|_| ()), Err(waits(30_000)));
    // A repeat is the first message, not a second one.
    solo.ask(&both[0]).unwrap();
    assert!(solo.ask(&both[0]).unwrap().is_repeat);
    solo.does("ann", slow(0)).unwrap();
    solo.does("bob", send("at once")).unwrap();
}

#[test]
fn slow_mode_looks_no_further_than_requests_are_remembered() {
    let mut solo = later(Solo::group());
    solo.does("cat", send("long ago, and within the hour")).unwrap();
    solo.fill(MAX_RECENT_REQUESTS + 200);
    solo.does("ann", slow(3600)).unwrap();
    solo.reload();
    solo.does("cat", send("again")).unwrap();
    assert!(solo.needs.len() < 100, "{}", solo.needs.len());
}

/// Has `id` react and take it back until none of their earlier requests are remembered.
fn crowd_out(solo: &mut Solo, id: &str, message: u64, requests: usize) {
    let ids: Vec<usize> = (0..requests).collect();
    for ids in ids.chunks(100) {
        let head = solo.head();
        let action =
            |n: &usize| if n.is_multiple_of(2) { react(message, "👍") } else { unreact(message, "👍") };
        let commands: Vec<Command> =
            ids.iter().map(|n| command(id, &format!("crowd{head}.{n}"), Some(head), action(n))).collect();
        solo.append(&commands).unwrap();
    }
}

#[test]
fn own_requests_make_the_wait_no_shorter() {
    let mut solo = later(Solo::group());
    solo.does("ann", slow(3600)).unwrap();
    let said = solo.does("cat", send("and again")).unwrap().first;
    crowd_out(&mut solo, "cat", said, MAX_RECENT_REQUESTS + 200);
    solo.now += 600_000;
    let wait = waits(3_000_000);
    assert_eq!(
        solo.does("cat", send("too soon")),
        Err(wait.clone()),
        "of a room that was loaded all the time"
    );
    solo.reload();
    assert_eq!(solo.does("cat", send("too soon")), Err(wait), "and of one that is loaded now");
    solo.does("bob", send("who has done nothing")).unwrap();
    solo.now += 3_000_000;
    solo.does("cat", send("in time")).unwrap();
}

#[test]
fn slow_mode_is_for_rooms_of_many() {
    assert_eq!(Solo::direct().does("ann", slow(5)), Err(Refusal::DirectRoom));
    let mut solo = later(Solo::group());
    assert_eq!(solo.does("bob", slow(5)), Err(Refusal::NeedsRole("admin")));
    solo.does("ann", slow(5)).unwrap();
    assert_eq!(solo.does("ann", slow(5)).unwrap().first, 0);
    solo.does("ann", remove("bob")).unwrap();
    assert_eq!(solo.store.members[&user("bob")].left_with.as_ref().unwrap().slow_mode, 0);
}

#[test]
fn settings_are_no_way_around_moderation() {
    let mut solo = later(Solo::group());
    let permissions = Permissions { edit: Some(Role::Member), ..Permissions::default() };
    solo.does("ann", Action::Update(SettingsChange { permissions, ..SettingsChange::default() })).unwrap();
    solo.does("bob", rename("members may")).unwrap();
    for seconds in [0, 5] {
        assert_eq!(solo.does("bob", slow(seconds)), Err(Refusal::NeedsRole("admin")));
    }
    solo.does("ann", mute("bob", None)).unwrap();
    assert_eq!(solo.does("bob", rename("what I still have to say")), Err(Refusal::Muted { until: None }));
    solo.does("ann", unmute("bob")).unwrap();
    solo.does("bob", rename("again")).unwrap();
}

/// Whether `id` is muted, on a node that reads the row.
fn is_muted(solo: &mut Solo, id: &str) -> bool {
    solo.reload();
    let mute = solo.store.members[&user(id)].mute;
    mute.is_some_and(|mute| mute.holds_at(Timestamp(solo.now)))
}

/// Nobody in the room could lift the mute of its owner.
#[test]
fn becoming_the_owner_ends_a_mute() {
    let mut solo = later(Solo::group());
    solo.does("ann", mute("bob", None)).unwrap();
    solo.does("ann", set_role("bob", Role::Owner)).unwrap();
    assert_eq!(last(&solo).body, Body::MemberUnmuted { user: user("bob") });
    assert!(!is_muted(&mut solo, "bob"));
    solo.does("bob", send("thanks")).unwrap();

    solo.does("bob", mute("cat", Some(MINUTE))).unwrap();
    solo.app("backend", set_role("cat", Role::Owner)).unwrap();
    assert!(!is_muted(&mut solo, "cat"), "by the app, too");

    // Where everyone else is muted, the successor is not any more.
    solo.does("cat", mute("ann", None)).unwrap();
    solo.does("cat", remove("bob")).unwrap();
    let leave = command("cat", "leave", Some(solo.head()), Action::Leave);
    let first = solo.ask(&leave).unwrap();
    assert!(!is_muted(&mut solo, "ann"));
    solo.does("ann", send("alone")).unwrap();
    assert_eq!(solo.ask(&leave), Ok(Outcome { is_repeat: true, ..first }));
}

#[test]
fn whoever_takes_over_an_empty_room_is_not_muted() {
    let mut solo = later(Solo::channel());
    let all = SettingsChange { visibility: Some(Visibility::All), ..SettingsChange::default() };
    solo.does("ann", Action::Update(all)).unwrap();
    solo.does("ann", mute("bob", None)).unwrap();
    for id in ["bob", "cat", "ann"] {
        solo.does(id, Action::Leave).unwrap();
    }
    solo.does("bob", Action::Join).unwrap();
    assert!(!is_muted(&mut solo, "bob"));
    solo.does("bob", send("hello")).unwrap();

    let mut solo = later(Solo::group());
    solo.does("ann", mute("cat", None)).unwrap();
    for id in ["bob", "cat", "ann"] {
        solo.does(id, Action::Leave).unwrap();
    }
    solo.app("backend", add(&["cat", "dan"])).unwrap();
    assert!(!is_muted(&mut solo, "cat"));
    solo.does("cat", send("hello")).unwrap();
}

#[test]
fn a_muted_member_is_the_last_to_succeed() {
    let mut solo = later(Solo::group());
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", mute("bob", Some(MINUTE))).unwrap();
    solo.does("ann", Action::Leave).unwrap();
    assert_eq!(solo.store.members[&user("cat")].role, Role::Owner);
    assert!(is_muted(&mut solo, "bob"));
    // A mute that has ended does not count.
    solo.now += 60_000;
    solo.does("cat", Action::Leave).unwrap();
    assert_eq!(solo.store.members[&user("bob")].role, Role::Owner);
    assert!(matches!(last(&solo).body, Body::MemberRemoved { .. }), "and is not ended again");
}

#[test]
fn reasons_are_words_too() {
    let mut solo = later(Solo::group());
    let silent = |action| match action {
        Action::Ban { user, lasts, .. } => Action::Ban { user, lasts, reason: Reason::default() },
        Action::Mute { user, lasts, .. } => Action::Mute { user, lasts, reason: Reason::default() },
        other => other,
    };
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", mute("bob", None)).unwrap();
    for action in [mute("cat", None), ban_for("cat", MINUTE)] {
        assert_eq!(solo.does("bob", action.clone()), Err(Refusal::Muted { until: None }));
        solo.does("bob", silent(action)).unwrap();
    }
    // In a frozen room, only those who may thaw it.
    let permissions = Permissions { edit: Some(Role::Owner), ..Permissions::default() };
    let freeze = SettingsChange { frozen: Some(true), permissions, ..SettingsChange::default() };
    let mut solo = later(Solo::group());
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", Action::Update(freeze)).unwrap();
    assert_eq!(solo.does("bob", mute("cat", None)), Err(Refusal::Frozen));
    solo.does("bob", silent(mute("cat", None))).unwrap();
    solo.does("ann", ban_for("cat", MINUTE)).unwrap();
}
