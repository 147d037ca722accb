//! RFC 9113, 3 and 4, and the frames that concern the whole connection: SETTINGS, PING, GOAWAY.

use parlance_tests::Server;

use super::cases::{Cases, Outcome, answer, connection_error, either, preface, stream_error, works};
use super::peer::{Code, Got, Peer};
use super::wire::{
    ACK, DATA, ENABLE_PUSH, END_HEADERS, GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, MAX_WINDOW, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, UNKNOWN, WINDOW_UPDATE, call, data, frame, get, get_block, ping,
    reset, settings, window_update,
};

/// What h2 says about the wrong length of a frame.
const LENGTHS: &str =
    "h2 reports frames of a wrong length as PROTOCOL_ERROR: the connection ends all the same";

#[tokio::test]
async fn section_3_the_preface() {
    let mut cases = Cases::default();
    cases.raw("3.4 the preface", [preface(&[])], works());
    cases.raw("3.4 a request at once", [preface(&[]), get(1)], answer(200));
    for (what, first) in
        [("PING", ping(b"too soon")), ("HEADERS", get(1)), ("unknown", frame(UNKNOWN, 0, 0, b""))]
    {
        let sent = [PREFACE.to_vec(), first];
        cases.raw(&format!("3.4 {what} before SETTINGS"), sent, connection_error(Code::Protocol)).but(
            Outcome::Works,
            "h2 does not insist that SETTINGS come first, and takes the defaults until they do",
        );
    }
    cases.run().await;
}

#[tokio::test]
async fn section_3_no_preface_at_all() {
    let server = Server::start().await;
    for sent in [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n".to_vec(),
        settings(&[]),
        frame(PING, 0, 0, b"whatever"),
    ] {
        let mut peer = Peer::silent(&server).await;
        peer.send(&sent).await;
        let rest = String::from_utf8_lossy(&peer.rest().await).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{sent:?}: {rest}");
    }
}

#[tokio::test]
async fn section_4_frames() {
    let mut cases = Cases::default();
    let unknown = |flags, stream, payload: &[u8]| frame(UNKNOWN, flags, stream, payload);
    cases.add("4.1 an unknown type", [unknown(0, 0, b"")], works());
    cases.add("4.1 an unknown type with all flags", [unknown(0xff, 0, b"payload")], works());
    cases.add("4.1 an unknown type on an idle stream", [unknown(0, 9, b"payload")], works());
    cases.add("4.1 an unknown type on an open stream", [call(1), unknown(0, 1, b"payload")], works());
    cases.add("4.1 undefined flags", [frame(PING, 0xfe, 0, b"12345678")], works());
    cases.add("4.1 the reserved bit", [frame(PING, 0, 1 << 31, b"12345678")], works());
    cases.add(
        "4.1 the reserved bit of a stream",
        [frame(HEADERS, 5, 1 | 1 << 31, &get_block("/healthz"))],
        answer(200),
    );
    let large = |kind, stream, length| frame(kind, 0, stream, &vec![0; length]);
    // The answer is one of gRPC: the message is too large.
    cases.add("4.2 DATA of the largest size", [call(1), data(1, &too_much(16_384))], answer(200));
    cases.add("4.2 DATA of one more", [call(1), data(1, &[0; 16_385])], stream_error(Code::FrameSize));
    for (what, kind, stream, length) in [
        ("HEADERS", HEADERS, 1, 16_385),
        ("SETTINGS", SETTINGS, 0, 16_386),
        ("an unknown type", UNKNOWN, 0, 16_385),
        ("the largest possible", UNKNOWN, 0, (1 << 24) - 1),
    ] {
        let name = format!("4.2 {what}, too large");
        cases.add(name, [large(kind, stream, length)], connection_error(Code::FrameSize));
    }
    cases.run().await;
}

/// A body that begins a message of `length` bytes without its prefix.
fn too_much(length: usize) -> Vec<u8> {
    let mut body = vec![0; length];
    body[1..5].copy_from_slice(&(length as u32 - 5).to_be_bytes());
    body
}

