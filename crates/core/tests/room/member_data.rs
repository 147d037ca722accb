//! What the app keeps about members.

use parlance_core::{
    Action, Body, Data, DataChange, Entry, MemberData, Overlay, Permissions, Reason, Refusal, Role,
    SettingsChange,
};

use crate::solo::Solo;
use crate::values::{add, ban, command, remove, set_role, user};

fn values(team: &str) -> Data {
    Data::new([("team".to_owned(), team.as_bytes().to_vec())].into()).unwrap()
}

fn team(of: &str, team: &str) -> Action {
    let data = DataChange { set: values(team), unset: Vec::new() };
    Action::UpdateMember { user: user(of), data }
}

fn no_team(of: &str) -> Action {
    let data = DataChange { unset: vec!["team".to_owned()], ..DataChange::default() };
    Action::UpdateMember { user: user(of), data }
}

fn change(change: SettingsChange) -> Action {
    Action::Update(change)
}

fn of(solo: &Solo, member: &str) -> MemberData {
    solo.store.members[&user(member)].data.clone()
}

/// The data of the event at `seq`, as a reader gets it.
fn shown(solo: &Solo, seq: u64) -> Option<Data> {
    let event = solo.store.event(seq).unwrap().clone();
    let overlay = Entry::overlay_key(&event).and_then(|key| solo.store.overlays.get(&key).cloned());
    match Entry::merge(event, overlay).event.body {
        Body::MemberUpdated { data, .. } => data,
        body => panic!("{body:?}"),
    }
}

const ROLE: Refusal = Refusal::NeedsRole("admin");
const OUTRANKED: Refusal = Refusal::NeedsRole("owner");

#[test]
fn members_change_their_own_and_admins_that_of_members() {
    let mut solo = Solo::group();
    solo.does("bob", team("bob", "red")).unwrap();
    let expected = Body::MemberUpdated { user: user("bob"), data: Some(values("red")) };
    assert_eq!(solo.store.event(solo.head()).unwrap().body, expected);
    assert_eq!(of(&solo, "bob"), MemberData { values: values("red"), seq: solo.head() });
    assert_eq!(solo.does("bob", team("cat", "red")), Err(ROLE));
    solo.does("ann", team("bob", "blue")).unwrap();
    solo.does("ann", set_role("cat", Role::Admin)).unwrap();
    solo.reload();
    solo.does("cat", team("bob", "green")).unwrap();
    assert_eq!(solo.does("cat", team("ann", "green")), Err(OUTRANKED));
    solo.does("cat", team("cat", "green")).unwrap();
    let everyone = Permissions { edit: Some(Role::Member), ..Permissions::default() };
    solo.does("ann", change(SettingsChange { permissions: everyone, ..SettingsChange::default() })).unwrap();
    assert_eq!(solo.does("bob", team("cat", "red")), Err(OUTRANKED));
    solo.app("app", team("ann", "green")).unwrap();
    for (actor, whom) in [("ann", "dan"), ("bob", "dan")] {
        let refused = solo.does(actor, team(whom, "red"));
        assert!(matches!(refused, Err(Refusal::TargetNotMember(_))), "{refused:?}");
    }
    assert_eq!(solo.does("dan", team("dan", "red")), Err(Refusal::NotMember));
    assert_eq!(solo.app("app", team("app", "red")), Err(Refusal::TargetNotMember(user("app"))));
}

#[test]
fn keys_are_merged_and_bounded_and_what_changes_nothing_is_no_event() {
    let mut solo = Solo::group();
    solo.does("bob", team("bob", "red")).unwrap();
    let more = Data::new([("note".to_owned(), b"x".to_vec())].into()).unwrap();
    let data = DataChange { set: more, unset: Vec::new() };
    solo.does("bob", Action::UpdateMember { user: user("bob"), data }).unwrap();
    let keys: Vec<String> = of(&solo, "bob").values.entries().map(|(key, _)| key.to_owned()).collect();
    assert_eq!(keys, ["note", "team"]);
    let head = solo.head();
    assert_eq!(solo.does("bob", team("bob", "red")).unwrap().first, 0);
    assert_eq!(solo.does("cat", no_team("cat")).unwrap().first, 0);
    assert_eq!(solo.head(), head);
    let large = Data::new([("large".to_owned(), vec![b'x'; 4_080])].into()).unwrap();
    let data = DataChange { set: large, unset: Vec::new() };
    let refused = solo.does("bob", Action::UpdateMember { user: user("bob"), data });
    assert!(matches!(refused, Err(Refusal::DataTooLarge(_))), "{refused:?}");
    // A repeat is recognised, and another member is another request.
    let first = command("ann", "once", Some(solo.head()), team("bob", "blue"));
    let at = solo.ask(&first).unwrap().first;
    solo.reload();
    let again = solo.ask(&first).unwrap();
    assert_eq!((again.first, again.is_repeat), (at, true));
    let other = command("ann", "once", Some(head), team("cat", "blue"));
    assert_eq!(solo.ask(&other), Err(Refusal::RequestIdReused));
}

