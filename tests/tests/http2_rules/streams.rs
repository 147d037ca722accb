//! RFC 9113, 5 and 6: states of streams, and the frames that belong to them.

use super::cases::{Cases, Outcome, answer, connection_error, either, stream_error, works};
use super::peer::Code;
use super::wire::{
    CONTINUATION, DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, MAX_WINDOW,
    PADDED, PRIORITY, RST_STREAM, UNKNOWN, WITH_PRIORITY, call, call_block, data, fields, frame, get,
    get_block, last_data, ping, reflection, reflection_messages, reset, settings, whole, window_update,
};

fn protocol() -> super::cases::Allowed {
    connection_error(Code::Protocol)
}

/// A header block in a HEADERS frame and CONTINUATION frames, cut at these places.
fn pieces(stream: u32, block: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut from = 0;
    for (number, to) in cuts.iter().copied().chain([block.len()]).enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let begin = if number == 0 { END_STREAM } else { 0 };
        let end = if number == cuts.len() { END_HEADERS } else { 0 };
        frames.push(frame(kind, begin | end, stream, &block[from..to]));
        from = to;
    }
    frames
}

#[tokio::test]
async fn section_5_1_states() {
    let mut cases = Cases::default();
    let message = || last_data(1, EMPTY_MESSAGE);
    cases.add("5.1 idle: HEADERS", [call(1), message()], answer(200));
    cases.add("5.1 idle: DATA", [data(1, b"x")], protocol());
    cases.add("5.1 idle: RST_STREAM", [reset(1, 8)], protocol());
    cases.add("5.1 idle: WINDOW_UPDATE", [window_update(1, 100)], protocol());
    cases.add("5.1 idle: CONTINUATION", [frame(CONTINUATION, END_HEADERS, 1, b"")], protocol());
    cases.add("5.1 idle: PRIORITY", [frame(PRIORITY, 0, 1, &[0; 5])], works());

    // A stream whose window is closed is not answered: it stays half closed.
    let half_closed = || [settings(&[(INITIAL_WINDOW_SIZE, 0)]), get(1)].concat();
    for (what, frame) in [("DATA", data(1, b"x")), ("HEADERS", get(1))] {
        let sent = [half_closed(), frame];
        cases.add(format!("5.1 half closed: {what}"), sent, stream_error(Code::StreamClosed)).but(
            Outcome::Goaway(Code::Protocol),
            "h2 ends the connection with PROTOCOL_ERROR instead of STREAM_CLOSED",
        );
    }
    let more = frame(CONTINUATION, END_HEADERS, 1, b"");
    cases.add("5.1 half closed: CONTINUATION", [half_closed(), more], protocol());
    cases.add("5.1 half closed: WINDOW_UPDATE", [half_closed(), window_update(1, 100)], answer(200));
    cases.add("5.1 half closed: PRIORITY", [half_closed(), frame(PRIORITY, 0, 1, &[0; 5])], works());
    cases.add("5.1 half closed: RST_STREAM", [half_closed(), reset(1, 8)], works());

    let closed = || [call(1), reset(1, 8)].concat();
    let gone = || either(stream_error(Code::StreamClosed), protocol());
    cases.add("5.1 closed: DATA", [closed(), data(1, b"x")], gone());
    cases.add("5.1 closed: HEADERS", [closed(), get(1)], gone());
    cases.add("5.1 closed: CONTINUATION", [closed(), frame(CONTINUATION, END_HEADERS, 1, b"")], protocol());
    cases.add("5.1 closed: WINDOW_UPDATE", [closed(), window_update(1, 100)], works());
    cases.add("5.1 closed: PRIORITY", [closed(), frame(PRIORITY, 0, 1, &[0; 5])], works());
    cases.add("5.1 closed: RST_STREAM", [closed(), reset(1, 8)], works());
    cases.add("5.1 another stream after a closed one", [closed(), get(3)], answer(200)).on(3);

    cases.add("5.1.1 an even stream", [get(2)], protocol()).on(2);
    cases
        .add("5.1.1 a lower stream", [call(5), get(3)], either(protocol(), stream_error(Code::StreamClosed)))
        .on(3);
    cases.add("5.1.1 streams left out", [get(101)], answer(200)).on(101);
    cases.add("5.1.1 the last stream", [get(MAX_WINDOW)], answer(200)).on(MAX_WINDOW);
    // Our own limit for those without a token.
    let many = (0..101).map(|number| call(1 + 2 * number));
    cases.add("5.1.2 too many streams", many, stream_error(Code::RefusedStream)).on(201);
    // And the one in the settings.
    let many = (0..257).map(|number| call(1 + 2 * number));
    let refused = either(stream_error(Code::RefusedStream), stream_error(Code::Protocol));
    cases.add("5.1.2 more streams than the settings allow", many, refused).on(513);
    cases.run().await;
}

