//! RFC 7541: header compression. Whatever cannot be decoded ends the connection: the tables of both sides differ.

use super::cases::{Cases, Outcome, answer, connection_error, either, stream_error};
use super::peer::Code;
use super::wire::{
    FOUND, PATHLESS, added, field, fields, get, get_block, indexed, integer, size_update, text, whole,
};

/// How the library reports what cannot be decoded.
const AS_PROTOCOL_ERROR: (Outcome, &str) = (
    Outcome::Goaway(Code::Protocol),
    "h2 reports what cannot be decoded as PROTOCOL_ERROR instead of COMPRESSION_ERROR: the connection ends all the \
     same",
);

/// A request without a path, which ends with `rest`.
fn ending(stream: u32, rest: &[u8]) -> Vec<u8> {
    whole(stream, &[fields(&PATHLESS), rest.to_vec()].concat())
}

#[tokio::test]
async fn fields_in_every_form() {
    let path = |first: Vec<u8>| ending(1, &[first, text(FOUND.as_bytes())].concat());
    let mut cases = Cases::default();
    // GET, and http.
    let rest = fields(&[(":authority", "127.0.0.1"), (":path", FOUND)]);
    let all_indexed = whole(1, &[indexed(2), indexed(6), rest].concat());
    cases.add("6.1 indexed", [all_indexed], answer(200));
    cases.add("6.2.1 literal, added, name in the table", [path(integer(0x40, 6, 4))], answer(200));
    cases.add("6.2.1 literal, added", [ending(1, &added(b":path", FOUND.as_bytes()))], answer(200));
    cases.add("6.2.2 literal, not added, name in the table", [path(integer(0, 4, 4))], answer(200));
    cases.add("6.2.2 literal, not added", [get(1)], answer(200));
    cases.add("6.2.3 literal, never added, name in the table", [path(integer(0x10, 4, 4))], answer(200));
    let never = [vec![0x10], text(b":path"), text(FOUND.as_bytes())].concat();
    cases.add("6.2.3 literal, never added", [ending(1, &never)], answer(200));
    let known = added(b":path", FOUND.as_bytes());
    let again = ending(3, &indexed(62));
    cases.add("2.3.2 a field of the dynamic table", [ending(1, &known), again.clone()], answer(200)).on(3);
    let name = ending(3, &[integer(0, 4, 62), text(FOUND.as_bytes())].concat());
    cases.add("2.3.2 a name of the dynamic table", [ending(1, &known), name], answer(200)).on(3);
    // The newest has the lowest index.
    let two = ending(1, &[known.clone(), added(b"x", b"y")].concat());
    cases.add("2.3.2 the second of the dynamic table", [two, ending(3, &indexed(63))], answer(200)).on(3);
    // Large integers in more bytes than needed.
    let long = [vec![0x7f, 0x80, 0x80, 0x00], text(b"y")].concat();
    let padded =
        ending(1, &[fields(&[(":path", FOUND)]), added(b"x", b"y"), added(b"z", b"y"), long].concat());
    cases.add("5.1 an integer with leading zeros", [padded], answer(200));
    cases.run().await;
}

/// Bits of Huffman codes, padded with ones.
fn huffman(bits: &str) -> Vec<u8> {
    let bits: String = bits.chars().filter(|bit| *bit != ' ').collect();
    let bytes = bits.as_bytes().chunks(8);
    bytes.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0'))).collect()
}

fn coded(bits: &str) -> Vec<u8> {
    let bytes = huffman(bits);
    [integer(0x80, 7, bytes.len()), bytes].concat()
}

/// "/healthz", RFC 7541, appendix B.
const FOUND_IN_BITS: &str = "011000 100111 00101 00011 101000 01001 100111 1111011";

#[tokio::test]
async fn huffman_codes() {
    let with = |bits: &str| ending(1, &[integer(0, 4, 4), coded(bits)].concat());
    let broken = |bits: &str| whole(1, &[get_block(FOUND), vec![0], text(b"x"), coded(bits)].concat());
    let mut cases = Cases::default();
    // 48 bits and 7: one of padding is missing.
    cases.add("5.2 a path", [with(&format!("{FOUND_IN_BITS} {}", padding(FOUND_IN_BITS)))], answer(200));
    cases.add("5.2 nothing", [broken("")], answer(200));
    let mut bad = |name: &str, bits: &str| {
        cases
            .add(name, [broken(bits)], connection_error(Code::Compression))
            .but(AS_PROTOCOL_ERROR.0, AS_PROTOCOL_ERROR.1);
    };
    // "a" is 00011.
    bad("5.2 padding of zeros", "00011 000");
    bad("5.2 padding of ones and a zero", "00011 110");
    bad("5.2 padding of eight bits", "00011 00011 00011 00011 00011 00011 00011 00011 11111111");
    bad("5.2 padding of eleven bits", "00011 111 11111111");
    bad("5.2 padding alone", "11111111");
    bad("5.2 the end of string", "11111111 11111111 11111111 11111111");
    bad("5.2 the end of string within", "00011 111111111111111111111111111111 00011");
    cases.run().await;
}

fn padding(bits: &str) -> String {
    let length = bits.chars().filter(|bit| *bit != ' ').count();
    "1".repeat((8 - length % 8) % 8)
}

