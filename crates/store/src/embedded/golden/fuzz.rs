//! Stored records from mutated bytes: what is damaged is reported, and what can be read can be written and read again.

use std::fmt::Debug;
use std::path::Path;

use parlance_core::{ReportId, RoomId, UserId};
use parlance_fuzz::Target;

use crate::consumers::ConsumerName;
use crate::feed::Position;
use crate::{feed_record, record, report_record, revocations};

/// The golden files whose name contains `name`.
fn golden(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.retain(|file| file.file_name().is_some_and(|file| file.to_string_lossy().contains(name)));
    let bytes = |text: String| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks_exact(2).map(byte).collect()
    };
    let seeds: Vec<_> = files.iter().map(|file| bytes(std::fs::read_to_string(file).unwrap())).collect();
    assert!(!seeds.is_empty(), "{name}");
    seeds
}

fn target<'t>(name: &'t str, seeds: Vec<Vec<u8>>) -> Target<'t> {
    Target { name, crate_dir: env!("CARGO_MANIFEST_DIR"), seeds, dictionary: &["alice", "room"], cost: 1 }
}

/// Checks that what was read is the same after it was written. Returns what distinguishes it.
fn stable<T: PartialEq + Debug>(read: Option<T>, again: impl Fn(&T) -> Option<T>) -> Option<String> {
    let read = read?;
    // Unknown fields within fields are dropped, once.
    let second = again(&read).expect("what was written can be read");
    assert_eq!(again(&second).as_ref(), Some(&second));
    // Without its numbers and texts, of which there is no end.
    Some(format!("{read:?}").chars().filter(|c| c.is_ascii_uppercase() || "{}[]".contains(*c)).collect())
}

#[test]
fn fuzz_chunks() {
    let room = RoomId::parse("room").unwrap();
    target("chunks", golden("chunk")).run(|input| {
        let read = |bytes: &[u8], first| record::decode_chunk(&room, first, bytes).ok();
        let found = (1..40).find_map(|first| read(input, first));
        stable(found, |chunk| read(&record::encode_chunk(chunk), chunk.first_seq()))
    });
}

#[test]
fn fuzz_rooms_and_members() {
    let (room, user) = (RoomId::parse("room").unwrap(), UserId::parse("alice").unwrap());
    let seeds = [golden("room"), golden("member"), golden("user"), golden("blocks")].concat();
    target("rows", seeds).run(|input| {
        let rooms = |bytes: &[u8]| record::decode_room(&room, bytes).ok();
        let members = |bytes: &[u8]| record::decode_member(&room, &user, bytes).ok();
        let blocks = |bytes: &[u8]| record::decode_blocks(&user, bytes).ok();
        let users = |bytes: &[u8]| record::decode_user(&user, bytes).ok();
        (
            stable(rooms(input), |read| rooms(&record::encode_room(read))),
            stable(members(input), |read| members(&record::encode_member(read))),
            stable(blocks(input), |read| blocks(&record::encode_blocks(read))),
            stable(users(input), |read| users(&record::encode_user(read))),
            record::decode_overlay(&room, 3, input).is_ok(),
            record::decode_place(&room, &user, input).is_ok(),
        )
    });
}

#[test]
fn fuzz_reports() {
    let id = ReportId::parse("p1").unwrap();
    target("reports", golden("report")).run(|input| {
        let reports = |bytes: &[u8]| report_record::decode_report(&id, bytes).ok();
        stable(reports(input), |read| reports(&report_record::encode_report(read)))
    });
}

#[test]
fn fuzz_feed_and_cursors() {
    let (name, room) = (ConsumerName::parse("mail").unwrap(), RoomId::parse("room").unwrap());
    let mut seeds = [golden("feed"), golden("consumer")].concat();
    seeds
        .extend(["0-12", r#"{"token":"t"}"#, r#"{"user":"alice","issued_until":5}"#].map(|text| text.into()));
    target("feed", seeds).run(|input| {
        let changes = |bytes: &[u8]| feed_record::decode_changes(bytes);
        let text = std::str::from_utf8(input).unwrap_or_default();
        // The cursor of a reader of events.
        let position = Position::parse(text).inspect(|position| assert_eq!(position.as_str(), text));
        (
            stable(changes(input), |(at, read)| changes(&feed_record::encode_changes(*at, read))),
            feed_record::decode_consumer(&name, input).is_ok(),
            feed_record::decode_progress(&name, &room, input).pending,
            position.is_some(),
            stable(revocations::decode(text).ok(), |read| {
                revocations::decode(&revocations::encode(read)).ok()
            }),
        )
    });
}