#[tokio::test]
async fn sections_6_1_and_6_2_padding() {
    let block = get_block("/healthz");
    let all = END_HEADERS | END_STREAM;
    let padded = |length: u8, padding: &[u8]| {
        frame(HEADERS, all | PADDED, 1, &[&[length], block.as_slice(), padding].concat())
    };
    let mut cases = Cases::default();
    cases.add("6.2 padding", [padded(7, &[0; 7])], answer(200));
    cases.add("6.2 padding of nothing", [padded(0, b"")], answer(200));
    cases.add("6.2 most padding", [padded(255, &[0; 255])], answer(200));
    // A receiver may check it.
    cases.add("6.2 padding of ones", [padded(7, &[1; 7])], either(answer(200), protocol()));
    let only = |length: u8| frame(HEADERS, all | PADDED, 1, &[&[length], block.as_slice()].concat());
    let length = block.len() as u8;
    cases.add("6.2 padding beyond the frame", [only(length + 1)], protocol());
    cases.add("6.2 padding without a length", [frame(HEADERS, all | PADDED, 1, b"")], {
        either(protocol(), connection_error(Code::FrameSize))
    });
    let both = [&[3][..], &[0, 0, 0, 0, 16], &block, &[0; 3]].concat();
    cases.add(
        "6.2 padding and priority",
        [frame(HEADERS, all | PADDED | WITH_PRIORITY, 1, &both)],
        answer(200),
    );
    let priority = |stream: u32| [&stream.to_be_bytes()[..], &[16], &block].concat();
    let with_priority = |on: u32| frame(HEADERS, all | WITH_PRIORITY, 1, &priority(on));
    cases.add("6.2 priority", [with_priority(0)], answer(200));
    cases.add("6.2 priority, exclusive", [with_priority(1 << 31 | 3)], answer(200));
    cases.add("6.2 half a priority", [frame(HEADERS, all | WITH_PRIORITY, 1, &[0; 3])], {
        either(protocol(), connection_error(Code::FrameSize))
    });
    // RFC 7540, 5.3.1: an error; RFC 9113 does not look at priorities.
    cases.add("6.2 a stream that depends on itself", [with_priority(1)], {
        either(answer(200), stream_error(Code::Protocol))
    });
    let itself = frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16]);
    cases.add("6.3 a stream that depends on itself", [call(1), itself], {
        either(works(), stream_error(Code::Protocol))
    });

    let body = |payload: &[u8]| [call(1), frame(DATA, END_STREAM | PADDED, 1, payload)];
    cases.add("6.1 padding", body(&[&[4], EMPTY_MESSAGE, &[0; 4]].concat()), answer(200));
    cases.add("6.1 padding of nothing", body(&[&[0], EMPTY_MESSAGE].concat()), answer(200));
    cases.add("6.1 padding beyond the frame", body(&[&[6], EMPTY_MESSAGE].concat()), protocol());
    cases.add(
        "6.1 padding without a length",
        body(b""),
        either(protocol(), connection_error(Code::FrameSize)),
    );
    let padding_alone = frame(DATA, PADDED, 1, &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    cases.add("6.1 padding alone", [call(1), padding_alone, last_data(1, EMPTY_MESSAGE)], answer(200));
    cases.add("6.1 empty DATA", [call(1), data(1, b""), last_data(1, EMPTY_MESSAGE)], answer(200));
    cases.run().await;
}

