//! RFC 6455 as a table: the cases of the Autobahn test suite, sections 1 to 7, 9 and 10, for a server that answers
//! frames of the contract instead of echoing. A request is padded with blanks to the length that a case wants.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say where")]

mod peer;

use self::peer::{
    BINARY, CLOSE, CONTINUATION, Cases, PING, PONG, Seen, TEXT, binary_request, close, fragments, frame,
    reply, request, whole,
};

/// The largest message, by the contract.
const MAX: usize = 128 * 1024;

const PROTOCOL_ERROR: &[Seen] = &[Seen::Closed(1002)];
const NOT_UTF8: &[Seen] = &[Seen::Closed(1007)];
const TOO_LARGE: &[Seen] = &[Seen::Closed(1009)];

#[tokio::test]
async fn section_1_lengths_of_messages() {
    let mut cases = Cases::default();
    for length in [64, 125, 126, 127, 128, 65_535, 65_536] {
        cases.add(&format!("1.1 text of {length}"), [whole(TEXT, &request("a", length))], &[reply("a")]);
        let binary = whole(BINARY, &binary_request("a", length));
        cases.add(&format!("1.2 binary of {length}"), [binary], &[reply("a")]);
    }
    let chopped = [whole(TEXT, &request("a", 65_536))];
    cases.chopped("1.1.8 text, in chops of 997", 997, chopped, &[reply("a")]);
    let chopped = [whole(BINARY, &binary_request("a", 65_536))];
    cases.chopped("1.2.8 binary, in chops of 997", 997, chopped, &[reply("a")]);
    // A message without anything is no frame of the contract, and is survived.
    cases.add("1.1.1 text of 0", [whole(TEXT, b"")], &[reply("")]);
    cases.run().await;
}

