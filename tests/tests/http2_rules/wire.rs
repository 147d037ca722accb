//! Bytes of HTTP/2 (RFC 9113) and HPACK (RFC 7541), right and wrong, as a client sends them.

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// A type that nobody has defined.
pub(crate) const UNKNOWN: u8 = 0x55;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The largest window.
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What a stream is answered with if it asks for this: 200.
pub(crate) const FOUND: &str = "/healthz";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let value = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(value).collect::<Vec<_>>())
}

pub(crate) fn ping(payload: &[u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, payload)
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A string literal without Huffman coding.
pub(crate) fn text(text: &[u8]) -> Vec<u8> {
    [integer(0, 7, text.len()), text.to_vec()].concat()
}

/// An integer after the bits of `first`, of which `prefix` are its own: RFC 7541, 5.1.
pub(crate) fn integer(first: u8, prefix: u8, value: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![first | value as u8];
    }
    let mut bytes = vec![first | most as u8];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// An indexed field.
pub(crate) fn indexed(index: usize) -> Vec<u8> {
    integer(0x80, 7, index)
}

/// An update of the size of the dynamic table.
pub(crate) fn size_update(size: usize) -> Vec<u8> {
    integer(0x20, 5, size)
}

/// A field that is not added to the dynamic table.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A field that is added to the dynamic table.
pub(crate) fn added(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x40], text(name), text(value)].concat()
}

pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// The fields of a request without `:path`.
pub(crate) const PATHLESS: [(&str, &str); 3] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1")];

/// The header block of a GET.
pub(crate) fn get_block(path: &str) -> Vec<u8> {
    [fields(&PATHLESS), fields(&[(":path", path)])].concat()
}

/// A request that a header block makes, without a body.
pub(crate) fn whole(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// A GET that is answered with 200.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    whole(stream, &get_block(FOUND))
}

/// A GET with more fields.
pub(crate) fn get_with(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    whole(stream, &[get_block(FOUND), fields(more)].concat())
}

/// The content type of a call over gRPC.
pub(crate) const GRPC: &str = "application/grpc";

/// The header block of a call, which has a body of this type.
pub(crate) fn post_block(path: &str, content_type: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let call = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "127.0.0.1"),
        ("content-type", content_type),
        ("te", "trailers"),
    ];
    [fields(&call), fields(more)].concat()
}

/// The same of a user.
pub(crate) fn signed_block(path: &str, content_type: &str, token: &str) -> Vec<u8> {
    post_block(path, content_type, &[("authorization", &format!("Bearer {token}"))])
}

/// A call of a user, whose body follows.
pub(crate) fn signed_call(stream: u32, path: &str, content_type: &str, token: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &signed_block(path, content_type, token))
}

/// The header block of a call of the health service.
pub(crate) fn call_block(more: &[(&str, &str)]) -> Vec<u8> {
    post_block("/grpc.health.v1.Health/Check", GRPC, more)
}

/// A call whose body is still to come: the stream stays open.
pub(crate) fn call(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &call_block(&[]))
}

/// The body of such a call: an empty message.
pub(crate) const EMPTY_MESSAGE: &[u8] = &[0; 5];

pub(crate) fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, payload)
}

pub(crate) fn last_data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, payload)
}

/// A call of the reflection service, whose messages are read as its answers are.
pub(crate) fn reflection(stream: u32) -> Vec<u8> {
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    frame(HEADERS, END_HEADERS, stream, &post_block(path, GRPC, &[]))
}

/// Four such messages, which fill a frame: the services are to be listed, for a long reason.
pub(crate) fn reflection_messages() -> Vec<u8> {
    let message = [&[0, 0, 0, 0x0f, 0xfb, 0x3a, 0xf8, 0x1f][..], &[b'x'; 4_088]].concat();
    message.repeat(4)
}
