use bytes::Bytes;
use parlance_delivery::{Delivery, SharedFrame};
use parlance_proto::error::Failure;
use parlance_proto::json::UnknownFields;
use parlance_proto::{cost, json, v1};
use prost::Message;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tonic::Code;

use crate::limits::{FRAGMENT_BYTES, MAX_REQUEST_ID_BYTES};
use crate::meters::Meters;

/// The encoding of frames: chosen by the client with each message, and used for the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Canonical proto3 JSON, in text messages.
    Json,
    /// Protobuf, in binary messages.
    Binary,
}

/// Closes a connection whose next frame cannot be encoded.
fn close_without_json() -> Bytes {
    let reason = b"no JSON form of a frame";
    let opcode = OpCode::Control(Control::Close);
    let header = FrameHeader { is_final: true, opcode, ..FrameHeader::default() };
    let mut framed = Vec::with_capacity(reason.len() + 4);
    // Writing to a vector does not fail.
    let _ = header.format(reason.len() as u64 + 2, &mut framed);
    framed.extend_from_slice(&u16::from(CloseCode::Error).to_be_bytes());
    framed.extend_from_slice(reason);
    framed.into()
}

impl Form {
    /// The bytes sent for a delivery, shared among all recipients.
    pub(super) fn delivered<'d>(self, delivery: &'d Delivery, meters: &Meters) -> &'d Bytes {
        let make = |frame: &SharedFrame| {
            if self == Self::Json {
                meters.frames_to_json.increment(1);
            }
            self.framed(frame)
        };
        match delivery {
            Delivery::Frame(frame) => frame.in_form(self.shared(), make),
            Delivery::Run(run) => run.in_form(self.shared(), make),
        }
    }

    /// A frame as WebSocket messages: a single one, or fragmented if it is long.
    pub(super) fn framed(self, frame: &SharedFrame) -> Bytes {
        let json;
        let payload = match self {
            Self::Json => match frame.to_json() {
                Ok(made) => {
                    json = made;
                    &json[..]
                }
                // Omitting it would leave an unreported hole.
                Err(failure) => {
                    tracing::error!(error = failure.message, "a frame has no JSON form, closing");
                    return close_without_json();
                }
            },
            Self::Binary => frame.proto(),
        };
        let mut framed = Vec::with_capacity(payload.len() + 16);
        let mut opcode = match self {
            Self::Json => Data::Text,
            Self::Binary => Data::Binary,
        };
        let mut rest = payload;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(FRAGMENT_BYTES));
            let (is_final, opcode_now) = (after.is_empty(), OpCode::Data(opcode));
            let header = FrameHeader { is_final, opcode: opcode_now, ..FrameHeader::default() };
            // Writing to a vector does not fail.
            let _ = header.format(piece.len() as u64, &mut framed);
            framed.extend_from_slice(piece);
            if is_final {
                return framed.into();
            }
            (opcode, rest) = (Data::Continue, after);
        }
    }

    fn shared(self) -> parlance_delivery::Form {
        match self {
            Self::Json => parlance_delivery::Form::Text,
            Self::Binary => parlance_delivery::Form::Binary,
        }
    }

    /// Decodes a client's message in this form, with what it takes in memory; an error is the answer to it.
    pub(super) fn decode(
        self,
        message: &[u8],
        unknown: UnknownFields,
    ) -> Result<(v1::ClientFrame, usize), SharedFrame> {
        let (frame, request_id): (_, fn(&[u8]) -> String) = match self {
            Self::Json => {
                let frame = json::read_frame(message, unknown);
                (frame.map_err(Failure::from), json::request_id_of)
            }
            Self::Binary => (decode(message), request_id_of),
        };
        frame.map_err(|failure| {
            let request_id = Some(request_id(message)).filter(|id| id.len() <= MAX_REQUEST_ID_BYTES);
            refused(request_id.unwrap_or_default(), failure)
        })
    }
}

/// The answer to an unreadable frame, or with an empty id the last frame of a failed stream.
pub(super) fn refused(request_id: String, failure: Failure) -> SharedFrame {
    let result = Some(v1::reply::Result::Error(failure.into()));
    v1::server_frame::Frame::Reply(v1::Reply { request_id, result }).into()
}

fn decode(message: &[u8]) -> Result<(v1::ClientFrame, usize), Failure> {
    let cost = cost::decoded_bytes::<v1::ClientFrame>(message).ok_or_else(Failure::too_many_elements)?;
    Ok((v1::ClientFrame::decode(message).map_err(malformed)?, cost))
}

