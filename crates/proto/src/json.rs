//! Canonical proto3 JSON, driven by the compiled contract, so that nothing is defined twice.

use std::fmt;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::cost::{TOO_MANY_ELEMENTS, decoded_bytes};
use crate::events::v1::RoomEvent;
use crate::limits::MAX_JSON_VALUES;
use crate::{DESCRIPTOR, EVENTS_DESCRIPTOR, known_names, v1};

mod repeated;

/// Why a message could not be parsed, or has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable reason: `malformed_json`, `unknown_field` or `unknown_operation`; `internal` if the text is valid.
    pub reason: &'static str,
    /// For developers.
    pub message: String,
    /// The invalid field, if there is one: path and description.
    pub field: Option<(String, String)>,
}

/// The reason if the text is valid.
pub(crate) const INTERNAL: &str = "internal";

impl Error {
    fn in_field(reason: &'static str, field: String, description: String) -> Self {
        Self { reason, message: format!("{field}: {description}"), field: Some((field, description)) }
    }

    fn too_many_elements() -> Self {
        Self { reason: "malformed_json", message: TOO_MANY_ELEMENTS.to_owned(), field: None }
    }

    fn internal(message: String) -> Self {
        Self { reason: INTERNAL, message, field: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Error {}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR)
        .unwrap_or_else(|error| unreachable!("the contract is compiled in: {error}"))
});

static CLIENT_FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| descriptor("parlance.v1.ClientFrame"));
static SERVER_FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| descriptor("parlance.v1.ServerFrame"));

static ROOM_EVENT: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(EVENTS_DESCRIPTOR).ok();
    let event = pool.and_then(|pool| pool.get_message_by_name("parlance.events.v1.RoomEvent"));
    event.unwrap_or_else(|| unreachable!("it is compiled in"))
});

/// The compiled contract.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap_or_else(|| unreachable!("{name} is in the contract"))
}

/// How to treat unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownFields {
    /// Reject the message: silently dropping a field would hide mistakes.
    #[default]
    Refuse,
    /// Ignore them, for a reader that may be older than the writer.
    Ignore,
}

/// Reads a client frame; unknown fields are ignored.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` with the path of the field at fault.
pub fn client_frame_from_json(json: &[u8]) -> Result<v1::ClientFrame, Error> {
    read_client_frame(json, UnknownFields::Ignore)
}

/// Reads a client frame.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` or `unknown_field` with the path of the field at fault.
pub fn read_client_frame(json: &[u8], unknown: UnknownFields) -> Result<v1::ClientFrame, Error> {
    Ok(read_frame(json, unknown)?.0)
}

/// Reads a client frame, and what it takes in memory.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` or `unknown_field` with the path of the field at fault.
pub fn read_frame(json: &[u8], unknown: UnknownFields) -> Result<(v1::ClientFrame, usize), Error> {
    let message = read(&CLIENT_FRAME, json, unknown);
    let message = message.map_err(|failure| name_operation(failure, json))?;
    let encoded = message.encode_to_vec();
    drop(message);
    let cost = decoded_bytes::<v1::ClientFrame>(&encoded).ok_or_else(Error::too_many_elements)?;
    let frame = v1::ClientFrame::decode(&encoded[..]).map_err(|error| Error::internal(error.to_string()))?;
    Ok((frame, cost))
}

/// A frame with an unknown field in place of the operation has its own reason.
fn name_operation(failure: Error, json: &[u8]) -> Error {
    let is_operation = failure.reason == "unknown_field"
        && client_frame_from_json(json).is_ok_and(|frame| frame.operation.is_none());
    if is_operation { Error { reason: "unknown_operation", ..failure } } else { failure }
}

/// The `requestId` of an otherwise unreadable client frame, for the answer.
pub fn request_id_of(json: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Lenient {
        #[serde(rename = "requestId", alias = "request_id", default)]
        request_id: String,
    }
    serde_json::from_slice::<Lenient>(json).map(|frame| frame.request_id).unwrap_or_default()
}

