//! Messages of an earlier system.

use parlance_core::limits::{MAX_RECENT_REQUESTS, MAX_REPEAT_SEARCH};
use parlance_core::{
    Action, Authority, Body, Command, Event, Imported, ImportedMessage, Message, Need, Outcome, Refusal,
    SettingsChange, Timestamp,
};

use crate::solo::Solo;
use crate::values::{command, delete, react, remove, request, send, text, user};

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
    solo.does("ann", delete(5)).unwrap();
    solo.does("bob", send("so")).unwrap();
    assert_eq!(solo.room.info().imported, 1);
}

/// The ids of another system are counters, perhaps, and so are those of a new phone.
#[test]
fn an_imported_message_is_no_request_of_its_sender() {
    for reload in [false, true] {
        let mut solo = Solo::group();
        import(&mut solo, 1..=3).unwrap();
        for after in [None, Some(4), Some(7)] {
            if reload {
                solo.reload();
            }
            let number = after.map_or(1, |after| if after == 4 { 2 } else { 3 });
            let sender = if number == 2 { "bob" } else { "cat" };
            let sent = solo.ask(&command(sender, &format!("old{number}"), after, send("new"))).unwrap();
            assert_eq!((sent.first, sent.is_repeat), (solo.head(), false), "{reload} {after:?}");
            let again = solo.ask(&command(sender, &format!("old{number}"), after, send("new"))).unwrap();
            assert_eq!((again.first, again.is_repeat), (sent.first, true), "{reload} {after:?}");
        }
        let thumb = solo.ask(&command("bob", "old2", Some(solo.head()), react(5, "👍")));
        assert_eq!(thumb, Err(Refusal::RequestIdReused), "by now it is");
        import(&mut solo, 4..=4).unwrap();
        let thumb = solo.ask(&command("bob", "old4", None, react(5, "👍"))).unwrap();
        assert!(!thumb.is_repeat);
    }
}

#[test]
fn an_import_crowds_out_no_requests() {
    let hello = command("ann", "hello", None, send("hello"));
    for reload in [false, true] {
        let mut solo = Solo::group();
        solo.now = 1_000;
        let first = solo.ask(&hello).unwrap();
        for part in 0..45 {
            import(&mut solo, part * 100 + 1..=part * 100 + 100).unwrap();
        }
        solo.does("bob", send("so")).unwrap();
        if reload {
            solo.reload();
        }
        let again = solo.ask(&hello).unwrap();
        assert_eq!((again.first, again.is_repeat), (first.first, true), "{reload}");
        // As many live ones do, and the imported ones among them count as nothing.
        solo.fill(MAX_RECENT_REQUESTS);
        if reload {
            solo.reload();
        }
        assert!(!solo.ask(&hello).unwrap().is_repeat, "{reload}");
    }
}

#[test]
fn the_search_among_imported_messages_is_bounded() {
    let mut solo = Solo::group();
    solo.does("ann", send("first")).unwrap();
    for part in 0..(MAX_REPEAT_SEARCH + 5_000) / 100 {
        import(&mut solo, part * 100 + 1..=part * 100 + 100).unwrap();
    }
    solo.reload();
    solo.ask(&command("ann", "new", None, send("new"))).unwrap();
    let before = solo.needs.iter().filter_map(|need| match need {
        Need::Older { before } => Some(*before),
        _ => None,
    });
    assert!(before.min().is_some_and(|before| before > 4_000), "not to the beginning");
}

#[test]
fn an_import_reads_nothing_in_the_name_of_its_senders() {
    let mut solo = Solo::group();
    let messages = vec![message(1, "bob"), message(2, "cat")];
    let authority = Authority::App { moderates: false };
    let import = Command { authority, ..command("backend", "i", None, Action::Import { messages }) };
    let live = command("ann", "live", None, send("live"));
    let (_, append) = solo.append(&[live, import]).unwrap();
    let sent: Vec<_> = append.unwrap().sent.into_iter().map(|(user, mark)| (user, mark.seq)).collect();
    assert_eq!(sent, [(user("ann"), 5)]);
}

#[test]
fn slow_mode_does_not_count_imported_messages() {
    let mut solo = Solo::group();
    solo.now = 60_000;
    let slow = SettingsChange { slow_mode: Some(30), ..Default::default() };
    solo.does("ann", Action::Update(slow)).unwrap();
    import(&mut solo, 1..=2).unwrap();
    solo.does("bob", send("at once")).unwrap();
    assert!(matches!(solo.does("bob", send("too soon")), Err(Refusal::SlowMode { .. })));
}
