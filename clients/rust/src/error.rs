use std::error::Error;

use parlance_client_core::{Code, Error as ClientError, Failure};
use tonic::Status;

/// Converts a gRPC status. A status sent by a server has no source; one with a source was
/// created here, from a broken connection.
pub(crate) fn from_status(status: &Status) -> ClientError {
    if let Some(source) = Error::source(status) {
        return ClientError::Io(innermost(source));
    }
    let read = parlance_proto::error::Failure::from_status(status);
    // Parlance adds details to every status; one without them comes from a proxy, or from
    // this library for an invalid answer.
    let is_named = !status.details().is_empty();
    Failure {
        code: Code::from(i32::from(read.code)),
        reason: if is_named { read.reason } else { String::new() },
        message: read.message,
        fields: read.fields,
        retry_after: read.retry_after,
        metadata: read.metadata,
    }
    .into()
}

/// A token with characters that are not allowed in a header: no server would accept it.
pub(crate) fn unusable_token() -> ClientError {
    let message = "the token holds characters that a header may not";
    Failure::new(Code::Unauthenticated, "token_invalid", message).into()
}

/// The innermost cause, which names what happened ("connection refused").
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_details_names_no_reason_of_the_contract() {
        let bare = from_status(&Status::unauthenticated("mapped from HTTP status code 401"));
        assert!(!bare.refuses_identity() && bare.failure().is_some());
        let ours = parlance_proto::error::Failure::new(tonic::Code::Unauthenticated, "token_expired", "");
        assert!(from_status(&ours.into()).refuses_identity());
    }
}
