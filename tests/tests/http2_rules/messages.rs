//! RFC 9113, 8: requests as messages.

use super::cases::{Cases, Outcome, answer, connection_error, either, malformed, stream_error};
use super::peer::Code;
use super::wire::{
    EMPTY_MESSAGE, END_HEADERS, END_STREAM, FOUND, HEADERS, PATHLESS, call, call_block, data, field, fields,
    frame, get, get_block, get_with, last_data, whole,
};

/// A request of these fields and no others.
fn only(list: &[(&str, &str)]) -> Vec<u8> {
    whole(1, &fields(list))
}

/// A GET without one of its pseudo-headers.
fn without(name: &str) -> Vec<u8> {
    let all = [&PATHLESS[..], &[(":path", FOUND)]].concat();
    only(&all.into_iter().filter(|(found, _)| *found != name).collect::<Vec<_>>())
}

/// A GET with a field of any bytes.
fn with_raw(name: &[u8], value: &[u8]) -> Vec<u8> {
    whole(1, &[get_block(FOUND), field(name, value)].concat())
}

#[tokio::test]
async fn section_8_3_pseudo_headers() {
    let mut cases = Cases::default();
    cases.add("8.3 a request", [get(1)], answer(200));
    // In local mode, where hosts count.
    cases.add("8.3.1 without :authority", [without(":authority")], answer(403));
    cases.add(
        "8.3.1 host instead",
        [{ only(&[(":method", "GET"), (":scheme", "http"), (":path", FOUND), ("host", "127.0.0.1")]) }],
        answer(200),
    );
    cases.add("8.3.1 the same host", [get_with(1, &[("host", "127.0.0.1")])], answer(200));
    // Our own rule: 400.
    cases.add("8.3.1 another host", [get_with(1, &[("host", "elsewhere")])], malformed());
    cases.add("8.3.1 two hosts", [get_with(1, &[("host", "127.0.0.1"), ("host", "127.0.0.1")])], malformed());
    for name in [":method", ":scheme", ":path"] {
        cases.add(format!("8.3.1 without {name}"), [without(name)], malformed());
    }
    for (name, value) in
        [(":method", "GET"), (":scheme", "http"), (":path", FOUND), (":authority", "127.0.0.1")]
    {
        let twice = [&PATHLESS[..], &[(":path", FOUND), (name, value)]].concat();
        cases.add(format!("8.3 {name} twice"), [only(&twice)], malformed());
        let rest: Vec<_> = [&PATHLESS[..], &[(":path", FOUND)]].concat();
        let mut late: Vec<_> = rest.into_iter().filter(|(found, _)| *found != name).collect();
        late.extend([("accept", "*/*"), (name, value)]);
        cases.add(format!("8.3 {name} after another field"), [only(&late)], malformed());
    }
    let unknown = [&PATHLESS[..], &[(":path", FOUND), (":unknown", "x")]].concat();
    cases.add("8.3 an unknown one", [only(&unknown)], malformed());
    let of_answers = [&PATHLESS[..], &[(":path", FOUND), (":status", "200")]].concat();
    cases.add("8.3 one of answers", [only(&of_answers)], malformed());
    let with_path = |path: &str| only(&[&PATHLESS[..], &[(":path", path)]].concat());
    for path in ["", "healthz", "*", "/a b", "/a\u{7f}", "/a#fragment", "http://127.0.0.1/healthz"] {
        // Nothing is there: 404 is as good.
        cases.add(format!("8.3.1 the path {path:?}"), [with_path(path)], either(malformed(), answer(404)));
    }
    let scheme = |scheme: &str| {
        only(&[(":method", "GET"), (":scheme", scheme), (":path", FOUND), (":authority", "127.0.0.1")])
    };
    cases.add("8.3.1 the other scheme", [scheme("https")], answer(200));
    cases.add("8.3.1 a scheme with a space", [scheme("ht tp")], malformed());
    for wrong in ["", "1http"] {
        cases.add(format!("8.3.1 the scheme {wrong:?}"), [scheme(wrong)], malformed()).but(
            Outcome::Answer(200),
            "h2 looks at the characters of a scheme alone, and nothing here depends on it",
        );
    }
    let method = |method: &str| {
        only(&[(":method", method), (":scheme", "http"), (":path", FOUND), (":authority", "127.0.0.1")])
    };
    for wrong in ["", "G ET", "GET\r"] {
        cases.add(format!("8.3.1 the method {wrong:?}"), [method(wrong)], malformed());
    }
    cases.add("8.3.1 an unknown method", [method("BREW")], answer(405));
    let authority = |authority: &str| {
        only(&[(":method", "GET"), (":scheme", "http"), (":path", FOUND), (":authority", authority)])
    };
    for wrong in ["user@127.0.0.1", "127.0.0.1:port", "127.0.0.1/path", "a b", "127.0.0.1, elsewhere"] {
        cases.add(format!("8.3.1 the authority {wrong:?}"), [authority(wrong)], malformed());
    }
    cases.run().await;
}

