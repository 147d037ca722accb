//! Interprets errors of the service: whether the write may have happened, whether a retry helps, and what to report
//! to the operator.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::CancellationReason;

use super::units;
use crate::StoreError;

type RawResponse = aws_sdk_dynamodb::config::http::HttpResponse;
pub(super) type CallError<E> = SdkError<E, RawResponse>;

/// Codes for temporary unavailability. The client has already retried them.
const BUSY: [&str; 8] = [
    "ProvisionedThroughputExceededException",
    "ProvisionedThroughputExceeded",
    "ThrottlingException",
    "ThrottlingError",
    "RequestLimitExceeded",
    "LimitExceededException",
    "TransactionInProgressException",
    "InternalServerError",
];

/// Codes for a conflict with a transaction on the same item.
const CONFLICT: [&str; 2] = ["TransactionConflictException", "TransactionConflict"];

/// Converts the error of a call. `operation` is for the operator.
pub(super) fn store_error<E>(operation: &'static str, error: CallError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let code = service.err().code().unwrap_or_default();
        if BUSY.contains(&code) || CONFLICT.contains(&code) || service.raw().status().is_server_error() {
            tracing::debug!(operation, code, "the store is busy");
            units::failed(operation, "busy");
            return StoreError::Overloaded;
        }
        let message = service.err().message().unwrap_or_default();
        units::failed(operation, "refused");
        return StoreError::Refused(format!("{operation}: {code} {message}"));
    }
    let reason = with_causes(&error);
    tracing::warn!(operation, reason, "no answer from the store");
    units::failed(operation, "unreachable");
    StoreError::Unreachable(format!("{operation}: {reason}"))
}

/// The error and its causes in one line, without repetitions.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    for text in causes.map(ToString::to_string) {
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Whether a transaction was in progress on the item: the write did not happen, and a retry helps.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &CallError<E>) -> bool {
    error.as_service_error().and_then(E::code).is_some_and(|code| CONFLICT.contains(&code))
}

/// Why a transaction was cancelled, from the reasons of its items.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Another one was in progress on an item, or an item is throttled: retry.
    Busy,
    /// The conditions of these items did not hold.
    Conditions(Vec<usize>),
    /// Anything else.
    Other(String),
}

impl Cancelled {
    pub(super) fn from(reasons: &[CancellationReason]) -> Self {
        let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
        let failed = |(at, reason)| (code(reason) == "ConditionalCheckFailed").then_some(at);
        let conditions: Vec<usize> = reasons.iter().enumerate().filter_map(failed).collect();
        let busy = |code: &str| BUSY.contains(&code) || CONFLICT.contains(&code);
        // The first item is decisive. While another transaction is in progress on it, later failures may be due to
        // that one: a retry finds out.
        let undecided = reasons.first().is_some_and(|first| busy(&code(first)));
        if !conditions.is_empty() {
            return if undecided { Self::Busy } else { Self::Conditions(conditions) };
        }
        match reasons.iter().map(code).find(|code| code != "None" && !busy(code)) {
            Some(other) => Self::Other(other),
            None => Self::Busy,
        }
    }
}

/// Watches the attempts of one write: may any of them have been carried out? A throttle after a lost answer does not
/// rule that out.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<AtomicBool>);

impl Attempts {
    /// Whether the write may have happened, or may still happen.
    pub(super) fn unclear(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Whether the outcome of a call that ended in `error` is unknown.
    pub(super) fn outcome_unknown<E>(&self, error: &CallError<E>) -> bool {
        let answered = matches!(error, SdkError::ServiceError(service)
            if !service.raw().status().is_server_error());
        // Credentials or the request itself were invalid: nothing was sent.
        let unsent = matches!(error, SdkError::ConstructionFailure(_));
        self.unclear() || !(answered || unsent)
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let failed = context.output_or_error().is_some_and(|outcome| outcome.is_err());
        let refused = context.response().is_some_and(|response| response.status().is_client_error());
        if failed && !refused {
            self.0.store(true, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[&str], expected: Cancelled) {
        let reason = |code: &&str| CancellationReason::builder().code(*code).build();
        let reasons: Vec<CancellationReason> = codes.iter().map(reason).collect();
        assert_eq!(Cancelled::from(&reasons), expected, "{codes:?}");
    }

    #[test]
    fn causes_are_reported_in_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Caused(&'static str, #[source] Option<Box<Self>>);

        let refused = Caused("connection refused", None);
        let connect = Caused("connect: connection refused", Some(Box::new(refused)));
        let dispatch = Caused("dispatch failure", Some(Box::new(connect)));
        assert_eq!(with_causes(&dispatch), "dispatch failure: connect: connection refused");
    }

    #[test]
    fn failed_condition_takes_precedence_over_later_conflict() {
        check(&["ConditionalCheckFailed", "TransactionConflict"], Cancelled::Conditions(vec![0]));
        check(&["TransactionConflict", "ConditionalCheckFailed"], Cancelled::Busy);
        check(&["ThrottlingError", "None", "ConditionalCheckFailed"], Cancelled::Busy);
        check(&["None", "TransactionConflict"], Cancelled::Busy);
        check(&["None", "ThrottlingError", "None"], Cancelled::Busy);
        check(&["ValidationError", "TransactionConflict"], Cancelled::Other("ValidationError".into()));
    }
}