fn malformed(error: prost::DecodeError) -> Failure {
    Failure::new(Code::InvalidArgument, "malformed_frame", format!("not valid protobuf: {error}"))
}

/// The request id of an otherwise unreadable frame, if it precedes the unreadable part.
fn request_id_of(message: &[u8]) -> String {
    #[derive(Message)]
    struct Lenient {
        #[prost(string, tag = "1")]
        request_id: String,
    }
    let mut lenient = Lenient::default();
    // Fields read before the error are kept.
    let _ = lenient.merge(message);
    lenient.request_id
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use parlance_delivery::SharedRun;

    use super::*;

    fn check(form: Form, message: &[u8], request_id: &str, reason: &str) {
        let reply = form.decode(message, UnknownFields::Refuse).unwrap_err().decode_frame().unwrap();
        let Some(v1::server_frame::Frame::Reply(reply)) = reply.frame else { panic!("{reply:?}") };
        let Some(v1::reply::Result::Error(error)) = reply.result else { panic!("{reply:?}") };
        assert_eq!((reply.request_id.as_str(), error.reason.as_str()), (request_id, reason));
    }

    #[test]
    fn a_bad_frame_is_answered_under_its_id() {
        check(Form::Json, br#"{"requestId":"7","hello":5}"#, "7", "malformed_json");
        check(Form::Json, b"{", "", "malformed_json");
        check(Form::Json, br#"{"requestId":"7","hello":{"device":"x"}}"#, "7", "unknown_field");
        // Field 1 "7", then a field 2 that is longer than the message.
        check(Form::Binary, b"\x0a\x017\x12\x09", "7", "malformed_frame");
        check(Form::Binary, b"\xff", "", "malformed_frame");
        let long = format!(r#"{{"requestId":"{}","hello":5}}"#, "x".repeat(65));
        check(Form::Json, long.as_bytes(), "", "malformed_json");
    }

    /// The protocol frames in these bytes: opcode, whether it is the last fragment, payload.
    fn pieces(framed: &[u8]) -> Vec<(OpCode, bool, Vec<u8>)> {
        let (mut pieces, mut framed) = (Vec::new(), Cursor::new(framed));
        while let Some((header, length)) = FrameHeader::parse(&mut framed).unwrap() {
            let from = framed.position() as usize;
            let to = from + length as usize;
            pieces.push((header.opcode, header.is_final, framed.get_ref()[from..to].to_vec()));
            framed.set_position(to as u64);
        }
        pieces
    }

    fn welcome(session_id: &str) -> SharedFrame {
        let welcome = v1::Welcome { session_id: session_id.to_owned(), ..Default::default() };
        v1::server_frame::Frame::Welcome(welcome).into()
    }

    #[test]
    fn a_small_frame_is_one_message() {
        let frame = welcome("s");
        let text = r#"{"welcome":{"sessionId":"s"}}"#.as_bytes().to_vec();
        assert_eq!(pieces(&Form::Json.framed(&frame)), [(OpCode::Data(Data::Text), true, text)]);
        let empty = pieces(&Form::Binary.framed(&SharedFrame::default()));
        assert_eq!(empty, [(OpCode::Data(Data::Binary), true, vec![])]);
    }

    #[test]
    fn a_large_frame_goes_out_in_fragments() {
        let frame = welcome(&"é".repeat(FRAGMENT_BYTES));
        let sent = pieces(&Form::Binary.framed(&frame));
        let opcodes: Vec<_> = sent.iter().map(|(opcode, is_final, _)| (*opcode, *is_final)).collect();
        let (first, next) = (OpCode::Data(Data::Binary), OpCode::Data(Data::Continue));
        assert_eq!(opcodes, [(first, false), (next, false), (next, true)]);
        let joined: Vec<u8> = sent.into_iter().flat_map(|(_, _, piece)| piece).collect();
        assert_eq!(joined, *frame.proto());
    }

    #[test]
    fn sent_frames_are_shared_not_copied() {
        let meters = Meters::new();
        let (one, two) = (welcome("1"), welcome("2"));
        let run = Delivery::Run(SharedRun::new([one.clone(), two]));
        for form in [Form::Json, Form::Binary] {
            let sent = |delivery: &Delivery| form.delivered(delivery, &meters).clone();
            let alone = Delivery::Frame(one.clone());
            assert_eq!(sent(&alone).as_ptr(), sent(&alone.clone()).as_ptr());
            assert_eq!(sent(&run).as_ptr(), sent(&run.clone()).as_ptr());
            assert_eq!(pieces(&sent(&run)).len(), 2, "a message for each frame");
            assert_eq!(pieces(&sent(&run))[..1], pieces(&sent(&alone)));
        }
    }
}