/// Reads any message of the contract. Unknown fields are ignored.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` with the path of the field at fault.
pub fn from_json(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Error> {
    read(descriptor, json, UnknownFields::Ignore)
}

/// Reads any message of the contract.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` or `unknown_field` with the path of the field at fault.
pub fn read(
    descriptor: &MessageDescriptor,
    json: &[u8],
    unknown: UnknownFields,
) -> Result<DynamicMessage, Error> {
    if values(json) > MAX_JSON_VALUES {
        return Err(Error::too_many_elements());
    }
    if has_long_number(json) {
        check_numbers(json)?;
    }
    if let Some(field) = repeated::find(descriptor, json) {
        return Err(Error::in_field("malformed_json", field, "is given more than once".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(unknown == UnknownFields::Refuse);
    let result = DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options)
        .and_then(|message| deserializer.end().map(|()| message));
    result.map_err(|error| {
        let path = track.path().to_string();
        // No path: the error is at the root, or before anything readable.
        let field = if path == "." || path == "?" { String::new() } else { path };
        // No field is at fault if the text is not JSON at all.
        let is_json = || serde_json::from_slice::<IgnoredAny>(json).is_ok();
        if let Some(name) = unknown_name(&error.to_string()).filter(|_| is_json()) {
            let known = known_names::fields(descriptor, &field).map(|names| format!(": {names}"));
            let description = format!("is not a field that this server knows{}", known.unwrap_or_default());
            let field = if field.is_empty() { name } else { format!("{field}.{name}") };
            return Error::in_field("unknown_field", field, description);
        }
        let mut description = error.to_string();
        if description.starts_with("unrecognized enum value")
            && let Some(values) = known_names::values(descriptor, &field)
        {
            description = format!("{description}; must be one of {values}");
        }
        let reason = "malformed_json";
        if field.is_empty() {
            Error { reason, message: description, field: None }
        } else {
            Error::in_field(reason, field, description)
        }
    })
}

/// The field that an error of [`DynamicMessage`] reports as unknown.
fn unknown_name(error: &str) -> Option<String> {
    let name = error.strip_prefix("unrecognized field name '")?;
    let end = name.rfind("' at line ").or_else(|| name.rfind('\''))?;
    Some(name[..end].to_owned())
}

/// The number of values in the text, roughly: every object, list and comma counts as one. Text that is not JSON is counted
/// likewise.
fn values(json: &[u8]) -> usize {
    let (mut count, mut rest) = (0, json.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b',' | b'{' | b'[' => count += 1,
            // To the end of a string.
            b'"' => {
                while rest.next().is_some_and(|byte| match byte {
                    b'\\' => rest.next().is_some(),
                    byte => *byte != b'"',
                }) {}
            }
            _ => {}
        }
    }
    count
}

/// Minimum number of digits of a number that is parsed as the largest 64-bit number although it differs, such as
/// 1.8446744073709552e19.
const LONG_DIGITS: usize = 17; // format

/// Whether a number may exceed 64 bits. Digits in a string count too, which costs a second check.
fn has_long_number(json: &[u8]) -> bool {
    let mut digits = 0;
    json.iter().any(|byte| {
        digits = match byte {
            b'0'..=b'9' => digits + 1,
            b'.' => digits,
            _ => 0,
        };
        digits >= LONG_DIGITS
    })
}

/// Rejects numbers beyond 64 bits, which would be rounded to 64 bits.
fn check_numbers(json: &[u8]) -> Result<(), Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    match Numbers::deserialize(tracked) {
        // Other errors are found by the parser of the message.
        Err(error) if error.is_data() => {
            let description = "must be a number of at most 64 bits";
            let field = track.path().to_string();
            Err(Error::in_field("malformed_json", field, description.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Any JSON whose numbers have at most 64 bits.
struct Numbers;

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Numbers {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers of at most 64 bits")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self, E> {
        const BEYOND: f64 = u64::MAX as f64;
        if number.abs() < BEYOND { Ok(self) } else { Err(E::custom("is beyond 64 bits")) }
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<String, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Serialises any message of the contract. Fields with default values are omitted, as in the canonical form.
///
/// # Errors
/// INTERNAL if a value has no JSON form, such as a timestamp out of range.
pub fn to_json(message: &DynamicMessage) -> Result<Vec<u8>, Error> {
    let mut json = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(&mut serializer, &SerializeOptions::new()).map_err(no_json)?;
    Ok(json)
}

/// Serialises a typed message of the contract.
///
/// # Errors
/// Those of [`to_json`], and INTERNAL if `name` is not the name of the message.
pub fn typed_to_json<M: Message>(name: &str, message: &M) -> Result<Vec<u8>, Error> {
    let descriptor = POOL.get_message_by_name(name).ok_or_else(|| no_json("unknown name"))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(no_json)?;
    to_json(&dynamic)
}

/// Converts an encoded server frame to JSON.
///
/// # Errors
/// Those of [`to_json`], and INTERNAL if `proto` is not a server frame.
pub fn server_frame_to_json(proto: &[u8]) -> Result<Vec<u8>, Error> {
    to_json(&DynamicMessage::decode(SERVER_FRAME.clone(), proto).map_err(no_json)?)
}

/// Converts an event of the change feed to JSON.
///
/// # Errors
/// Those of [`to_json`].
pub fn room_event_to_json(event: &RoomEvent) -> Result<Vec<u8>, Error> {
    let mut dynamic = DynamicMessage::new(ROOM_EVENT.clone());
    dynamic.transcode_from(event).map_err(no_json)?;
    to_json(&dynamic)
}

/// Converts a timestamp to a JSON string.
///
/// # Errors
/// Those of [`to_json`].
pub fn timestamp_to_json(at: &prost_types::Timestamp) -> Result<Vec<u8>, Error> {
    typed_to_json("google.protobuf.Timestamp", at)
}

fn no_json(error: impl fmt::Display) -> Error {
    Error::internal(format!("no JSON form: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(json: &str, field: &str) {
        let failure = client_frame_from_json(json.as_bytes()).unwrap_err();
        assert_eq!(failure.reason, "malformed_json");
        let fields: Vec<_> = failure.field.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, if field.is_empty() { vec![] } else { vec![field] }, "{failure:?}");
    }

    #[test]
    fn errors_name_the_field() {
        fails(r#"{"sendMessage": {"text": 5}}"#, "sendMessage.text");
        fails(r#"{"hello": {"cursors": [{"roomId": "r", "seq": "x"}]}}"#, "hello.cursors[0].seq");
        fails("{", "");
        fails("", "");
        fails("[]", "");
        fails(r#"{"requestId": "1"} trailing"#, "");
    }

    #[test]
    fn values_are_counted_before_they_are_read() {
        for (json, count) in [
            (r#"{"a": [1, 2], "b": "{[,\"{[,", "c": {}}"#, 6),
            (r#"{"a": "\\", "b": "not ended, {{"#, 2),
            ("", 0),
        ] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
        let cursor = r#"{"roomId": "r", "seq": "1", "epoch": 1}"#;
        let hello =
            format!(r#"{{"hello": {{"deviceId": "d", "cursors": [{}]}}}}"#, [cursor; 2_000].join(","));
        assert!(read_frame(hello.as_bytes(), UnknownFields::Refuse).is_ok(), "the contract allows as many");
        // Refused for their number, not for what they are.
        let wide = format!(r#"{{"hello": {{"x": [{}]}}}}"#, ["{}"; 20_000].join(","));
        assert_eq!(read_frame(wide.as_bytes(), UnknownFields::Refuse), Err(Error::too_many_elements()));
    }

    #[test]
    fn unknown_fields_are_refused_by_name_unless_ignored() {
        let check = |json: &str, field: &str| {
            let failure = read_client_frame(json.as_bytes(), UnknownFields::Refuse).unwrap_err();
            let fields: Vec<_> = failure.field.iter().map(|(field, _)| field.as_str()).collect();
            assert_eq!((failure.reason, fields), ("unknown_field", vec![field]), "{json}");
            assert!(read_client_frame(json.as_bytes(), UnknownFields::Ignore).is_ok(), "{json}");
        };
        check(r#"{"sendMessage": {"text": "a", "fromUser": "alice"}}"#, "sendMessage.fromUser");
        check(r#"{"hello": {}, "future": 1}"#, "future");
        check(r#"{"hello": {"cursors": [{"roomId": "r"}, {"it's": null}]}}"#, "hello.cursors[1].it's");
        let operation = read_client_frame(br#"{"requestId": "1", "foretell": {}}"#, UnknownFields::Refuse);
        let failure = operation.unwrap_err();
        assert_eq!(
            (failure.reason, failure.field.as_ref().unwrap().0.as_str()),
            ("unknown_operation", "foretell")
        );
        let broken = read_client_frame(br#"{"hello": {"hello": "#, UnknownFields::Refuse).unwrap_err();
        assert_eq!(broken.reason, "malformed_json");
        let known = br#"{"sendMessage": {"text": "a", "room_id": "r"}}"#;
        assert!(read_client_frame(known, UnknownFields::Refuse).is_ok());
    }

    #[test]
    fn errors_for_wrong_names_list_valid_ones() {
        let failure = |json: &str| read_client_frame(json.as_bytes(), UnknownFields::Refuse).unwrap_err();
        let role = failure(r#"{"setRole": {"role": "KING"}}"#);
        assert!(role.message.ends_with("must be one of ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER"), "{role:?}");
        let field = failure(r#"{"hello": {"cursors": [{"room": "r"}]}}"#);
        assert!(field.message.ends_with("knows: roomId, seq, epoch"), "{field:?}");
        let operation = failure(r#"{"foretell": {}}"#);
        assert!(operation.message.ends_with("this server knows"), "too many to name: {operation:?}");
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused_by_name() {
        fails(r#"{"markRead": {"seq": 18446744073709551616}}"#, "markRead.seq");
        fails(
            r#"{"hello": {"cursors": [{"roomId": "r", "seq": 36893488147419103232}]}}"#,
            "hello.cursors[0].seq",
        );
        fails(r#"{"markRead": {"seq": 1e20}}"#, "markRead.seq");
        fails(r#"{"markRead": {"seq": 1.8446744073709552e19}}"#, "markRead.seq");
        fails(r#"{"markRead": {"seq": -1}}"#, "markRead.seq");
        fails(r#"{"listRooms": {"pageSize": 4294967296}}"#, "listRooms.pageSize");
        fails(r#"{"listRooms": {"pageSize": 1.5}}"#, "listRooms.pageSize");
        fails(r#"{"markRead": {"seq": "18446744073709551616"}}"#, "markRead.seq");
        let most = br#"{"markRead": {"seq": 18446744073709551615}}"#;
        assert!(client_frame_from_json(most).is_ok());
        let digits = br#"{"sendMessage": {"text": "18446744073709551616000"}}"#;
        assert!(client_frame_from_json(digits).is_ok());
    }

    #[test]
    fn frames_are_canonical_json_and_tolerant() {
        let frame = client_frame_from_json(
            br#"{"requestId":"7","sendMessage":{"roomId":"r","text":"hi","afterSeq":"9","future":[1]}}"#,
        )
        .unwrap();
        let Some(v1::client_frame::Operation::SendMessage(send)) = frame.operation else { panic!() };
        assert_eq!((send.text.as_str(), send.after_seq), ("hi", Some(9)));
        assert_eq!(request_id_of(br#"{"requestId":"7","sendMessage":{"text":5}}"#), "7");
    }
}