#[tokio::test]
async fn section_6_5_settings() {
    let protocol = || connection_error(Code::Protocol);
    let mut cases = Cases::default();
    cases.add("6.5 empty", [settings(&[])], works());
    for (id, value) in [
        (HEADER_TABLE_SIZE, 0),
        (HEADER_TABLE_SIZE, u32::MAX),
        (ENABLE_PUSH, 0),
        (ENABLE_PUSH, 1),
        (MAX_CONCURRENT_STREAMS, 0),
        (MAX_CONCURRENT_STREAMS, u32::MAX),
        (INITIAL_WINDOW_SIZE, 0),
        (INITIAL_WINDOW_SIZE, MAX_WINDOW),
        (MAX_FRAME_SIZE, 16_384),
        (MAX_FRAME_SIZE, (1 << 24) - 1),
        (MAX_HEADER_LIST_SIZE, 0),
        (MAX_HEADER_LIST_SIZE, u32::MAX),
        (0x0, 1),
        (0xabcd, u32::MAX),
    ] {
        cases.add(format!("6.5.2 setting {id:#x} of {value}"), [settings(&[(id, value)])], works());
    }
    for (id, value) in
        [(ENABLE_PUSH, 2), (MAX_FRAME_SIZE, 16_383), (MAX_FRAME_SIZE, 0), (MAX_FRAME_SIZE, 1 << 24)]
    {
        cases.add(format!("6.5.2 setting {id:#x} of {value}"), [settings(&[(id, value)])], protocol());
    }
    for value in [MAX_WINDOW + 1, u32::MAX] {
        let sent = [settings(&[(INITIAL_WINDOW_SIZE, value)])];
        cases
            .add(format!("6.5.2 a window of {value}"), sent, connection_error(Code::FlowControl))
            .but(Outcome::Goaway(Code::Protocol), "h2 reports every wrong setting as PROTOCOL_ERROR");
    }
    cases.add("6.5 on a stream", [frame(SETTINGS, 0, 1, b"")], protocol());
    for (what, flags, length) in
        [("of 3 bytes", 0, 3), ("of 7 bytes", 0, 7), ("with ACK and a value", ACK, 6)]
    {
        let sent = [frame(SETTINGS, flags, 0, &vec![0; length])];
        cases
            .add(format!("6.5 {what}"), sent, connection_error(Code::FrameSize))
            .but(Outcome::Goaway(Code::Protocol), LENGTHS);
    }
    // The RFC does not say what a surplus one is.
    let surplus = [frame(SETTINGS, ACK, 0, b"")];
    cases.add("6.5.3 an acknowledgement of nothing", surplus, either(works(), protocol()));
    cases.run().await;
}

#[tokio::test]
async fn section_6_5_3_settings_are_acknowledged() {
    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[]).await;
    let twice = [settings(&[(MAX_FRAME_SIZE, 20_000), (MAX_FRAME_SIZE, 16_384)]), settings(&[])].concat();
    peer.send(&twice).await;
    let mut all = peer.until_pong(b"settings").await;
    all.extend(peer.until_pong(b"and more").await);
    assert_eq!(all.iter().filter(|got| **got == Got::SettingsAck).count(), 2, "{all:?}");
}

#[tokio::test]
async fn section_6_5_the_servers_settings() {
    let server = Server::start().await;
    let mut peer = Peer::silent(&server).await;
    peer.send(&preface(&[])).await;
    let Some(Got::Settings(values)) = peer.got().await else { panic!("the preface of a server") };
    let value = |id| values.iter().find(|(found, _)| *found == id).map(|(_, value)| *value);
    assert_eq!(value(MAX_CONCURRENT_STREAMS), Some(256), "{values:?}");
    assert_eq!(value(INITIAL_WINDOW_SIZE), Some(64 * 1024), "{values:?}");
    assert_eq!(value(MAX_HEADER_LIST_SIZE), Some(16 * 1024), "{values:?}");
    assert!(value(ENABLE_PUSH).is_none_or(|push| push == 0), "6.5.2: a server: {values:?}");
}

#[tokio::test]
async fn section_6_7_ping() {
    let mut cases = Cases::default();
    cases.add("6.7 on a stream", [frame(PING, 0, 1, b"12345678")], connection_error(Code::Protocol));
    for length in [0, 7, 9] {
        let sent = [frame(PING, 0, 0, &vec![0; length])];
        cases
            .add(format!("6.7 of {length} bytes"), sent, connection_error(Code::FrameSize))
            .but(Outcome::Goaway(Code::Protocol), LENGTHS);
    }
    cases.add("6.7 an answer to nothing", [frame(PING, ACK, 0, b"12345678")], works());
    cases.run().await;

    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[]).await;
    peer.send(&[ping(b"\0\x01\x02\x03\xfc\xfd\xfe\xff"), ping(b"second..")].concat()).await;
    let mut all = peer.until_pong(b"third...").await;
    all.retain(|got| matches!(got, Got::PingAck(_)));
    let expected =
        [b"\0\x01\x02\x03\xfc\xfd\xfe\xff", b"second.."].map(|payload| Got::PingAck(payload.to_vec()));
    assert_eq!(all, expected);
}