#[tokio::test]
async fn what_cannot_be_decoded() {
    let mut cases = Cases::default();
    let mut bad = |name: &str, rest: Vec<u8>| {
        let sent = [whole(1, &[get_block(FOUND), rest].concat())];
        cases
            .add(name, sent, connection_error(Code::Compression))
            .but(AS_PROTOCOL_ERROR.0, AS_PROTOCOL_ERROR.1);
    };
    bad("6.1 index 0", vec![0x80]);
    bad("2.3.3 an index beyond both tables", indexed(62));
    bad("2.3.3 a far index", indexed(100_000));
    bad("2.3.3 a name beyond both tables", [integer(0, 4, 62), text(b"x")].concat());
    bad("2.3.3 an added name beyond both tables", [integer(0x40, 6, 62), text(b"x")].concat());
    bad("2.3.3 a never added name beyond both tables", [integer(0x10, 4, 62), text(b"x")].concat());
    bad("5.1 an integer beyond 32 bits", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    bad("5.1 an integer without an end", vec![0xff; 40]);
    bad("5.1 an integer that breaks off", vec![0xff, 0x80]);
    bad("5.2 a name that breaks off", vec![0, 5, b'a']);
    bad("5.2 a value that breaks off", [vec![0], text(b"x"), vec![5, b'a']].concat());
    bad("5.2 a value of 4 GiB", [vec![0], text(b"x"), integer(0, 7, u32::MAX as usize)].concat());
    bad("5.2 no value", [vec![0], text(b"x")].concat());
    bad("5.2 no name", vec![0]);
    bad("6.3 a size update at the end", size_update(0));
    bad("6.3 a size update within", [size_update(4_096), field(b"x", b"y")].concat());
    cases.run().await;
}

#[tokio::test]
async fn sizes_of_the_dynamic_table() {
    let updated = |stream: u32, updates: &[usize], rest: &[u8]| {
        let updates = updates.iter().flat_map(|size| size_update(*size));
        whole(stream, &[updates.collect(), fields(&PATHLESS), rest.to_vec()].concat())
    };
    let known = added(b":path", FOUND.as_bytes());
    let path = fields(&[(":path", FOUND)]);
    let large = |length: usize| [path.clone(), added(b"x", &vec![b'y'; length])].concat();
    let mut cases = Cases::default();
    for updates in [&[0][..], &[4_096], &[100], &[0, 4_096], &[0, 0, 0]] {
        cases.add(format!("6.3 updates {updates:?}"), [updated(1, updates, &path)], answer(200));
    }
    let mut bad = |name: &str, sent: Vec<Vec<u8>>, stream: u32| {
        cases
            .add(name, sent, connection_error(Code::Compression))
            .on(stream)
            .but(AS_PROTOCOL_ERROR.0, AS_PROTOCOL_ERROR.1);
    };
    bad("6.3 larger than the settings allow", vec![updated(1, &[4_097], &path)], 1);
    bad("6.3 far larger", vec![updated(1, &[1 << 30], &path)], 1);
    bad("4.3 emptied by an update", vec![ending(1, &known), updated(3, &[0], &indexed(62))], 3);
    bad("4.3 emptied, and enlarged again", vec![ending(1, &known), updated(3, &[0, 4_096], &indexed(62))], 3);
    // An entry takes 32 bytes more than its strings.
    let exactly = ending(1, &[known.clone(), large(4_096 - 33)].concat());
    bad("4.4 an entry that fills the table", vec![exactly, ending(3, &indexed(63))], 3);
    bad(
        "4.4 an entry larger than the table",
        vec![ending(1, &[known.clone(), large(4_096)].concat()), ending(3, &indexed(62))],
        3,
    );
    let not_added = [vec![0], text(b":path"), text(FOUND.as_bytes())].concat();
    bad("6.2.2 not added", vec![ending(1, &not_added), ending(3, &indexed(62))], 3);
    // Just what fits leaves the other.
    let fits = 4_096 - (32 + 1) - (32 + ":path".len() + FOUND.len());
    let both = [known.clone(), added(b"x", &vec![b'y'; fits])].concat();
    cases
        .add("4.1 two entries that fill the table", [ending(1, &both), ending(3, &indexed(63))], answer(200))
        .on(3);
    let evicted = [known, added(b"x", &vec![b'y'; fits + 1])].concat();
    cases
        .add(
            "4.1 one more byte",
            [ending(1, &evicted), ending(3, &indexed(63))],
            connection_error(Code::Compression),
        )
        .on(3)
        .but(AS_PROTOCOL_ERROR.0, AS_PROTOCOL_ERROR.1);
    cases.run().await;
}

#[tokio::test]
async fn many_fields_from_few_bytes() {
    // Each reference costs a byte, and stands for 4 KB: the "HPACK bomb".
    let bomb = [added(b"x", &[b'y'; 4_000]), indexed(62).repeat(12_000)].concat();
    let block = [get_block(FOUND), bomb].concat();
    let mut cases = Cases::default();
    cases.add("10.5.1 a bomb", [whole(1, &block)], {
        [answer(431), stream_error(Code::Protocol), connection_error(Code::EnhanceYourCalm)].concat()
    });
    let small = [added(b"x", b"y"), indexed(62).repeat(16_000)].concat();
    cases.add("10.5.1 many small fields", [whole(1, &[get_block(FOUND), small].concat())], {
        let too_many = either(answer(431), connection_error(Code::EnhanceYourCalm));
        either(too_many, stream_error(Code::Protocol))
    });
    cases.run().await;
}
