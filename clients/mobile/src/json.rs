//! Operations by name, in canonical JSON.
#![forbid(unsafe_code)]

use parlance_client::v1;
use parlance_client::v1::client_frame::Operation;
use parlance_client::v1::reply::Result as Answer;
use parlance_proto::json::{UnknownFields, from_json, pool, read_client_frame, typed_to_json};
use prost::Message;
use serde_json::{Map, Value};

use crate::ClientError;

/// The operation of this name.
pub(crate) fn read_operation(name: &str, request: &str) -> Result<Operation, ClientError> {
    let request: Value = serde_json::from_str(request).map_err(ClientError::invalid)?;
    let frame = Value::Object(Map::from_iter([(name.to_owned(), request)]));
    let frame = read_client_frame(frame.to_string().as_bytes(), UnknownFields::Refuse)
        .map_err(|error| ClientError::invalid(error.message))?;
    match frame.operation {
        Some(Operation::Hello(_)) | None => {
            Err(ClientError::invalid(format!("no operation is called {name:?}")))
        }
        Some(operation) => Ok(operation),
    }
}

/// The response in a reply.
pub(crate) fn write_answer(answer: Answer) -> Result<String, ClientError> {
    let reply = v1::Reply { request_id: String::new(), result: Some(answer) };
    let reply: Value = serde_json::from_str(&write("parlance.v1.Reply", &reply)?).map_err(unreadable)?;
    let response = match reply {
        Value::Object(fields) => fields.into_iter().next(),
        _ => None,
    };
    response.map(|(_, response)| response.to_string()).ok_or_else(|| unreadable("an empty reply"))
}

/// A message of the contract.
pub(crate) fn write<M: Message>(name: &str, message: &M) -> Result<String, ClientError> {
    let bytes = typed_to_json(name, message).map_err(|error| unreadable(error.message))?;
    String::from_utf8(bytes).map_err(unreadable)
}

/// The app's own data, as a JSON object.
pub(crate) fn read_data(json: &str) -> Result<prost_types::Struct, ClientError> {
    let descriptor = pool().get_message_by_name("google.protobuf.Struct");
    let descriptor = descriptor.ok_or_else(|| unreadable("no descriptor"))?;
    let data =
        from_json(&descriptor, json.as_bytes()).map_err(|error| ClientError::invalid(error.message))?;
    data.transcode_to().map_err(ClientError::invalid)
}

fn unreadable(details: impl ToString) -> ClientError {
    ClientError::Connection { details: details.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_read_by_its_name() {
        let Operation::GetRoom(request) = read_operation("getRoom", r#"{"roomId":"general"}"#).unwrap()
        else {
            panic!("another operation")
        };
        assert_eq!(request.room_id, "general");
    }

    #[test]
    fn unknown_operations_are_named() {
        for (name, request) in [
            ("getRooom", "{}"),
            ("hello", "{}"),
            ("requestId", "\"a\""),
            ("getRoom", "{"),
            ("getRoom", r#"{"room":"a"}"#),
        ] {
            let error = read_operation(name, request).unwrap_err();
            assert!(matches!(error, ClientError::InvalidArgument { .. }), "{name} {request}: {error:?}");
        }
    }

    #[test]
    fn an_answer_is_the_response_alone() {
        let answer = Answer::MarkRead(v1::MarkReadResponse::default());
        assert_eq!(write_answer(answer).unwrap(), "{}");
        let user = v1::User { user_id: "alice".to_owned(), ..v1::User::default() };
        let answer = Answer::GetUser(v1::GetUserResponse { user: Some(user) });
        let json: Value = serde_json::from_str(&write_answer(answer).unwrap()).unwrap();
        assert_eq!(json["user"]["userId"], "alice");
    }

    #[test]
    fn data_is_an_object() {
        assert!(read_data(r#"{"order":42}"#).unwrap().fields.contains_key("order"));
        assert!(read_data("[1]").is_err());
    }
}