#[tokio::test]
async fn section_6_8_goaway() {
    let no_error = [0; 8];
    let mut cases = Cases::default();
    cases.add("6.8 on a stream", [frame(GOAWAY, 0, 1, &no_error)], connection_error(Code::Protocol));
    for length in [0, 7] {
        let sent = [frame(GOAWAY, 0, 0, &vec![0; length])];
        cases
            .add(format!("6.8 of {length} bytes"), sent, connection_error(Code::FrameSize))
            .but(Outcome::Goaway(Code::Protocol), LENGTHS);
    }
    // Nothing is under way: the server may hang up.
    let ends = || [works(), connection_error(Code::NoError), vec![Outcome::Closed]].concat();
    cases.add("6.8 of an idle client", [frame(GOAWAY, 0, 0, &no_error)], ends());
    cases.add("6.8 with debug data", [frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0farewell")], ends());
    cases.run().await;

    // What is under way is answered.
    let server = Server::start().await;
    let mut peer = Peer::connect(&server, &[]).await;
    peer.send(&[call(1), frame(GOAWAY, 0, 0, &no_error), super::wire::last_data(1, &[0; 5])].concat()).await;
    let mut status = None;
    while let Some(got) = peer.got().await {
        if let Got::Headers { stream: 1, status: Some(found), .. } = got {
            status = Some(found);
        }
    }
    assert_eq!(status, Some(200), "and then the connection ends");
}

#[tokio::test]
async fn frames_of_streams_on_the_connection_itself() {
    let mut cases = Cases::default();
    for (what, kind, payload) in [
        ("6.1 DATA", DATA, b"".to_vec()),
        ("6.2 HEADERS", HEADERS, get_block("/healthz")),
        ("6.3 PRIORITY", PRIORITY, vec![0; 5]),
        ("6.4 RST_STREAM", RST_STREAM, vec![0; 4]),
        ("6.6 PUSH_PROMISE", PUSH_PROMISE, [vec![0, 0, 0, 2], get_block("/healthz")].concat()),
    ] {
        let sent = [frame(kind, END_HEADERS, 0, &payload)];
        cases.add(format!("{what} on stream 0"), sent, connection_error(Code::Protocol));
    }
    let promise = frame(PUSH_PROMISE, END_HEADERS, 1, &[vec![0, 0, 0, 2], get_block("/healthz")].concat());
    cases.add("8.4 PUSH_PROMISE of a client", [call(1), promise], connection_error(Code::Protocol));
    for (what, kind, stream, length, allowed) in [
        ("6.3 PRIORITY of 4 bytes", PRIORITY, 1, 4, stream_error(Code::FrameSize)),
        ("6.3 PRIORITY of 6 bytes", PRIORITY, 1, 6, stream_error(Code::FrameSize)),
        ("6.4 RST_STREAM of 3 bytes", RST_STREAM, 1, 3, connection_error(Code::FrameSize)),
        ("6.4 RST_STREAM of 5 bytes", RST_STREAM, 1, 5, connection_error(Code::FrameSize)),
        ("6.9 WINDOW_UPDATE of 3 bytes", WINDOW_UPDATE, 0, 3, connection_error(Code::FrameSize)),
        ("6.9 WINDOW_UPDATE of 5 bytes", WINDOW_UPDATE, 1, 5, connection_error(Code::FrameSize)),
    ] {
        cases
            .add(what, [call(1), frame(kind, 0, stream, &vec![1; length])], allowed)
            .but(Outcome::Goaway(Code::Protocol), LENGTHS);
    }
    cases.add("6.9 WINDOW_UPDATE of 0", [window_update(0, 0)], connection_error(Code::Protocol));
    cases.add("6.9 WINDOW_UPDATE", [window_update(0, 1)], works());
    cases.add("6.9 WINDOW_UPDATE with the reserved bit", [window_update(0, 1 << 31 | 1)], works());
    let most = window_update(0, MAX_WINDOW - 65_535);
    cases.add("6.9.1 the largest window", [most.clone()], works());
    let more = [most, window_update(0, 1)];
    cases.add("6.9.1 a larger window", more, connection_error(Code::FlowControl));
    cases.add("6.4 RST_STREAM of an idle stream", [reset(1, 8)], connection_error(Code::Protocol));
    cases.run().await;
}
