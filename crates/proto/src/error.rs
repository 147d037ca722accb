//! The common form of failures for all transports: a gRPC status with details, or [`v1::Error`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{json, v1};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "parlance";

/// Why an operation failed, in terms of the contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The gRPC code.
    pub code: Code,
    /// The stable reason.
    pub reason: String,
    /// For developers.
    pub message: String,
    /// Invalid fields: path and description.
    pub fields: Vec<(String, String)>,
    /// How long to wait before a retry.
    pub retry_after: Option<Duration>,
    /// Metadata of the reason.
    pub metadata: BTreeMap<String, String>,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
            metadata: BTreeMap::new(),
        }
    }

    /// An invalid field of the request.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let mut failure =
            Self::new(Code::InvalidArgument, "invalid_field", format!("{field}: {description}"));
        failure.fields.push((field, description));
        failure
    }

    /// Sets a delay for a retry.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Converts a status, our own or another server's.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut failure = Self::new(status.code(), default_reason(status.code()), status.message());
        if let Some(info) = details.error_info() {
            failure.reason.clone_from(&info.reason);
            failure.metadata = info.metadata.clone().into_iter().collect();
        }
        if let Some(request) = details.bad_request() {
            let fields = request.field_violations.iter();
            failure.fields = fields.map(|v| (v.field.clone(), v.description.clone())).collect();
        }
        failure.retry_after = details.retry_info().and_then(|info| info.retry_delay);
        failure
    }
}

/// The status with details: one made by the transport, for example for a message that is too large, gets a reason
/// like any other.
pub fn with_details(status: Status) -> Status {
    let is_plain = status.code() != Code::Ok && status.details().is_empty();
    if is_plain { Failure::from_status(&status).into() } else { status }
}

/// The reason for a status without one.
fn default_reason(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<_, _> = failure.metadata.into_iter().collect();
        details.set_error_info(failure.reason, DOMAIN, metadata);
        for (field, description) in failure.fields {
            details.add_bad_request_violation(field, description);
        }
        if let Some(delay) = failure.retry_after {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(failure.code, failure.message, details)
    }
}

impl From<json::Error> for Failure {
    fn from(error: json::Error) -> Self {
        let code = if error.reason == json::INTERNAL { Code::Internal } else { Code::InvalidArgument };
        let mut failure = Self::new(code, error.reason, error.message);
        failure.fields.extend(error.field);
        failure
    }
}

impl From<Failure> for v1::Error {
    fn from(failure: Failure) -> Self {
        let fields = failure.fields.into_iter();
        Self {
            code: failure.code.into(),
            message: failure.message,
            reason: failure.reason,
            field_violations: fields
                .map(|(field, description)| v1::FieldViolation { field, description })
                .collect(),
            retry_delay: failure.retry_after.and_then(|delay| delay.try_into().ok()),
            metadata: failure.metadata.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_round_trips_through_status() {
        let failure = Failure::field("text", "must not be blank")
            .retry_after(Duration::from_millis(1500))
            .with("room_id", "r1");
        let status: Status = failure.clone().into();
        assert_eq!(Failure::from_status(&status), failure);
    }

    #[test]
    fn details_are_added_where_there_are_none() {
        let added = with_details(Status::out_of_range("too large"));
        assert_eq!(added.get_error_details().error_info().unwrap().reason, "out_of_range");
        let status: Status = Failure::new(Code::NotFound, "room_not_found", "no room").into();
        let details = status.details().to_vec();
        assert_eq!(with_details(status).details(), details);
        assert!(with_details(Status::ok("")).details().is_empty());
    }

    #[test]
    fn a_foreign_status_gets_the_reason_of_its_code() {
        let failure = Failure::from_status(&Status::out_of_range("too large"));
        assert_eq!((failure.code, failure.reason.as_str()), (Code::OutOfRange, "out_of_range"));
    }
}
