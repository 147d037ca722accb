//! Answers that the emulator never gives.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Fault;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer of the service.
pub(super) fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/x-amz-json-1.0");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}

/// The service's answer to a request that it rejects. `None` for faults without an answer.
pub(super) fn refusal(fault: Fault, operation: &str, request: &[u8]) -> Option<Answer> {
    let error = |status, kind: &str, message: &str| {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
        Some(answer(status, &json!({ "__type": kind, "message": message })))
    };
    let transaction = operation.starts_with("Transact");
    match fault {
        Fault::Throttle if transaction => Some(cancelled(request, "ThrottlingError")),
        Fault::Throttle => error(
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
            "the level of configured throughput for the table was exceeded",
        ),
        Fault::Conflict if transaction => Some(cancelled(request, "TransactionConflict")),
        Fault::Conflict => error(
            StatusCode::BAD_REQUEST,
            "TransactionConflictException",
            "a transaction is under way on the item",
        ),
        Fault::ServerError => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "internal server error")
        }
        Fault::Unavailable => {
            error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "service unavailable")
        }
        Fault::LoseAnswer | Fault::Cut | Fault::Delay(_) | Fault::PartialBatch => None,
    }
}

/// A transaction cancelled because of its last item.
fn cancelled(request: &[u8], reason: &str) -> Answer {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let items = request["TransactItems"].as_array().map_or(1, Vec::len);
    let mut reasons = vec![json!({ "Code": "None" }); items];
    if let Some(last) = reasons.last_mut() {
        *last = json!({ "Code": reason, "Message": "not now" });
    }
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons [{reason}]"),
        "CancellationReasons": reasons,
    });
    answer(StatusCode::BAD_REQUEST, &body)
}

/// Splits a batch: the part to request, and the keys to return as unprocessed. `None` if it cannot be split.
pub(super) fn split_batch(request: &[u8]) -> Option<(Bytes, Value)> {
    let mut request: Value = serde_json::from_slice(request).ok()?;
    let mut left = serde_json::Map::new();
    for (table, wanted) in request["RequestItems"].as_object_mut()? {
        let keys = wanted["Keys"].as_array_mut()?;
        let rest = keys.split_off(keys.len().div_ceil(2));
        if !rest.is_empty() {
            let mut unprocessed = wanted.clone();
            unprocessed["Keys"] = Value::Array(rest);
            left.insert(table.clone(), unprocessed);
        }
    }
    (!left.is_empty()).then(|| (Bytes::from(request.to_string()), Value::Object(left)))
}

/// Adds unprocessed keys to the answer for the rest of a batch.
pub(super) fn with_unprocessed(body: &[u8], left: Value) -> Option<Answer> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    body["UnprocessedKeys"] = left;
    Some(answer(StatusCode::OK, &body))
}
