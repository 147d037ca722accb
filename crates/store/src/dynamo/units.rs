//! What DynamoDB charges, from its own `ConsumedCapacity`. By operation, never by room or user.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use metrics::{counter, describe_counter};

const READ: &str = "parlance_dynamodb_read_units_total";
const WRITTEN: &str = "parlance_dynamodb_write_units_total";
const FAILED: &str = "parlance_dynamodb_failures_total";

/// Describes the counters.
pub(super) fn describe() {
    describe_counter!(READ, "capacity units of reads, by operation of the store");
    describe_counter!(
        WRITTEN,
        "capacity units of writes, by operation of the store, including failed conditions"
    );
    describe_counter!(FAILED, "calls that failed after all tries: busy, refused, unreachable");
}

/// A call that failed for good, after all retries.
pub(super) fn failed(operation: &'static str, why: &'static str) {
    counter!(FAILED, "operation" => operation, "why" => why).increment(1);
}

/// Read units of an operation; halves are rounded up.
pub(super) fn read<'a>(operation: &'static str, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    let units = total(consumed);
    counter!(READ, "operation" => operation).increment(units);
}

/// Write units of an operation. Transactional writes count twice.
pub(super) fn written<'a>(operation: &'static str, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
    increment_written(operation, total(consumed));
}

/// A write whose condition failed. It is charged like a successful one, but the error does not contain the amount:
/// estimated from the size of the item.
pub(super) fn refused(operation: &'static str, bytes: usize) {
    increment_written(operation, bytes.div_ceil(1024).max(1) as u64);
}

fn increment_written(operation: &'static str, units: u64) {
    counter!(WRITTEN, "operation" => operation).increment(units);
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "units are small and not negative"
)]
fn total<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let units: f64 = consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).sum();
    units.ceil() as u64
}
