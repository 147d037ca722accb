use parlance_proto::{json, v1};
use prost::Message;

use crate::Error;

/// The encoding of frames on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Protobuf: gRPC, and binary messages of a WebSocket.
    Protobuf,
    /// Canonical proto3 JSON: text messages of a WebSocket.
    Json,
}

impl Encoding {
    /// Encodes a client frame: protobuf, or JSON as UTF-8.
    ///
    /// # Errors
    /// [`Error::Protocol`] if a value has no JSON form, such as a timestamp out of range.
    pub fn encode(self, frame: &v1::ClientFrame) -> Result<Vec<u8>, Error> {
        match self {
            Self::Protobuf => Ok(frame.encode_to_vec()),
            Self::Json => json::typed_to_json("parlance.v1.ClientFrame", frame)
                .map_err(|failure| Error::Protocol(failure.message)),
        }
    }

    /// Decodes a received server frame. Unknown fields are skipped.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is malformed.
    pub fn decode(self, frame: &[u8]) -> Result<v1::ServerFrame, Error> {
        match self {
            Self::Protobuf => {
                v1::ServerFrame::decode(frame).map_err(|error| Error::Protocol(error.to_string()))
            }
            Self::Json => {
                let name = "parlance.v1.ServerFrame";
                let Some(descriptor) = json::pool().get_message_by_name(name) else {
                    return Err(Error::Protocol(format!("{name} is not in the contract")));
                };
                let message = json::from_json(&descriptor, frame);
                let message = message.map_err(|failure| Error::Protocol(failure.message))?;
                message.transcode_to().map_err(|error| Error::Protocol(error.to_string()))
            }
        }
    }

    /// The encoded size of a frame, bytes.
    ///
    /// # Errors
    /// As for [`Encoding::encode`].
    pub(crate) fn size(self, frame: &v1::ClientFrame) -> Result<usize, Error> {
        match self {
            Self::Protobuf => Ok(frame.encoded_len()),
            Self::Json => self.encode(frame).map(|json| json.len()),
        }
    }

    /// Upper bound for the size that one cursor adds to a hello, bytes.
    pub(crate) fn cursor_size(self, cursor: &v1::Cursor) -> usize {
        match self {
            // Plus a tag and a length, one or two bytes each.
            Self::Protobuf => cursor.encoded_len() + 4,
            Self::Json => {
                // Room ids are ASCII without quotes; others are escaped to at most six times their size.
                let plain = cursor
                    .room_id
                    .bytes()
                    .all(|byte| matches!(byte, b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'));
                let id = cursor.room_id.len() * if plain { 1 } else { 6 };
                let digits = |number: u64| number.checked_ilog10().map_or(1, |log| log as usize + 1);
                r#"{"roomId":"","seq":"","epoch":""},"#.len() + id + digits(cursor.seq) + digits(cursor.epoch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(cursors: Vec<v1::Cursor>) -> v1::ClientFrame {
        let hello = v1::Hello { cursors, ..Default::default() };
        let operation = Some(v1::client_frame::Operation::Hello(hello));
        v1::ClientFrame { request_id: "hello".to_owned(), operation, as_user: String::new() }
    }

    #[test]
    fn cursors_take_no_more_than_their_size() {
        let ids = ["r", "a\"b\u{1}", "0123456789abcdef0123456789abcdef0123456789", "grün"];
        for (id, number) in ids.into_iter().zip([0, 9, u64::MAX, 1_000]) {
            let cursor = v1::Cursor { room_id: id.to_owned(), seq: number, epoch: number };
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                // The second one: the first includes the name of the field.
                let one = encoding.size(&hello(vec![cursor.clone()])).unwrap();
                let two = encoding.size(&hello(vec![cursor.clone(); 2])).unwrap();
                assert!(two - one <= encoding.cursor_size(&cursor), "{id} {encoding:?}");
            }
        }
    }

    #[test]
    fn frames_are_read_in_both_forms() {
        let event = v1::Event { room_id: "r".to_owned(), seq: u64::MAX, ..Default::default() };
        let frame = v1::ServerFrame { frame: Some(v1::server_frame::Frame::Event(event)) };
        let json = json::typed_to_json("parlance.v1.ServerFrame", &frame).unwrap();
        assert_eq!(Encoding::Json.decode(&json).unwrap(), frame);
        assert_eq!(Encoding::Protobuf.decode(&frame.encode_to_vec()).unwrap(), frame);
        assert!(matches!(Encoding::Json.decode(b"{"), Err(Error::Protocol(_))));
        // A frame of a later version, with an unknown content.
        assert_eq!(Encoding::Json.decode(br#"{"future": {}}"#).unwrap(), v1::ServerFrame { frame: None });
    }
}
