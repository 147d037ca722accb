use std::collections::BTreeMap;

use serde_json::Value;

/// Statistics of a proxy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Requests by operation, including faulty ones.
    pub requests: BTreeMap<String, u64>,
    /// Faults, by operation and [`super::Fault::name`]. Answers from the past are named `past`.
    pub struck: BTreeMap<(String, &'static str), u64>,
    /// Capacity units by operation, from the answers.
    pub units: BTreeMap<String, f64>,
    /// Maximum number of concurrent requests.
    pub most_at_once: usize,
    /// Requests in flight.
    pub(super) under_way: usize,
}

impl Tally {
    /// Requests of an operation so far.
    pub fn requests_of(&self, operation: &str) -> u64 {
        self.requests.get(operation).copied().unwrap_or(0)
    }

    /// How often the fault of this name was applied.
    pub fn struck_by(&self, name: &str) -> u64 {
        self.struck.iter().filter(|((_, fault), _)| *fault == name).map(|(_, count)| count).sum()
    }

    pub(super) fn request(&mut self, operation: &str) {
        *self.requests.entry(operation.to_owned()).or_default() += 1;
        self.under_way += 1;
        self.most_at_once = self.most_at_once.max(self.under_way);
    }

    pub(super) fn ended(&mut self) {
        self.under_way -= 1;
    }

    pub(super) fn struck(&mut self, operation: &str, name: &'static str) {
        *self.struck.entry((operation.to_owned(), name)).or_default() += 1;
    }

    pub(super) fn answer(&mut self, operation: &str, body: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else { return };
        let of = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or(0.0);
        let units = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().map(of).sum(),
            one => of(one),
        };
        *self.units.entry(operation.to_owned()).or_default() += units;
    }
}
