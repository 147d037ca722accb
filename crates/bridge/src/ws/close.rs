use parlance_proto::error::Failure;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tonic::Code;

use super::socket::FLOODED;
use crate::limits::{CLOSE_REASON_BYTES, MAX_MESSAGE_BYTES};

/// How a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The peer sent a close; only the answer is missing.
    ByPeer,
    /// The peer is gone.
    Gone,
    /// This side closes, with or without an error frame first.
    ByUs(Option<Failure>, CloseFrame),
}

impl Ending {
    /// For the log: the close code and reason, without any content.
    pub(super) fn describe(&self) -> (u16, &str) {
        match self {
            Self::ByPeer => (CloseCode::Normal.into(), "by_peer"),
            Self::Gone => (CloseCode::Abnormal.into(), "gone"),
            Self::ByUs(_, close) => (close.code.into(), &close.reason),
        }
    }

    /// The backend's stream has ended, possibly after `draining`.
    pub(super) fn clean(draining: bool) -> Self {
        let (code, reason) = if draining { (CloseCode::Away, "draining") } else { (CloseCode::Normal, "") };
        Self::ByUs(None, frame(code, reason))
    }

    /// Ends with an error, whose code determines the close code.
    pub(super) fn failed(failure: Failure) -> Self {
        let close = frame(close_code(failure.code), &failure.reason);
        Self::ByUs(Some(failure), close)
    }

    /// Reading failed.
    pub(super) fn of_error(error: &Error) -> Self {
        let (code, reason, message) = match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Self::Gone,
            Error::Utf8(_) => (CloseCode::Invalid, "not_utf8", "a text message must be utf-8".to_owned()),
            Error::Capacity(_) => {
                (CloseCode::Size, "frame_too_large", format!("a message may have {MAX_MESSAGE_BYTES} bytes"))
            }
            Error::Protocol(violation) => {
                (CloseCode::Protocol, "protocol_error", violation.to_string().to_lowercase())
            }
            Error::Io(error) if error.kind() == FLOODED => {
                metrics::counter!("parlance_floods_total").increment(1);
                let message = "too many pings, pongs or small fragments";
                let failure = Failure::new(Code::ResourceExhausted, "too_many_bad_frames", message);
                return Self::failed(failure);
            }
            _ => return Self::Gone,
        };
        Self::ByUs(Some(Failure::new(Code::InvalidArgument, reason, message)), frame(code, reason))
    }
}

/// 1001 tells the client to reconnect, 1011 to do so later, 1008 not to without a change.
fn close_code(code: Code) -> CloseCode {
    match code {
        Code::Ok => CloseCode::Normal,
        Code::Unavailable | Code::Cancelled | Code::Aborted => CloseCode::Away,
        Code::Internal | Code::Unknown | Code::DataLoss => CloseCode::Error,
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unimplemented => CloseCode::Policy,
    }
}

fn frame(code: CloseCode, reason: &str) -> CloseFrame {
    // Zero is a boundary of every string, so there is one.
    let end = (0..=CLOSE_REASON_BYTES).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or_default();
    CloseFrame { code, reason: reason[..end].into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_closes_as_documented() {
        let expected = [
            (1000, vec![Code::Ok]),
            (1001, vec![Code::Unavailable, Code::Cancelled, Code::Aborted]),
            (1011, vec![Code::Internal, Code::Unknown, Code::DataLoss]),
            (1008, vec![Code::Unauthenticated, Code::PermissionDenied, Code::ResourceExhausted]),
            (1008, vec![Code::DeadlineExceeded, Code::InvalidArgument, Code::OutOfRange]),
        ];
        for (number, codes) in expected {
            for code in codes {
                assert_eq!(u16::from(close_code(code)), number, "{code:?}");
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = frame(CloseCode::Policy, &"é".repeat(100));
        assert_eq!(close.reason, "é".repeat(61));
    }
}
