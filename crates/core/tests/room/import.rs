//! Messages of an earlier system.

use parlance_core::{
    Action, Authority, Body, Command, Event, Imported, ImportedMessage, Message, Outcome, Refusal, Timestamp,
};

use crate::solo::Solo;
use crate::values::{command, remove, request, send, text, user};

fn message(number: u64, sender: &str) -> ImportedMessage {
    ImportedMessage {
        sender: user(sender),
        request: request(&format!("old{number}")),
        imported: Imported { number, sent_at: Timestamp(number * 10) },
        message: Message::plain(text(&format!("message {number}"))),
    }
}

/// The app imports messages with these numbers, of bob and cat by turns.
fn import(solo: &mut Solo, numbers: std::ops::RangeInclusive<u64>) -> Result<Outcome, Refusal> {
    let sender = |number: u64| if number.is_multiple_of(2) { "bob" } else { "cat" };
    let messages = numbers.map(|number| message(number, sender(number))).collect();
    solo.app("backend", Action::Import { messages })
}

fn texts(solo: &Solo) -> Vec<String> {
    let events = (1..=solo.head()).filter_map(|seq| solo.store.event(seq));
    let texts = events.filter_map(|event: &Event| match &event.body {
        Body::Message(message) => Some(format!("{}: {}", event.actor, message.text.as_str())),
        _ => None,
    });
    texts.collect()
}

#[test]
fn messages_keep_their_senders_and_dates() {
    let mut solo = Solo::group();
    solo.now = 5_000;
    let outcome = import(&mut solo, 1..=2).unwrap();
    assert_eq!((outcome.first, outcome.last, outcome.is_repeat), (5, 6, false));
    let event = solo.store.event(5).unwrap();
    let Body::Message(message) = &event.body else { panic!("a message") };
    assert_eq!(message.imported, Some(Imported { number: 1, sent_at: Timestamp(10) }));
    assert_eq!((&event.actor, &event.service), (&user("cat"), &Some(user("backend"))));
    // The time of the log is when it was decided, and never goes back.
    assert_eq!((event.at, event.request.as_str()), (Timestamp(5_000), "old1"));
    assert_eq!(texts(&solo), ["cat: message 1", "bob: message 2"]);
}

#[test]
fn a_message_is_imported_once_whatever_is_repeated() {
    let mut solo = Solo::group();
    import(&mut solo, 1..=3).unwrap();
    let again = import(&mut solo, 1..=3).unwrap();
    assert_eq!((again.first, again.last, again.is_repeat), (0, 0, true));
    // More than the requests that a room remembers, and on a node that knows only the end of the log.
    solo.fill(6_000);
    solo.reload();
    let more = import(&mut solo, 2..=5).unwrap();
    assert_eq!(more.last - more.first, 1, "4 and 5 are new");
    let gap = import(&mut solo, 7..=7);
    assert_eq!(gap, Err(Refusal::ImportGap { imported: 5, first: 7 }));
    let imported = texts(&solo).into_iter().filter(|text| text.contains("message")).collect::<Vec<_>>();
    assert_eq!(imported.len(), 5, "{imported:?}");
}

#[test]
fn senders_are_members_now_or_were() {
    let mut solo = Solo::group();
    solo.does("ann", remove("cat")).unwrap();
    import(&mut solo, 1..=2).unwrap();
    let stranger = solo.app("backend", Action::Import { messages: vec![message(3, "eve")] });
    assert_eq!(stranger, Err(Refusal::TargetNotMember(user("eve"))));
    solo.app("backend", Action::Import { messages: vec![message(3, "backend")] }).unwrap();
    let reply = Message { reply_to: Some(1), ..Message::plain(text("to no message")) };
    let reply = ImportedMessage { message: reply, ..message(4, "bob") };
    let refused = solo.app("backend", Action::Import { messages: vec![reply] });
    assert_eq!(refused, Err(Refusal::MessageNotFound(1)));
}

#[test]
fn only_the_app_imports() {
    let mut solo = Solo::group();
    let messages = || Action::Import { messages: vec![message(1, "ann")] };
    assert_eq!(solo.does("ann", messages()), Err(Refusal::NeedsScope("service")));
    let authority = Authority::OnBehalf { service: user("backend") };
    let as_user = Command { authority, ..command("ann", "1", None, messages()) };
    assert_eq!(solo.ask(&as_user), Err(Refusal::NeedsScope("service")));
    assert_eq!(solo.does("eve", messages()), Err(Refusal::NotMember));
}

#[test]
fn an_imported_message_is_a_message_like_others() {
    let mut solo = Solo::group();
    import(&mut solo, 1..=1).unwrap();
    // Its sender sends a message with the same id: it was sent.
    let again = solo.ask(&command("cat", "old1", None, send("message 1"))).unwrap();
    assert_eq!((again.first, again.is_repeat), (5, true));
    solo.does("ann", crate::values::delete(5)).unwrap();
    solo.does("bob", send("so")).unwrap();
    assert_eq!(solo.room.info().imported, 1);
}