#[test]
fn data_ends_with_the_membership_and_its_events_show_it_only_while_it_holds() {
    for ends in [Action::Leave, remove("bob"), ban("bob")] {
        let mut solo = Solo::group();
        let red = solo.does("bob", team("bob", "red")).unwrap().first;
        assert_eq!(shown(&solo, red), Some(values("red")));
        let blue = solo.does("bob", team("bob", "blue")).unwrap().first;
        assert_eq!((shown(&solo, red), shown(&solo, blue)), (None, Some(values("blue"))));
        solo.reload();
        let actor = if ends == Action::Leave { "bob" } else { "ann" };
        let is_ban = ends == ban("bob");
        let left = solo.does(actor, ends).unwrap().first;
        assert_eq!(of(&solo, "bob"), MemberData { seq: left, ..MemberData::default() });
        assert_eq!(shown(&solo, blue), None);
        if is_ban {
            solo.does("ann", Action::Unban { user: user("bob") }).unwrap();
        }
        solo.does("ann", add(&["bob"])).unwrap();
        assert!(of(&solo, "bob").values.is_empty());
        solo.does("bob", team("bob", "red")).unwrap();
        let none = solo.does("bob", no_team("bob")).unwrap().first;
        assert_eq!(shown(&solo, none), Some(Data::default()));
    }
}

#[test]
fn events_of_one_append_outdate_each_other() {
    let mut solo = Solo::group();
    let head = solo.head();
    let commands: Vec<_> = (0..3)
        .map(|number| command("bob", &format!("set{number}"), Some(head), team("bob", &number.to_string())))
        .collect();
    let (outcomes, append) = solo.append(&commands).unwrap();
    let append = append.unwrap();
    let seqs: Vec<u64> = outcomes.iter().map(|outcome| outcome.first).collect();
    assert_eq!(seqs, [head + 1, head + 2, head + 3]);
    let outdated = [1, 2].map(|at| (head + at, Overlay::outdated(head + at + 1)));
    assert_eq!(append.overlays, outdated);
    assert_eq!(append.members.len(), 1);
}

#[test]
fn nobody_speaks_by_data_who_may_not_speak() {
    let mut solo = Solo::group();
    let mute = Action::Mute { user: user("bob"), lasts: None, reason: Reason::default() };
    solo.does("ann", mute).unwrap();
    assert_eq!(solo.does("bob", team("bob", "red")), Err(Refusal::Muted { until: None }));
    solo.does("ann", change(SettingsChange { frozen: Some(true), ..SettingsChange::default() })).unwrap();
    assert_eq!(solo.does("cat", team("cat", "red")), Err(Refusal::Frozen));
    assert_eq!(solo.does("ann", team("cat", "red")), Err(Refusal::Frozen));
    solo.app("app", team("cat", "red")).unwrap();
    solo.does("ann", change(SettingsChange { archived: Some(true), ..SettingsChange::default() })).unwrap();
    assert_eq!(solo.app("app", team("cat", "blue")), Err(Refusal::Archived));

    let mut solo = Solo::direct();
    solo.store.blocks.insert((user("ann"), user("bob")));
    assert_eq!(solo.does("bob", team("bob", "red")), Err(Refusal::NotAccepted(user("ann"))));
    assert_eq!(solo.does("ann", team("bob", "red")), Err(Refusal::DirectRoom));
    solo.does("ann", team("ann", "red")).unwrap();
    solo.app("app", team("bob", "red")).unwrap();
}
