//! The service's clock, read from its answers.

use super::limits::ATTEMPT_TIMEOUT;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use parlance_core::{ClockMonitor, ClockOffset, TimeSource, Timestamp};

/// Resolution of the `Date` header.
const RESOLUTION_MS: u64 = 1_000; // format

/// Compares the process's clock with the `Date` of answers, about once a second.
#[derive(Debug)]
pub(super) struct AnswerDates {
    monitor: Arc<ClockMonitor>,
    /// The second of the last comparison, by the process's clock.
    compared: AtomicU64,
}

impl AnswerDates {
    pub(super) fn new(monitor: Arc<ClockMonitor>) -> Self {
        Self { monitor, compared: AtomicU64::new(0) }
    }

    fn compare(&self, date: &str, answered: Timestamp) {
        let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate) else { return };
        let Ok(server) = date.to_millis().map(u64::try_from) else { return };
        // No answer is older than the timeout of an attempt.
        let sent = Timestamp(answered.0.saturating_sub(ATTEMPT_TIMEOUT.as_millis() as u64));
        let server = Timestamp(server.unwrap_or_default());
        self.monitor.record(TimeSource::Store, ClockOffset::measure(sent, answered, server, RESOLUTION_MS));
    }
}

impl Intercept for AnswerDates {
    fn name(&self) -> &'static str {
        "answer dates"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answered = self.monitor.uncorrected();
        let second = answered.0 / 1_000;
        if self.compared.swap(second, Ordering::Relaxed) != second
            && let Some(date) = context.response().headers().get("date")
        {
            self.compare(date, answered);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::SystemClock;

    use super::*;

    #[test]
    fn dates_are_compared_with_what_an_answer_may_take() {
        let check = |date: &str, answered: u64, offset: Option<i64>| {
            let monitor = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
            AnswerDates::new(monitor.clone()).compare(date, Timestamp(answered));
            assert_eq!(monitor.offset_ms(TimeSource::Store), offset, "{date} {answered}");
        };
        let date = "Fri, 15 Jan 2027 08:00:00 GMT";
        check(date, 1_800_000_000_000, Some(0));
        // Every answer arrives within the attempt, and its date has a resolution of a second.
        check(date, 1_800_000_002_500, Some(0));
        check(date, 1_799_999_999_500, Some(-499));
        check(date, 1_800_000_600_000, Some(596_499));
        check("yesterday", 1_800_000_000_000, None);
    }
}
