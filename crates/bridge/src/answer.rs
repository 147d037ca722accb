//! HTTP responses: JSON, and failures as `{"error": ...}` with the status that `google.rpc.Code` documents for each
//! code.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use parlance_proto::error::Failure;
use parlance_proto::{json, v1};
use tonic::{Code, Status};

use crate::limits;

/// A rejected request.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    failure: Box<Failure>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// With a status that the failure's code does not determine.
    pub(crate) fn new(status: StatusCode, failure: Failure) -> Self {
        Self { status, failure: Box::new(failure), headers: Vec::new() }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(http_status(failure.code), failure)
    }
}

impl From<json::Error> for Refusal {
    fn from(error: json::Error) -> Self {
        Failure::from(error).into()
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Failure::from_status(&status).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after = self.failure.retry_after.unwrap_or(limits::RETRY_AFTER);
        let error = json::typed_to_json("parlance.v1.Error", &v1::Error::from(*self.failure));
        let error = error.unwrap_or_else(|_| br#"{"code":13,"reason":"internal"}"#.to_vec());
        let body = [br#"{"error":"#, error.as_slice(), b"}"].concat();
        let mut response = json_response(self.status, body);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                // HTTP only has whole seconds; the body has the exact value.
                let seconds = retry_after.as_millis().div_ceil(1000).max(1);
                headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
            }
            _ => {}
        }
        headers.extend(self.headers);
        response
    }
}

/// A JSON response. Never cached: it depends on the caller and the time.
pub(crate) fn json_response(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The status documented in `google/rpc/code.proto`.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // "Client closed request" is not a registered status.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_code_has_the_documented_status() {
        let expected = [
            (Code::Cancelled, 499),
            (Code::Unknown, 500),
            (Code::InvalidArgument, 400),
            (Code::DeadlineExceeded, 504),
            (Code::NotFound, 404),
            (Code::AlreadyExists, 409),
            (Code::PermissionDenied, 403),
            (Code::ResourceExhausted, 429),
            (Code::FailedPrecondition, 400),
            (Code::Aborted, 409),
            (Code::OutOfRange, 400),
            (Code::Unimplemented, 501),
            (Code::Internal, 500),
            (Code::Unavailable, 503),
            (Code::DataLoss, 500),
            (Code::Unauthenticated, 401),
        ];
        for (code, status) in expected {
            assert_eq!(http_status(code).as_u16(), status, "{code:?}");
        }
    }

    #[test]
    fn a_delay_is_rounded_up_to_seconds() {
        let retry_after = |failure: Failure| {
            let response = Refusal::from(failure).into_response();
            response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        let busy = Failure::new(Code::ResourceExhausted, "busy", "busy");
        assert_eq!(retry_after(busy.clone()).as_deref(), Some("1"));
        assert_eq!(retry_after(busy.clone().retry_after(Duration::ZERO)).as_deref(), Some("1"));
        assert_eq!(retry_after(busy.retry_after(Duration::from_millis(2001))).as_deref(), Some("3"));
        assert_eq!(retry_after(Failure::field("a", "b").retry_after(Duration::ZERO)), None);
    }
}
