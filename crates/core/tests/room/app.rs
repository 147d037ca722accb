//! What the app's own backend may do, for itself and for its users.

use parlance_core::{
    Action, Authority, Body, Command, Event, Message, MessageKind, Outcome, Refusal, Role, Standing,
};

use crate::solo::Solo;
use crate::values::{
    add, ban, command, delete, edit, mention_all, react, remove, rename, reply, send, set_role, text, user,
};

const SERVICE: Authority = Authority::App { moderates: false };
const ADMIN: Authority = Authority::App { moderates: true };

/// A command that `backend`, who is not a member, submits in its own right.
fn by(authority: Authority, id: &str, action: Action) -> Command {
    Command { authority, ..command("backend", id, None, action) }
}

fn on_behalf(of: &str, id: &str, action: Action) -> Command {
    Command { authority: Authority::OnBehalf { service: user("backend") }, ..command(of, id, None, action) }
}

fn ask(solo: &mut Solo, action: Action) -> Result<Outcome, Refusal> {
    let id = format!("app{}", solo.head());
    solo.ask(&by(SERVICE, &id, action))
}

fn last(solo: &Solo) -> Event {
    solo.store.event(solo.head()).unwrap().clone()
}

fn row(solo: &Solo, id: &str) -> parlance_core::Member {
    solo.store.members[&user(id)].clone()
}

fn system(words: &str) -> Action {
    Action::Send(Message { kind: MessageKind::System, ..Message::plain(text(words)) })
}

#[test]
fn the_app_acts_in_a_room_without_being_a_member() {
    let mut solo = Solo::group();
    solo.does("bob", send("hello")).unwrap();
    for action in [
        system("order paid"),
        mention_all("closed tomorrow"),
        reply("to bob", 5),
        react(5, "👍"),
        add(&["dan"]),
        set_role("dan", Role::Admin),
        set_role("cat", Role::Owner),
        rename("Orders"),
        remove("dan"),
        delete(5),
    ] {
        let before = solo.head();
        ask(&mut solo, action.clone()).unwrap();
        assert!(solo.head() > before, "{action:?}");
        assert_eq!((last(&solo).actor, last(&solo).service), (user("backend"), None), "{action:?}");
    }
    assert!(!solo.store.members.contains_key(&user("backend")), "it has become no member");
    assert_eq!((row(&solo, "cat").role, row(&solo, "ann").role), (Role::Owner, Role::Admin));
    assert_eq!(row(&solo, "dan").standing, Standing::Removed);
    assert_eq!(ask(&mut solo, edit(5, "not mine")), Err(Refusal::NotSender));
    assert_eq!(ask(&mut solo, Action::Join), Err(Refusal::NotMember), "it joins as anyone does");
}

#[test]
fn messages_sent_as_a_user_by_the_app_cannot_be_edited_by_that_user() {
    let mut solo = Solo::group();
    let said = solo.ask(&on_behalf("bob", "1", system("Payment of 10 EUR received"))).unwrap().last;
    let theirs = command("bob", "2", None, edit(said, "Payment of 1000 EUR received"));
    assert_eq!(solo.ask(&theirs), Err(Refusal::NeedsScope("service")));
    solo.ask(&on_behalf("bob", "3", edit(said, "Payment of 10 EUR received, thank you"))).unwrap();
}

#[test]
fn messages_of_the_app_move_no_mark_of_its_own() {
    let mut solo = Solo::group();
    let (_, append) =
        solo.append(&[by(SERVICE, "1", system("hello")), command("ann", "2", None, send("hi"))]).unwrap();
    let sent: Vec<_> = append.unwrap().sent.into_iter().map(|(user, _)| user).collect();
    assert_eq!(sent, [user("ann")]);
}

#[test]
fn repeats_of_the_app_are_recognised() {
    let mut solo = Solo::group();
    let first = solo.ask(&by(SERVICE, "1", system("once"))).unwrap();
    solo.reload();
    let again = solo.ask(&by(SERVICE, "1", system("once"))).unwrap();
    assert_eq!(again, Outcome { is_repeat: true, ..first });
    // The owner hands over first, in the same request.
    let removed = solo.ask(&by(SERVICE, "2", remove("ann"))).unwrap();
    assert_eq!(removed.last, removed.first + 1);
    assert_eq!(row(&solo, "bob").role, Role::Owner);
    solo.reload();
    assert_eq!(solo.ask(&by(SERVICE, "2", remove("ann"))), Ok(Outcome { is_repeat: true, ..removed }));
    assert_eq!(solo.ask(&by(SERVICE, "2", remove("cat"))), Err(Refusal::RequestIdReused));
}

