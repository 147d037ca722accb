//! Names that are given more than once in one object of JSON: parsers take one of the values each, and not the same one.

use std::collections::HashSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Names of objects that are open at a time, in most requests.
const NAMES: usize = 32; // format

/// Objects that are open at a time, in most requests.
const DEPTH: usize = 8; // format

/// The path of a field of `message` that is given more than once, by either of its names.
pub(super) fn find(message: &MessageDescriptor, json: &[u8]) -> Option<String> {
    if !is_possible(json) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let mut repeated = None;
    // Other errors are found by the parser of the message.
    let _ = Distinct { message: Some(message.clone()), repeated: &mut repeated }.deserialize(tracked);
    let name = repeated?;
    let within = track.path().to_string();
    Some(if within == "." { name } else { format!("{within}.{name}") })
}

/// Whether a name may be given more than once in an object. False for most requests, which are looked through but once.
fn is_possible(json: &[u8]) -> bool {
    let (mut names, mut named) = ([0; NAMES], 0);
    let (mut begins, mut depth) = ([0; DEPTH], 0);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' if depth == DEPTH => return true,
            b'{' => (begins[depth], depth) = (named, depth + 1),
            b'}' if depth > 0 => (depth, named) = (depth - 1, begins[depth - 1]),
            b'"' => {
                let Some(string) = string(&json[at..]) else { return false };
                at += string.len() + 1;
                let is_name = json[at..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                if is_name && depth > 0 {
                    let hash = hash(string);
                    if string.contains(&b'\\')
                        || named == NAMES
                        || names[begins[depth - 1]..named].contains(&hash)
                    {
                        return true;
                    }
                    (names[named], named) = (hash, named + 1);
                }
            }
            _ => {}
        }
    }
    false
}

/// The string that `json` begins with, up to its end. `None` if it does not end.
fn string(json: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match json.get(at)? {
            b'"' => return Some(&json[..at]),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// FNV-1a. The same for both names of a field, `roomId` and `room_id`.
fn hash(name: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325; // format
    const PRIME: u64 = 0x0100_0000_01b3; // format
    let letters = name.iter().filter(|byte| **byte != b'_').map(u8::to_ascii_lowercase);
    letters.fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Any JSON whose objects have each name once.
struct Distinct<'r> {
    /// `None`: names are those of the app.
    message: Option<MessageDescriptor>,
    /// The name that is not.
    repeated: &'r mut Option<String>,
}

impl Distinct<'_> {
    fn within(&mut self, field: Option<FieldDescriptor>) -> Distinct<'_> {
        let message = field.filter(|field| !field.is_map()).and_then(|field| match field.kind() {
            // Structs and the like have the names of the app.
            Kind::Message(message) if message.package_name() != "google.protobuf" => Some(message),
            _ => None,
        });
        Distinct { message, repeated: self.repeated }
    }
}

impl<'de> DeserializeSeed<'de> for Distinct<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Distinct<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("objects with distinct names")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { message, repeated } = self;
        while seq.next_element_seed(Distinct { message: message.clone(), repeated })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let field = self.message.as_ref().and_then(|message| {
                message.get_field_by_json_name(&name).or_else(|| message.get_field_by_name(&name))
            });
            let canonical = field.as_ref().map_or_else(|| name.clone(), |field| field.json_name().to_owned());
            if !seen.insert(canonical) {
                *self.repeated = Some(name);
                return Err(de::Error::custom("is given more than once"));
            }
            map.next_value_seed(self.within(field))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::descriptor;
    use super::*;

    fn check(json: &str, expected: Option<&str>) {
        let found = find(&descriptor("parlance.v1.ClientFrame"), json.as_bytes());
        assert_eq!(found.as_deref(), expected, "{json}");
    }

    #[test]
    fn names_are_given_once_in_each_object() {
        for (json, field) in [
            (r#"{"requestId": "1", "requestId": "2"}"#, "requestId"),
            (r#"{"requestId": "1", "request_id": "2"}"#, "request_id"),
            (r#"{"requestId": "1", "request\u0049d": null}"#, "requestId"),
            (r#"{"hello": {}, "hello": {}}"#, "hello"),
            (r#"{"sendMessage": {"text": "a", "roomId": "r", "text" : "b"}}"#, "sendMessage.text"),
            (r#"{"hello": {"cursors": [{"seq": 1}, {"seq": 1, "seq": 2}]}}"#, "hello.cursors[1].seq"),
            (r#"{"sendMessage": {"data": {"a": 1, "a": 1}}}"#, "sendMessage.data.a"),
            (r#"{"sendMessage": {"data": {"a": [{"b": {}, "b": {}}]}}}"#, "sendMessage.data.a[0].b"),
            (r#"{"future": {"x": 1, "x": 2}}"#, "future.x"),
        ] {
            check(json, Some(field));
        }
        let many: String = (0..100).map(|number| format!(r#""k{number}": 1, "#)).collect();
        check(&format!(r#"{{"sendMessage": {{"data": {{{many} "last": 1}}}}}}"#), None);
        check(&format!(r#"{{"sendMessage": {{"data": {{{many} "k0": 1}}}}}}"#), Some("sendMessage.data.k0"));
        let deep = r#"{"a": "#.repeat(20);
        check(&format!(r#"{{"sendMessage": {{"data": {deep}{{"x": 1}}{}}}}}"#, "}".repeat(20)), None);
    }

    #[test]
    fn names_that_only_look_alike_are_different() {
        for json in [
            r#"{"sendMessage": {"data": {"roomId": 1, "room_id": 2, "ROOMID": 3}}}"#,
            r#"{"sendMessage": {"text": "\"text\":", "roomId": "text", "data": {"text": "text"}}}"#,
            r#"{"hello": {"cursors": [{"roomId": "r", "seq": 1}, {"roomId": "s", "seq": 1}]}}"#,
            r#"{"a\"b": 1, "a": 2}"#,
            r#"{"requestId": "not ended"#,
            r#"{"requestId": "\"#,
            "}}}{{{",
            "",
        ] {
            check(json, None);
        }
    }

    #[test]
    fn most_requests_are_looked_through_but_once() {
        let send = r#"{"requestId": "7", "sendMessage": {"roomId": "r", "text": "a \"b\"", "data": {"a": {"b": [{"c": 1}, {"c": 2}]}}}}"#;
        assert!(!is_possible(send.as_bytes()));
        let cursor = r#"{"roomId": "r", "seq": "1", "epoch": 1}"#;
        let hello =
            format!(r#"{{"hello": {{"deviceId": "d", "cursors": [{}]}}}}"#, [cursor; 2_000].join(","));
        assert!(!is_possible(hello.as_bytes()));
    }
}
