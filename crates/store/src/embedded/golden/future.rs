//! Golden files that a later version might have written.

use super::*;

/// The bytes of a golden file that no version so far has written.
fn from_the_future(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("hex");
    let hex: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A message field, a kind of event, enum values and a field next to the body.
#[test]
fn a_chunk_of_a_later_version_is_read_and_written_unchanged() {
    let chunk = decode_chunk(&room(), 7, &from_the_future("future-chunk")).unwrap();
    let bodies: Vec<&Body> = chunk.events().iter().map(|event| &event.body).collect();
    let settings = Settings { topic: Topic::default(), ..settings() };
    let expected = [
        &Body::Message(Message::plain(text("hello"))),
        &Body::Other,
        &Body::MemberAdded { user: user("bob"), role: Role::Member, link: None },
        &Body::RoomChanged { settings },
        &Body::ReactionRemoved { target: 7, emoji: emoji() },
    ];
    assert_eq!(bodies, expected);
    assert_eq!((chunk.head().seq(), chunk.head().message_count(), chunk.head().member_count()), (11, 1, 3));
    assert!(chunk.events().iter().all(|event| !event.unknown.is_empty()));
    check_bytes("future-chunk", &encode_chunk(&chunk));
}

/// An unknown role, visibility, kind or standing grants nothing.
#[test]
fn rows_of_a_later_version_are_read() {
    let info = decode_room(&room(), &from_the_future("future-room")).unwrap();
    assert_eq!((info.kind, info.settings.visibility), (RoomKind::Group, Visibility::SinceJoined));
    assert_eq!((info.settings.title, info.created_by), (settings().title, user("alice")));
    let member = decode_member(&room(), &user("bob"), &from_the_future("future-member")).unwrap();
    assert_eq!((member.role, member.standing), (Role::Member, Standing::Removed));
    let visibility = Some(Visibility::SinceJoined);
    assert_eq!(member.intervals, [Interval { joined: 2, left: Some(9), visibility }]);
}

/// Unknown fields are kept even if this version changes the rest.
#[test]
fn rows_of_a_later_version_keep_what_is_unknown() {
    let holds_later = |bytes: &[u8]| bytes.windows(5).any(|part| part == b"later");
    let old = from_the_future("future-member");
    let mut member = decode_member(&room(), &user("bob"), &old).unwrap();
    member.intervals.push(Interval::starting_at(40));
    let new = carry_unknown::<MemberRecord>(&old, encode_member(&member));
    assert!(holds_later(&old) && holds_later(&new));
    assert_eq!(decode_member(&room(), &user("bob"), &new), Ok(member));

    let old = from_the_future("future-room");
    let mut info = decode_room(&room(), &old).unwrap();
    info.settings.title = Title::parse("Another").unwrap();
    let new = carry_unknown_of_room(&old, &info);
    assert_eq!((holds_later(&new), decode_room(&room(), &new)), (holds_later(&old), Ok(info)));
}

/// A later version may allow longer or otherwise different texts.
#[test]
fn values_beyond_the_limits_of_this_version_are_read() {
    let long = "x ".repeat(20_000);
    let reaction = v1::Reaction { emoji: long.clone(), user_ids: vec!["bob".to_owned()] };
    let overlay = OverlayRecord {
        changed_seq: 9,
        text: Some(long.clone()),
        reactions: vec![reaction],
        ..Default::default()
    };
    let read = decode_overlay(&room(), 5, &overlay.encode_to_vec()).unwrap();
    assert_eq!(read.edited.as_ref().map(|(text, _)| text.as_str()), Some(&*long));
    assert_eq!(encode_overlay(&read), overlay.encode_to_vec());

    let settings = v1::RoomSettings { title: long.clone(), topic: long.clone(), ..Default::default() };
    let record =
        RoomRecord { settings: Some(settings.clone()), created_by: "alice".to_owned(), ..Default::default() };
    let info = decode_room(&room(), &record.encode_to_vec()).unwrap();
    assert_eq!((info.settings.title.as_str(), info.settings.topic.as_str()), (&*long, &*long));
    let record = MemberRecord { left_with: Some(settings), ..Default::default() };
    let member = decode_member(&room(), &user("bob"), &record.encode_to_vec()).unwrap();
    assert_eq!(member.left_with.unwrap().topic.as_str(), long);
    let record = UserRecord { name: long.clone(), ..Default::default() };
    assert_eq!(decode_user(&user("bob"), &record.encode_to_vec()).unwrap().name.as_str(), long);
}

#[test]
fn an_overlay_of_a_later_version_is_kept_until_the_message_is_deleted() {
    let mut overlay = decode_overlay(&room(), 5, &from_the_future("future-overlay")).unwrap();
    check_bytes("future-overlay", &encode_overlay(&overlay));
    let change = |seq, body| Event {
        seq,
        at: Timestamp(1_700_000_000_789),
        actor: user("bob"),
        request: RequestId::parse("request-2").unwrap(),
        message_count: 5,
        deleted_count: 0,
        body,
        unknown: Unknown::default(),
        service: None,
    };
    overlay.apply(&change(10, Body::MessageEdited { target: 5, text: text("again"), data: None }));
    overlay.apply(&change(11, Body::ReactionAdded { target: 5, emoji: emoji() }));
    let read = decode_overlay(&room(), 5, &encode_overlay(&overlay)).unwrap();
    assert_eq!((read.changed, read.edited.as_ref().unwrap().0.as_str()), (11, "again"));
    assert_eq!((&read.unknown, read.unknown.is_empty()), (&overlay.unknown, false));
    overlay.apply(&change(12, Body::MessageDeleted { target: 5 }));
    let bytes = encode_overlay(&overlay);
    assert!(!bytes.windows(5).any(|part| part == b"later"));
}