#[tokio::test]
async fn section_6_10_header_blocks_in_pieces() {
    let block = get_block("/healthz");
    let mut cases = Cases::default();
    for cuts in [&[0][..], &[1], &[5], &[5, 5], &[5, 20, 33], &[block.len()]] {
        cases.add(format!("6.10 cut at {cuts:?}"), pieces(1, &block, cuts), answer(200));
    }
    let begun = || frame(HEADERS, END_STREAM, 1, &block[..20]);
    let end = || frame(CONTINUATION, END_HEADERS, 1, &block[20..]);
    for (what, between) in [
        ("PING", ping(b"between.")),
        ("SETTINGS", settings(&[])),
        ("DATA", data(1, b"x")),
        ("HEADERS", get(3)),
        ("HEADERS of the same stream", get(1)),
        ("RST_STREAM", reset(1, 8)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0; 5])),
        ("WINDOW_UPDATE", window_update(0, 1)),
        ("an unknown type", frame(UNKNOWN, 0, 1, b"")),
        ("CONTINUATION of another stream", frame(CONTINUATION, END_HEADERS, 3, &block[20..])),
        ("CONTINUATION of stream 0", frame(CONTINUATION, END_HEADERS, 0, &block[20..])),
    ] {
        cases.add(format!("6.10 {what} within the block"), [begun(), between, end()], protocol());
    }
    let more = || frame(CONTINUATION, END_HEADERS, 1, &fields(&[("more", "fields")]));
    cases.add("6.10 CONTINUATION after the end", [get(1), more()], protocol());
    cases.add("6.10 CONTINUATION after DATA", [call(1), data(1, b""), more()], protocol());
    cases.add("6.10 CONTINUATION of nothing", [more()], protocol());
    // More than any block needs: the attack of CVE-2024-27316.
    let endless = std::iter::once(begun()).chain((0..200).map(|_| frame(CONTINUATION, 0, 1, b"")));
    cases.add("6.10 without an end", endless, connection_error(Code::EnhanceYourCalm));
    cases.run().await;
}

#[tokio::test]
async fn sections_6_4_and_6_9_resets_and_windows_of_streams() {
    let mut cases = Cases::default();
    for code in [0, 1, 8, 11, 0x1234, u32::MAX] {
        cases.add(format!("6.4 RST_STREAM with code {code}"), [call(1), reset(1, code)], works());
    }
    cases.add("6.4 RST_STREAM twice", [call(1), reset(1, 8), reset(1, 8)], works());
    cases.add("6.4 flags of RST_STREAM", [call(1), frame(RST_STREAM, 0xff, 1, &[0; 4])], works());
    cases.add("6.9 WINDOW_UPDATE of 0", [call(1), window_update(1, 0)], stream_error(Code::Protocol));
    cases.add("6.9 WINDOW_UPDATE", [call(1), window_update(1, 1)], works());
    let most = || window_update(1, MAX_WINDOW - 65_535);
    cases.add("6.9.1 the largest window", [call(1), most()], works());
    let larger = [call(1), most(), window_update(1, 1)];
    cases.add("6.9.1 a larger window", larger, stream_error(Code::FlowControl));
    let by_settings = [call(1), most(), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])];
    cases.add("6.9.2 a larger window by SETTINGS", by_settings, connection_error(Code::FlowControl));
    // Messages that are not read, since the window of their answers is closed.
    let unread = || [settings(&[(INITIAL_WINDOW_SIZE, 0)]), reflection(1)].concat();
    let full = reflection_messages();
    let exactly = std::iter::once(unread()).chain((0..4).map(|_| data(1, &full)));
    cases.add("6.9.1 a full window", exactly, works());
    let beyond = std::iter::once(unread()).chain((0..12).map(|_| data(1, &full)));
    cases.add("6.9.1 beyond the window", beyond, stream_error(Code::FlowControl));
    cases.run().await;
}

#[tokio::test]
async fn a_refused_stream_leaves_the_others() {
    let mut cases = Cases::default();
    // Its header block is decoded all the same: what it adds to the dynamic table is used by the next.
    let block = [call_block(&[]), super::wire::added(b":path", b"/healthz")].concat();
    let wrong = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let next = whole(3, &[fields(&super::wire::PATHLESS), super::wire::indexed(62)].concat());
    cases.add("4.3 a malformed request, and the next", [wrong, next], answer(200)).on(3);
    let next = get(3);
    cases
        .add("5.4.2 a stream with an error, and the next", [call(1), window_update(1, 0), next], {
            either(answer(200), protocol())
        })
        .on(3);
    let closed = Outcome::Reset(Code::StreamClosed);
    cases
        .add("5.4.2 DATA of a closed stream", [call(1), reset(1, 8), data(1, b"x"), get(3)], {
            [answer(200), vec![closed]].concat()
        })
        .on(3);
    cases.run().await;
}
