//! Canonical proto3 JSON, by the compiled contract: nothing is defined twice.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};

use crate::error::Failure;
use crate::{DESCRIPTOR, v1};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR)
        .unwrap_or_else(|error| unreachable!("the contract is compiled in: {error}"))
});

static CLIENT_FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| descriptor("parlance.v1.ClientFrame"));
static SERVER_FRAME: LazyLock<MessageDescriptor> = LazyLock::new(|| descriptor("parlance.v1.ServerFrame"));

/// The compiled contract.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap_or_else(|| unreachable!("{name} is in the contract"))
}

/// Reads a client frame.
///
/// # Errors
/// INVALID_ARGUMENT `malformed_json` with the path of the field at fault.
pub fn client_frame_from_json(json: &[u8]) -> Result<v1::ClientFrame, Failure> {
    let message = from_json(&CLIENT_FRAME, json)?;
    message.transcode_to().map_err(|error| Failure::new(tonic::Code::Internal, "internal", error.to_string()))
}

/// The `requestId` of a client frame that is otherwise not readable, to answer with.
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
pub fn from_json(descriptor: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let result = DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options)
        .and_then(|message| deserializer.end().map(|()| message));
    result.map_err(|error| {
        let path = track.path().to_string();
        // Where there is no path to speak of: nothing was entered, or nothing readable.
        let field = if path == "." || path == "?" { String::new() } else { path };
        let mut failure = Failure::new(tonic::Code::InvalidArgument, "malformed_json", error.to_string());
        if !field.is_empty() {
            failure.message = format!("{field}: {error}");
            failure.fields.push((field, error.to_string()));
        }
        failure
    })
}

/// Writes any message of the contract; fields at their default are written where the
/// canonical form asks for it, which is nowhere.
pub fn to_json(message: &DynamicMessage) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut json);
    match message.serialize_with_options(&mut serializer, &SerializeOptions::new()) {
        Ok(()) => json,
        Err(error) => unreachable!("a message of the contract has a JSON form: {error}"),
    }
}

/// Writes a typed message of the contract.
pub fn typed_to_json<M: Message>(name: &str, message: &M) -> Vec<u8> {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    match dynamic.transcode_from(message) {
        Ok(()) => to_json(&dynamic),
        Err(error) => unreachable!("{name} is this message's type: {error}"),
    }
}

/// An encoded server frame as JSON.
pub(crate) fn server_frame_to_json(proto: &[u8]) -> Vec<u8> {
    match DynamicMessage::decode(SERVER_FRAME.clone(), proto) {
        Ok(message) => to_json(&message),
        Err(error) => unreachable!("server frames are encoded here: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(json: &str, field: &str) {
        let failure = client_frame_from_json(json.as_bytes()).unwrap_err();
        assert_eq!((failure.code, failure.reason.as_str()), (tonic::Code::InvalidArgument, "malformed_json"));
        let fields: Vec<_> = failure.fields.iter().map(|(field, _)| field.as_str()).collect();
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