#[tokio::test]
async fn section_8_5_connect() {
    let refused = || [answer(400), answer(404), answer(405), answer(501)].concat();
    let mut cases = Cases::default();
    cases.add("8.5 CONNECT", [only(&[(":method", "CONNECT"), (":authority", "127.0.0.1:80")])], {
        either(refused(), stream_error(Code::Protocol))
    });
    cases
        .add("8.5 without :authority", [only(&[(":method", "CONNECT")])], malformed())
        .but(Outcome::Answer(403), "h2 lets it pass; it names no host, and nothing here answers CONNECT");
    let full = [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1:80")];
    cases.add("8.5 with :scheme and :path", [only(&full)], malformed());
    // RFC 8441: the server does not offer it.
    let extended = [&full[..], &[(":protocol", "websocket")]].concat();
    cases.add("8.5 with :protocol", [only(&extended)], malformed());
    cases.run().await;
}

#[tokio::test]
async fn section_8_2_fields() {
    let mut cases = Cases::default();
    for (name, value) in [
        ("te", "trailers"),
        ("x-empty", ""),
        ("x-tab", "a\tb"),
        ("x-latin", "\u{e9}"),
        ("x-!#$%&'*+.^_`|~0", "every character of a token"),
        ("cookie", "a=1"),
    ] {
        cases.add(
            format!("8.2 {name}: {value:?}"),
            [with_raw(name.as_bytes(), value.as_bytes())],
            answer(200),
        );
    }
    let crumbs = get_with(1, &[("cookie", "a=1"), ("cookie", "b=2")]);
    cases.add("8.2.3 cookies in crumbs", [crumbs], answer(200));
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        cases.add(format!("8.2.2 {name}"), [get_with(1, &[(name, "close")])], malformed());
    }
    for value in ["gzip", "trailers, deflate", "Trailers;q=1", ""] {
        cases.add(format!("8.2.2 te: {value:?}"), [get_with(1, &[("te", value)])], malformed());
    }
    for name in
        ["X-Upper", "x-uppeR", ":", ":x", "a b", "a\tb", "a:b", "a\r", "a\n", "a\0", "a\u{7f}", "\u{e9}", ""]
    {
        cases.add(format!("8.2.1 the name {name:?}"), [with_raw(name.as_bytes(), b"x")], malformed());
    }
    for value in ["a\r", "a\n", "a\0", "a\r\nb: c"] {
        cases.add(format!("8.2.1 the value {value:?}"), [with_raw(b"x", value.as_bytes())], malformed());
    }
    for value in [" a", "a ", "\ta", "a\t"] {
        cases
            .add(format!("8.2.1 the value {value:?}"), [with_raw(b"x", value.as_bytes())], malformed())
            .but(Outcome::Answer(200), "h2 takes white space around values as part of them");
    }
    cases.run().await;
}

#[tokio::test]
async fn section_8_1_bodies_and_trailers() {
    let body = |length: &str| frame(HEADERS, END_HEADERS, 1, &call_block(&[("content-length", length)]));
    let message = || last_data(1, EMPTY_MESSAGE);
    let trailers = |flags, list: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &fields(list));
    let mut cases = Cases::default();
    cases.add("8.1.1 the right length", [body("5"), message()], answer(200));
    let halves = [body("5"), data(1, &EMPTY_MESSAGE[..2]), last_data(1, &EMPTY_MESSAGE[2..])];
    cases.add("8.1.1 the right length, in two", halves, answer(200));
    let with_trailers = [body("5"), data(1, EMPTY_MESSAGE), trailers(END_STREAM, &[("more", "fields")])];
    cases.add("8.1 trailers", with_trailers, answer(200));
    for (what, length) in [("a body too long", "4"), ("a body too short", "6"), ("no body for it", "1")] {
        // The error may come after the call was answered.
        let sent = match length {
            "1" => vec![body(length), last_data(1, b"")],
            _ => vec![body(length), data(1, b""), message()],
        };
        cases.add(format!("8.1.1 {what}"), sent, malformed());
    }
    let too_short = [body("6"), data(1, EMPTY_MESSAGE), trailers(END_STREAM, &[("more", "fields")])];
    cases.add("8.1.1 a body too short, with trailers", too_short, malformed());
    cases.add("8.1.1 a length without a body", [get_with(1, &[("content-length", "1")])], malformed());
    cases.add("8.1.1 the length 0 without a body", [get_with(1, &[("content-length", "0")])], answer(200));
    for length in ["five", "-5", "5, 5", "99999999999999999999999", ""] {
        cases.add(format!("8.1.1 the length {length:?}"), [body(length), message()], malformed());
    }
    let twice =
        frame(HEADERS, END_HEADERS, 1, &call_block(&[("content-length", "5"), ("content-length", "6")]));
    cases.add("8.1.1 two lengths", [twice, message()], malformed());

    cases.add(
        "8.1 trailers that are not the end",
        [call(1), trailers(0, &[("more", "fields")])],
        malformed(),
    );
    let with_trailer = |name| [call(1), data(1, EMPTY_MESSAGE), trailers(END_STREAM, &[(name, "GET")])];
    for name in [":status", ":unknown"] {
        cases.add(format!("8.1 {name} in trailers"), with_trailer(name), malformed());
    }
    for name in [":method", ":path"] {
        cases
            .add(format!("8.1 {name} in trailers"), with_trailer(name), malformed())
            .but(Outcome::Answer(200), "h2 drops the pseudo-headers of trailers");
    }
    let upper = [call(1), data(1, EMPTY_MESSAGE), trailers(END_STREAM, &[("Upper", "x")])];
    cases.add("8.2.1 an uppercase trailer", upper, malformed());
    let connection = [call(1), data(1, EMPTY_MESSAGE), trailers(END_STREAM, &[("connection", "close")])];
    cases.add("8.2.2 a trailer of connections", connection, malformed());

    let large = "x".repeat(4_000);
    let many: Vec<_> = (0..5).map(|_| ("x-large", large.as_str())).collect();
    let block = [get_block(FOUND), fields(&many)].concat();
    let (first, rest) = block.split_at(16_000);
    let sent = [frame(HEADERS, END_STREAM, 1, first), frame(super::wire::CONTINUATION, END_HEADERS, 1, rest)];
    cases.add("10.5.1 more headers than the settings allow", sent, {
        [answer(431), stream_error(Code::Protocol), connection_error(Code::EnhanceYourCalm)].concat()
    });
    cases.run().await;
}
