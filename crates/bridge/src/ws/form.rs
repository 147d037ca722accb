use bytes::Bytes;
use parlance_proto::error::Failure;
use parlance_proto::{SharedFrame, json, v1};
use prost::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
use tonic::Code;

use crate::limits::MAX_REQUEST_ID_BYTES;

/// How frames are written: the client chooses with each message, and is answered in kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Canonical proto3 JSON, in text messages.
    Json,
    /// Protobuf, in binary messages.
    Binary,
}

impl Form {
    /// A frame in this form: its own bytes, shared with whoever else gets it.
    pub(super) fn encoded(self, frame: &SharedFrame) -> Bytes {
        match self {
            Self::Json => frame.json().clone(),
            Self::Binary => frame.proto().clone(),
        }
    }

    /// The kind of message that carries it.
    pub(super) fn opcode(self) -> Data {
        match self {
            Self::Json => Data::Text,
            Self::Binary => Data::Binary,
        }
    }

    /// Reads what a client sent in this form; an error is the answer to it.
    pub(super) fn decode(self, message: &[u8]) -> Result<v1::ClientFrame, SharedFrame> {
        let (frame, request_id): (_, fn(&[u8]) -> String) = match self {
            Self::Json => (json::client_frame_from_json(message), json::request_id_of),
            Self::Binary => (v1::ClientFrame::decode(message).map_err(malformed), request_id_of),
        };
        frame.map_err(|failure| {
            let request_id = Some(request_id(message)).filter(|id| id.len() <= MAX_REQUEST_ID_BYTES);
            refused(request_id.unwrap_or_default(), failure)
        })
    }
}

/// The answer to a frame that cannot be read, and with an empty id the last word on a
/// stream that has failed.
pub(super) fn refused(request_id: String, failure: Failure) -> SharedFrame {
    let result = Some(v1::reply::Result::Error(failure.into()));
    v1::server_frame::Frame::Reply(v1::Reply { request_id, result }).into()
}

fn malformed(error: prost::DecodeError) -> Failure {
    Failure::new(Code::InvalidArgument, "malformed_frame", format!("not valid protobuf: {error}"))
}

/// The request id of a frame that is otherwise not readable, as far as it comes before
/// what is not.
fn request_id_of(message: &[u8]) -> String {
    #[derive(Message)]
    struct Lenient {
        #[prost(string, tag = "1")]
        request_id: String,
    }
    let mut lenient = Lenient::default();
    // What was read before the error stays.
    let _ = lenient.merge(message);
    lenient.request_id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: Form, message: &[u8], request_id: &str, reason: &str) {
        let reply = form.decode(message).unwrap_err().decode_frame().unwrap();
        let Some(v1::server_frame::Frame::Reply(reply)) = reply.frame else { panic!("{reply:?}") };
        let Some(v1::reply::Result::Error(error)) = reply.result else { panic!("{reply:?}") };
        assert_eq!((reply.request_id.as_str(), error.reason.as_str()), (request_id, reason));
    }

    #[test]
    fn a_bad_frame_is_answered_under_its_id() {
        check(Form::Json, br#"{"requestId":"7","hello":5}"#, "7", "malformed_json");
        check(Form::Json, b"{", "", "malformed_json");
        // Field 1 "7", then a field 2 that is longer than the message.
        check(Form::Binary, b"\x0a\x017\x12\x09", "7", "malformed_frame");
        check(Form::Binary, b"\xff", "", "malformed_frame");
        let long = format!(r#"{{"requestId":"{}","hello":5}}"#, "x".repeat(65));
        check(Form::Json, long.as_bytes(), "", "malformed_json");
    }

    #[test]
    fn encodings_are_shared_not_copied() {
        let frame = SharedFrame::new(&v1::ServerFrame { frame: None });
        let other = frame.clone();
        assert_eq!(Form::Json.encoded(&frame).as_ptr(), Form::Json.encoded(&other).as_ptr());
        assert_eq!(Form::Json.encoded(&frame).as_ptr(), frame.json().as_ptr());
    }
}