#[tokio::test]
async fn section_2_pings_and_pongs() {
    let pong = |payload: &[u8]| Seen::Pong(payload.to_vec());
    let every: Vec<u8> = (0..125).collect();
    let mut cases = Cases::default();
    cases.add("2.1 empty", [whole(PING, b"")], &[pong(b"")]);
    cases.add("2.2 text", [whole(PING, b"Hello, world!")], &[pong(b"Hello, world!")]);
    cases.add(
        "2.3 no text",
        [whole(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")],
        &[pong(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")],
    );
    cases.add("2.4 of 125", [whole(PING, &every)], &[pong(&every)]);
    cases.add("2.5 of 126", [whole(PING, &[0; 126])], PROTOCOL_ERROR);
    cases.chopped("2.6 of 125, byte by byte", 1, [whole(PING, &every)], &[pong(&every)]);
    cases.add("2.7 unasked pong", [whole(PONG, b"")], &[]);
    cases.add("2.8 unasked pong with a payload", [whole(PONG, b"unasked")], &[]);
    cases.add(
        "2.9 unasked pong and a ping",
        [whole(PONG, b"unasked"), whole(PING, b"asked")],
        &[pong(b"asked")],
    );
    let ten = || (0..10).map(|number| whole(PING, &[number]));
    let pongs: Vec<Seen> = (0..10).map(|number| pong(&[number])).collect();
    cases.add("2.10 ten", ten(), &pongs);
    cases.chopped("2.11 ten, byte by byte", 1, ten(), &pongs);
    cases.run().await;
}

#[tokio::test]
async fn sections_3_and_4_reserved_bits_and_opcodes() {
    let mut cases = Cases::default();
    let good = request("a", 0);
    for reserved in 1..8 {
        for (what, opcode) in [("text", TEXT), ("ping", PING), ("close", CLOSE)] {
            let payload: &[u8] = if opcode == TEXT { &good } else { b"" };
            let bad = frame(true, reserved, opcode, payload);
            cases.add(&format!("3.{reserved} {what}"), [bad], PROTOCOL_ERROR);
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.add(&format!("4 opcode {opcode}"), [whole(opcode, b"")], PROTOCOL_ERROR);
        cases.add(&format!("4 opcode {opcode}, payload"), [whole(opcode, b"reserved")], PROTOCOL_ERROR);
        let after = [whole(opcode, b"reserved"), whole(PING, b"")];
        cases.after(&format!("4 opcode {opcode} after a text"), after, PROTOCOL_ERROR);
    }
    // RFC 6455, 5.1: what a client sends is masked.
    let unmasked = [&[0x81, good.len() as u8], good.as_slice()].concat();
    cases.add("5.1 of the RFC: not masked", [unmasked], PROTOCOL_ERROR);
    cases.run().await;
}

#[tokio::test]
async fn section_5_fragments() {
    let good = request("a", 0);
    let (first, second) = good.split_at(20);
    let pong = |payload: &[u8]| Seen::Pong(payload.to_vec());
    let begin = || frame(false, 0, TEXT, first);
    let end = || frame(true, 0, CONTINUATION, second);
    let ping = || whole(PING, b"between");
    let both = [pong(b"between"), reply("a")];
    let mut cases = Cases::default();
    cases.add(
        "5.1 ping in two",
        [frame(false, 0, PING, b"a"), frame(true, 0, CONTINUATION, b"b")],
        PROTOCOL_ERROR,
    );
    cases.add(
        "5.2 pong in two",
        [frame(false, 0, PONG, b"a"), frame(true, 0, CONTINUATION, b"b")],
        PROTOCOL_ERROR,
    );
    cases.add("5.3 text in two", [begin(), end()], &[reply("a")]);
    cases.chopped("5.5 text in two, byte by byte", 1, [begin(), end()], &[reply("a")]);
    cases.add("5.6 ping between the two", [begin(), ping(), end()], &both);
    cases.chopped("5.8 ping between the two, byte by byte", 1, [begin(), ping(), end()], &both);
    for (name, fin) in [("5.9", true), ("5.12", false)] {
        let alone = frame(fin, 0, CONTINUATION, &good);
        cases.add(&format!("{name} continuation of nothing"), [alone.clone()], PROTOCOL_ERROR);
        let chopped = format!("{name} continuation of nothing, byte by byte");
        cases.chopped(&chopped, 1, [alone.clone()], PROTOCOL_ERROR);
    }
    let again = [frame(false, 0, CONTINUATION, b"x"), whole(TEXT, &good)];
    cases.after("5.15 continuation after the end", again, PROTOCOL_ERROR);
    let twice = [begin(), begin(), end()];
    cases.add("5.18 two that begin", twice, PROTOCOL_ERROR);
    let several = [
        begin(),
        ping(),
        frame(false, 0, CONTINUATION, &second[..5]),
        ping(),
        frame(false, 0, CONTINUATION, b""),
        frame(true, 0, CONTINUATION, &second[5..]),
    ];
    let expected = [pong(b"between"), pong(b"between"), reply("a")];
    cases.add("5.19 pings between five", several.clone(), &expected);
    cases.chopped("5.20 pings between five, byte by byte", 1, several, &expected);
    let empty = [frame(false, 0, TEXT, b""), frame(false, 0, CONTINUATION, b""), whole(CONTINUATION, &good)];
    cases.add("6.1.2 empty fragments", empty, &[reply("a")]);
    cases.run().await;
}

#[tokio::test]
async fn section_6_text_is_utf8() {
    let mut cases = Cases::default();
    for id in [
        "κόσμε",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{fdd0}",
        "\u{1fffe}",
        "𝄞🙂",
    ] {
        let text = request(id, 0);
        cases.add(&format!("6.2 {id:?}"), [whole(TEXT, &text)], &[reply(id)]);
        cases.add(&format!("6.2 {id:?} byte by fragment"), fragments(TEXT, &text, 1), &[reply(id)]);
    }
    for (what, bytes) in [
        ("continuation alone", b"\x80".as_slice()),
        ("continuations alone", b"\xbf\x80\xbf"),
        ("no continuation after two", b"\xc3 "),
        ("no continuation after three", b"\xe2\x82 "),
        ("no continuation after four", b"\xf0\x9f\x99 "),
        ("end within a character", b"\xce\xba\xe1\xbd"),
        ("overlong slash of two", b"\xc0\xaf"),
        ("overlong slash of three", b"\xe0\x80\xaf"),
        ("overlong slash of four", b"\xf0\x80\x80\xaf"),
        ("overlong zero", b"\xc0\x80"),
        ("greatest overlong of two", b"\xc1\xbf"),
        ("greatest overlong of three", b"\xe0\x9f\xbf"),
        ("greatest overlong of four", b"\xf0\x8f\xbf\xbf"),
        ("first surrogate", b"\xed\xa0\x80"),
        ("last surrogate", b"\xed\xbf\xbf"),
        ("pair of surrogates", b"\xed\xa0\x80\xed\xb0\x80"),
        ("beyond the last character", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
        ("never a byte", b"\xfe"),
        ("never a byte either", b"\xff"),
    ] {
        cases.add(&format!("6.3 {what}"), [whole(TEXT, &[b"\xce\xba", bytes].concat())], NOT_UTF8);
        let halves = [frame(false, 0, TEXT, b"\xce\xba"), frame(true, 0, CONTINUATION, bytes)];
        cases.add(&format!("6.4 {what}, in the second fragment"), halves, NOT_UTF8);
        // In binary messages bytes are bytes, here of no frame of the contract.
        cases.add(&format!("6 {what}, binary"), [whole(BINARY, &[b"\xff", bytes].concat())], &[reply("")]);
    }
    cases.run().await;
}

#[tokio::test]
async fn section_7_closing() {
    let good = || whole(TEXT, &request("a", 0));
    let mut cases = Cases::default();
    cases.after("7.1.1 after a message", [close(1000, b"")], &[Seen::Closed(1000)]);
    cases.add("7.1.2 twice", [close(1000, b""), close(1000, b"")], &[Seen::Closed(1000)]);
    cases.add("7.1.3 a ping after it", [close(1000, b""), whole(PING, b"late")], &[Seen::Closed(1000)]);
    cases.add("7.1.4 a text after it", [close(1000, b""), good()], &[Seen::Closed(1000)]);
    let unfinished = frame(false, 0, TEXT, b"{");
    cases.add("7.1.5 within a message", [unfinished, close(1000, b"")], &[Seen::Closed(1000)]);
    cases.add("7.3.1 without a code", [whole(CLOSE, b"")], &[Seen::Closed(1005)]);
    cases.add("7.3.2 half a code", [whole(CLOSE, b"\x03")], PROTOCOL_ERROR);
    cases.add("7.3.3 a code", [close(1000, b"")], &[Seen::Closed(1000)]);
    cases.add("7.3.4 a reason", [close(1000, b"Hello, world!")], &[Seen::Closed(1000)]);
    cases.add("7.3.5 the longest reason", [close(1000, &[b'*'; 123])], &[Seen::Closed(1000)]);
    cases.add("7.3.6 a longer reason", [close(1000, &[b'*'; 124])], PROTOCOL_ERROR);
    cases.add("7.5.1 a reason that is not UTF-8", [close(1000, b"\xce\xba\xed\xa0\x80")], NOT_UTF8);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.add(&format!("7.7 code {code}"), [close(code, b"")], &[Seen::Closed(code)]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999] {
        cases.add(&format!("7.9 code {code}"), [close(code, b"")], PROTOCOL_ERROR);
    }
    for code in [5000, 65_535] {
        cases.add(&format!("7.13 code {code}"), [close(code, b"")], PROTOCOL_ERROR);
    }
    cases.run().await;
}

#[tokio::test]
async fn sections_9_and_10_large_messages() {
    let mut cases = Cases::default();
    for (form, opcode) in [("text", TEXT), ("binary", BINARY)] {
        let of = |length: usize| match opcode {
            TEXT => request("a", length),
            _ => binary_request("a", length),
        };
        cases.add(&format!("9 {form}, the largest"), [whole(opcode, &of(MAX))], &[reply("a")]);
        cases.add(&format!("9 {form}, one more byte"), [whole(opcode, &of(MAX + 1))], TOO_LARGE);
        for size in [64, 256, 1_024, 4_096, 16_384, 65_536] {
            let name = format!("9 {form}, the largest in fragments of {size}");
            cases.add(&name, fragments(opcode, &of(MAX), size), &[reply("a")]);
        }
        let name = format!("9 {form}, one more byte in fragments of 4096");
        cases.add(&name, fragments(opcode, &of(MAX + 1), 4_096), TOO_LARGE);
        for chop in [64, 1_024, 2_048] {
            let name = format!("9 {form}, the largest in chops of {chop}");
            cases.chopped(&name, chop, [whole(opcode, &of(MAX))], &[reply("a")]);
        }
        let name = format!("10.1.1 {form}, in fragments of 1300");
        cases.add(&name, fragments(opcode, &of(65_536), 1_300), &[reply("a")]);
    }
    // The length alone is refused: the rest need not come.
    for length in [MAX as u64 + 1, 1 << 40, i64::MAX as u64] {
        let head = [&[0x82, 0xff], length.to_be_bytes().as_slice(), &[0; 4]].concat();
        cases.add(&format!("9 a binary frame that claims {length} bytes"), [head], TOO_LARGE);
    }
    cases.run().await;
}
