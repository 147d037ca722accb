//! Archived rooms are only read.

use parlance_core::{Action, Authority, Command, Permissions, Reason, Refusal, Role, SettingsChange};

use crate::solo::Solo;
use crate::values::{
    add, ban, command, delete, edit, react, remove, rename, reply, send, set_role, unreact, user,
};

fn change(archived: bool) -> SettingsChange {
    SettingsChange { archived: Some(archived), ..SettingsChange::default() }
}

fn archive(archived: bool) -> Action {
    Action::Update(change(archived))
}

fn invite(id: &str) -> Action {
    let lasts = std::time::Duration::from_secs(60);
    Action::Invite { users: vec![user(id)], added: Vec::new(), lasts }
}

fn with_reason(action: Action) -> Action {
    let reason = Reason::parse("because").unwrap();
    match action {
        Action::Ban { user, lasts, .. } => Action::Ban { user, lasts, reason },
        other => other,
    }
}

/// A channel in which bob has said and reacted to something, with an invitation for dan, archived.
fn archived() -> Solo {
    let mut solo = Solo::channel();
    solo.does("bob", send("hello")).unwrap();
    solo.does("bob", react(5, "👍")).unwrap();
    solo.does("ann", invite("dan")).unwrap();
    solo.does("ann", archive(true)).unwrap();
    solo
}

#[test]
fn nobody_writes_to_an_archived_room_not_even_the_app() {
    let mut solo = archived();
    let head = solo.head();
    let adds = [send("x"), reply("x", 5), edit(5, "x"), react(5, "🎉"), unreact(5, "👍"), add(&["eve"])];
    for action in adds.into_iter().chain([invite("eve"), rename("x"), archive(true)]) {
        assert_eq!(solo.does("bob", action.clone()), Err(Refusal::Archived), "{action:?}");
        assert_eq!(solo.does("ann", action.clone()), Err(Refusal::Archived), "{action:?}");
        assert_eq!(solo.app("backend", action.clone()), Err(Refusal::Archived), "{action:?}");
        assert_eq!(solo.does("eve", action), Err(Refusal::NotMember), "to strangers it is not said");
    }
    for action in [delete(5), with_reason(ban("cat"))] {
        assert_eq!(solo.does("ann", action), Err(Refusal::Archived));
    }
    assert_eq!(solo.does("eve", Action::Join), Err(Refusal::Archived));
    assert_eq!(solo.does("dan", Action::Accept), Err(Refusal::Archived));
    assert_eq!(solo.head(), head);
}

#[test]
fn who_may_not_enter_is_not_told_that_a_room_is_closed() {
    let frozen = SettingsChange { frozen: Some(true), ..SettingsChange::default() };
    for close in [archive(true), Action::Update(frozen)] {
        let mut solo = Solo::group();
        solo.does("ann", remove("bob")).unwrap();
        solo.does("ann", ban("cat")).unwrap();
        solo.does("ann", close.clone()).unwrap();
        for former in ["bob", "cat"] {
            assert_eq!(solo.does(former, Action::Join), Err(Refusal::NotJoinable), "{close:?}");
            assert_eq!(solo.does(former, Action::Accept), Err(Refusal::NotInvited), "{close:?}");
        }
        let mut solo = Solo::channel();
        solo.does("ann", remove("bob")).unwrap();
        solo.does("ann", ban("cat")).unwrap();
        solo.does("ann", close.clone()).unwrap();
        assert_eq!(solo.does("bob", Action::Join), Err(Refusal::Removed), "{close:?}");
        assert_eq!(solo.does("cat", Action::Join), Err(Refusal::Banned { until: None }), "{close:?}");
    }
}

#[test]
fn people_are_let_go_and_what_must_not_stay_is_deleted() {
    let mut solo = archived();
    solo.app("backend", delete(5)).unwrap();
    solo.does("dan", Action::Decline).unwrap();
    solo.does("ann", ban("cat")).unwrap();
    solo.does("ann", Action::Unban { user: user("cat") }).unwrap();
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("ann", remove("bob")).unwrap();
    // A deleted user is no part of it.
    let authority = Authority::Erasure { service: user("backend") };
    let erases = Command { authority, ..command("bob", "erase", None, unreact(5, "👍")) };
    solo.ask(&erases).unwrap();
    solo.does("ann", Action::Leave).unwrap();
    let mut solo = archived();
    solo.does("ann", Action::DeleteRoom).unwrap();
}

#[test]
fn rooms_are_archived_by_who_may_change_them_and_no_permission_makes_up_for_a_role() {
    let mut solo = Solo::group();
    assert_eq!(solo.does("bob", archive(true)), Err(Refusal::NeedsRole("admin")));
    let permit = |edit| {
        let permissions = Permissions { edit: Some(edit), ..Permissions::default() };
        Action::Update(SettingsChange { permissions, ..SettingsChange::default() })
    };
    solo.does("ann", permit(Role::Member)).unwrap();
    assert_eq!(solo.does("bob", archive(true)), Err(Refusal::NeedsRole("admin")));
    solo.does("ann", set_role("bob", Role::Admin)).unwrap();
    solo.does("bob", archive(true)).unwrap();
    solo.does("bob", archive(false)).unwrap();
    solo.does("ann", permit(Role::Owner)).unwrap();
    assert_eq!(solo.does("bob", archive(true)), Err(Refusal::NeedsRole("owner")));
    solo.app("backend", archive(true)).unwrap();
    assert_eq!(solo.does("bob", archive(false)), Err(Refusal::NeedsRole("owner")));
    solo.app("backend", archive(false)).unwrap();
    let mut direct = Solo::direct();
    for authority in [Authority::Member, Authority::App { moderates: true }] {
        let archives = Command { authority, ..command("ann", "archive", None, archive(true)) };
        assert_eq!(direct.ask(&archives), Err(Refusal::DirectRoom));
    }
}

#[test]
fn rooms_come_back_as_they_were() {
    let mut solo = archived();
    let freeze = SettingsChange { frozen: Some(true), ..change(false) };
    solo.does("ann", Action::Update(freeze)).unwrap();
    assert_eq!(solo.does("bob", send("x")), Err(Refusal::Frozen));
    solo.app("backend", send("x")).unwrap();
    solo.does("ann", archive(true)).unwrap();
    assert_eq!(solo.does("bob", send("x")), Err(Refusal::Archived), "both: the one that binds everyone");
    solo.does("ann", archive(false)).unwrap();
    assert_eq!(solo.does("bob", send("x")), Err(Refusal::Frozen), "still");
    // A repeat of what was carried out before is answered.
    let mut solo = Solo::group();
    let sends = command("bob", "before", Some(solo.head()), send("hello"));
    let sent = solo.ask(&sends).unwrap();
    solo.does("ann", archive(true)).unwrap();
    assert_eq!(solo.ask(&sends).unwrap().first, sent.first);
}