#[test]
fn bans_take_the_admin_scope() {
    let mut solo = Solo::group();
    let ban = ban("ann");
    assert_eq!(ask(&mut solo, ban.clone()), Err(Refusal::NeedsScope("admin")));
    solo.ask(&by(ADMIN, "ban", ban)).unwrap();
    assert_eq!(row(&solo, "ann").standing, Standing::Banned);
    assert_eq!(row(&solo, "bob").role, Role::Owner, "an owner who is banned hands over, too");
    let unban = Action::Unban { user: user("ann") };
    assert_eq!(ask(&mut solo, unban.clone()), Err(Refusal::NeedsScope("admin")));
    solo.ask(&by(ADMIN, "unban", unban)).unwrap();
}

#[test]
fn an_owner_is_demoted_by_making_another_one() {
    let mut solo = Solo::group();
    assert_eq!(ask(&mut solo, set_role("ann", Role::Member)), Err(Refusal::OwnerLeaves));
}

#[test]
fn member_added_by_the_app_to_an_empty_room_owns_it() {
    let mut solo = Solo::group();
    for id in ["cat", "bob", "ann"] {
        ask(&mut solo, remove(id)).unwrap();
    }
    ask(&mut solo, add(&["eve", "dan"])).unwrap();
    assert_eq!((row(&solo, "dan").role, row(&solo, "eve").role), (Role::Owner, Role::Member));
}

#[test]
fn on_behalf_of_a_user_it_has_the_rights_of_that_user() {
    let mut solo = Solo::group();
    solo.ask(&on_behalf("bob", "1", send("for bob"))).unwrap();
    let event = last(&solo);
    assert_eq!((event.actor, event.service), (user("bob"), Some(user("backend"))));
    assert_eq!(solo.ask(&on_behalf("bob", "2", rename("x"))), Err(Refusal::NeedsRole("admin")));
    assert_eq!(solo.ask(&on_behalf("eve", "3", send("x"))), Err(Refusal::NotMember));
    // Members cannot speak for the app; the app can, as a member.
    assert_eq!(solo.does("bob", system("x")), Err(Refusal::NeedsScope("service")));
    solo.ask(&on_behalf("bob", "4", system("bob has paid"))).unwrap();
    // Leaving on behalf of a user is still leaving: bob may be added and join
    // again.
    solo.ask(&on_behalf("bob", "5", Action::Leave)).unwrap();
    assert_eq!(row(&solo, "bob").standing, Standing::Free);
}

#[test]
fn the_app_deletes_any_room_and_people_their_own() {
    assert_eq!(Solo::group().does("bob", Action::DeleteRoom), Err(Refusal::NeedsRole("owner")));
    assert_eq!(Solo::direct().does("ann", Action::DeleteRoom), Err(Refusal::NeedsScope("service")));
    ask(&mut Solo::direct(), Action::DeleteRoom).unwrap();
    let mut solo = Solo::group();
    solo.does("ann", send("hello")).unwrap();
    let deleted = solo.ask(&command("ann", "delete", None, Action::DeleteRoom)).unwrap();
    assert_eq!(last(&solo).body, Body::RoomDeleted);
    let info = &solo.store.info;
    assert!(info.deleted && info.floor == deleted.first, "what was before it is gone");
    assert_eq!(solo.does("bob", send("still there?")), Err(Refusal::RoomDeleted));
    assert_eq!(ask(&mut solo, send("still there?")), Err(Refusal::RoomDeleted));
    assert_eq!(solo.does("eve", send("and I?")), Err(Refusal::NotMember), "no stranger learns of it");
    solo.reload();
    let again = solo.ask(&command("ann", "delete", None, Action::DeleteRoom)).unwrap();
    assert_eq!(again, Outcome { is_repeat: true, ..deleted });
    assert_eq!(ask(&mut solo, Action::DeleteRoom).unwrap().first, 0, "nothing left to do");
    assert_eq!(solo.does("ann", Action::DeleteRoom).unwrap().first, 0);
    assert_eq!(solo.does("bob", Action::DeleteRoom), Err(Refusal::NeedsRole("owner")));
}

#[test]
fn removed_member_does_not_learn_of_the_deletion() {
    let mut solo = Solo::group();
    solo.does("ann", remove("bob")).unwrap();
    solo.does("ann", Action::DeleteRoom).unwrap();
    assert_eq!(solo.does("bob", Action::DeleteRoom), Err(Refusal::NotMember));
}
