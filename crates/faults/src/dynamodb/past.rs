use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

/// Past answers, by operation and request.
#[derive(Debug, Default)]
pub(super) struct Past(Mutex<HashMap<(String, Bytes), Remembered>>);

#[derive(Debug)]
struct Remembered {
    at: Instant,
    body: Bytes,
}

impl Past {
    /// The answer to an inconsistent read: what it found within `age`, and nothing the first time. `None` if that is
    /// too old now.
    pub(super) fn answer(&self, operation: &str, request: &Bytes, age: Duration) -> Option<Bytes> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (operation.to_owned(), request.clone());
        let remembered = answers.entry(key).or_insert_with(|| Remembered {
            at: Instant::now(),
            body: Bytes::from(nothing(operation).to_string()),
        });
        (remembered.at.elapsed() < age).then(|| remembered.body.clone())
    }

    /// Records the current answer to a request.
    pub(super) fn remember(&self, operation: &str, request: &Bytes, body: Bytes) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (operation.to_owned(), request.clone());
        answers.insert(key, Remembered { at: Instant::now(), body });
    }
}

/// The answer before anything was written.
fn nothing(operation: &str) -> Value {
    match operation {
        "GetItem" => json!({}),
        "BatchGetItem" => json!({ "Responses": {}, "UnprocessedKeys": {} }),
        _ => json!({ "Items": [], "Count": 0, "ScannedCount": 0 }),
    }
}

/// Whether a request may be answered from the past: a read that does not require consistency.
pub(super) fn may_be_stale(operation: &str, request: &[u8]) -> bool {
    let read = matches!(operation, "GetItem" | "Query" | "Scan" | "BatchGetItem");
    read && serde_json::from_slice::<Value>(request).is_ok_and(|request| {
        let inconsistent = |wanted: &Value| wanted["ConsistentRead"] != true;
        match (operation, request["RequestItems"].as_object()) {
            ("BatchGetItem", Some(tables)) => tables.values().any(inconsistent),
            _ => inconsistent(&request),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, request: &Value, expected: bool) {
        assert_eq!(may_be_stale(operation, request.to_string().as_bytes()), expected, "{operation}");
    }

    #[test]
    fn only_consistent_reads_are_consistent() {
        check("GetItem", &json!({ "ConsistentRead": true }), false);
        check("GetItem", &json!({}), true);
        check("Query", &json!({ "ConsistentRead": false }), true);
        check("PutItem", &json!({}), false);
        check("TransactGetItems", &json!({}), false);
        check("BatchGetItem", &json!({ "RequestItems": { "t": { "ConsistentRead": true } } }), false);
        check("BatchGetItem", &json!({ "RequestItems": { "t": {} } }), true);
    }

    #[test]
    fn stale_reads_are_empty_first_then_outdated() {
        let (past, request, age) = (Past::default(), Bytes::from("{}"), Duration::from_secs(3_600));
        assert_eq!(past.answer("GetItem", &request, age), Some(Bytes::from("{}")));
        past.remember("GetItem", &request, Bytes::from("now"));
        assert_eq!(past.answer("GetItem", &request, age), Some(Bytes::from("now")));
        assert_eq!(past.answer("GetItem", &request, Duration::ZERO), None);
    }
}
