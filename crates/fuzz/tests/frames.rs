//! Frames, ids and stored events from mutated bytes.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_core::{Emoji, RoomId, Text, UserId};
use parlance_fuzz::Target;
use parlance_proto::json::{self, UnknownFields};
use parlance_proto::storage::v1::ChunkRecord;
use parlance_proto::{stored, v1};
use prost::Message;

const FRAMES: [&str; 8] = [
    r#"{"requestId":"1","hello":{"deviceId":"phone","cursors":[{"roomId":"d884","seq":"4","epoch":"1"}]}}"#,
    r#"{"requestId":"1","sendMessage":{"toUser":"bob","clientMessageId":"a-1","text":"hello","data":{"a":[1,null,"x"]}}}"#,
    r#"{"listMessages":{"roomId":"r","pageSize":50,"beforeSeq":"18446744073709551615"}}"#,
    r#"{"updateRoom":{"roomId":"r","settings":{"historyVisibility":"HISTORY_VISIBILITY_ALL"}}}"#,
    r#"{"muteMember":{"roomId":"r","userId":"bob","duration":"1.571s","reason":"κόσμε"}}"#,
    r#"{"setRoomPreferences":{"roomId":"r","mutedUntil":"2026-11-22T10:23:06.123Z","pinned":true}}"#,
    r#"{"refresh":{"token":"a.b.c"},"asUser":"bob"}"#,
    r#"{"addReaction":{"roomId":"r","seq":3,"emoji":"👍","requestId":"x","afterSeq":"5"}}"#,
];

const WORDS: [&str; 24] = [
    "requestId",
    "hello",
    "sendMessage",
    "toUser",
    "roomId",
    "text",
    "data",
    "seq",
    "cursors",
    "null",
    "true",
    "1e999",
    "-0",
    "\\ud800",
    "\\u0000",
    "\"\"",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "NaN",
    "-1s",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "18446744073709551616",
    "\u{feff}",
];

fn frames() -> Vec<v1::ClientFrame> {
    FRAMES.iter().map(|frame| json::client_frame_from_json(frame.as_bytes()).unwrap()).collect()
}

fn to_json(frame: &v1::ClientFrame) -> Option<Vec<u8>> {
    json::typed_to_json("parlance.v1.ClientFrame", frame).ok()
}

#[test]
fn fuzz_json_frames() {
    let seeds = FRAMES.iter().map(|frame| frame.as_bytes().to_vec()).collect();
    let target = Target {
        name: "json-frames",
        crate_dir: env!("CARGO_MANIFEST_DIR"),
        seeds,
        dictionary: &WORDS,
        cost: 1,
    };
    target.run(|input| {
        let _ = json::request_id_of(input);
        let strict = json::read_client_frame(input, UnknownFields::Refuse);
        let lenient = json::read_client_frame(input, UnknownFields::Ignore);
        if let Ok(frame) = &strict {
            assert_eq!(lenient.as_ref().ok(), Some(frame), "fields that are known are read alike");
            let again = to_json(frame).map(|json| json::client_frame_from_json(&json));
            assert_eq!(again.and_then(Result::ok).as_ref(), Some(frame), "what was read can be written");
        }
        (
            strict.map(|frame| frame.operation.map(|operation| std::mem::discriminant(&operation))),
            lenient.is_ok(),
        )
    });
}

#[test]
fn fuzz_protobuf_frames() {
    let mut seeds: Vec<Vec<u8>> = frames().iter().map(Message::encode_to_vec).collect();
    let reply = v1::Reply { request_id: "1".to_owned(), result: None };
    let frame = v1::server_frame::Frame::Reply(reply);
    seeds.push(v1::ServerFrame { frame: Some(frame) }.encode_to_vec());
    let target = Target {
        name: "protobuf-frames",
        crate_dir: env!("CARGO_MANIFEST_DIR"),
        seeds,
        dictionary: &[],
        cost: 1,
    };
    target.run(|input| {
        let served = json::server_frame_to_json(input).is_ok();
        let frame = v1::ClientFrame::decode(input);
        if let Ok(frame) = &frame {
            let bytes = frame.encode_to_vec();
            let again = v1::ClientFrame::decode(bytes.as_slice()).unwrap();
            assert_eq!(again.encode_to_vec(), bytes);
            // Times out of range, for example, have no JSON.
            let _ = to_json(frame);
        }
        let operation =
            frame.map(|frame| frame.operation.map(|operation| std::mem::discriminant(&operation)));
        (operation.map_err(|error| error.to_string()), served)
    });
}

#[test]
fn fuzz_stored_events() {
    let seeds = golden_events();
    assert!(seeds.len() > 5, "{}", seeds.len());
    let target = Target {
        name: "stored-events",
        crate_dir: env!("CARGO_MANIFEST_DIR"),
        seeds,
        dictionary: &[],
        cost: 1,
    };
    target.run(|input| {
        let event = stored::decode_event(input);
        if let Some(event) = &event {
            // Unknown fields within a time or an id are dropped, once.
            let again = stored::decode_event(&stored::encode_event(event)).expect("it can be read again");
            let third = stored::decode_event(&stored::encode_event(&again));
            assert_eq!(third.as_ref(), Some(&again), "a stored event is stored again unchanged");
        }
        event.map(|event| std::mem::discriminant(&event.body))
    });
}

/// The events of the store's golden chunks.
fn golden_events() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../store/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let bytes = |text: String| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks_exact(2).map(byte).collect()
    };
    let chunks = files.iter().filter(|file| file.to_string_lossy().contains("chunk"));
    let chunks = chunks.map(|file| bytes(std::fs::read_to_string(file).unwrap()));
    chunks
        .filter_map(|bytes| ChunkRecord::decode(bytes.as_slice()).ok())
        .flat_map(|chunk| chunk.events.into_iter().map(Into::into))
        .collect()
}

#[test]
fn fuzz_ids_and_page_tokens() {
    let seeds = ["alice", "d884e2", "a-1_b.c", "👍", "👨‍👩‍👧", "hello", "\u{202e}", "me"];
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let words = ["\u{200d}", "\u{fe0f}", "\n", "/", "..", "%2f", "\u{0}", "🏳️", "ß", "\u{e0001}"];
    let target =
        Target { name: "ids", crate_dir: env!("CARGO_MANIFEST_DIR"), seeds, dictionary: &words, cost: 1 };
    target.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return [false; 4] };
        // A page token is the last id of the page before.
        let user = UserId::parse(text).inspect(|id| assert_eq!(id.as_str(), text));
        let room = RoomId::parse(text).inspect(|id| assert_eq!(id.as_str(), text));
        let said = Text::parse_new(text).inspect(|said| assert_eq!(said.as_str(), text));
        let emoji = Emoji::parse_new(text).inspect(|emoji| assert_eq!(emoji.as_str(), text));
        assert!(UserId::parse_new(text).is_err() || user.is_ok(), "new ids can be read back");
        [user.is_ok(), room.is_ok(), said.is_ok(), emoji.is_ok()]
    });
}
