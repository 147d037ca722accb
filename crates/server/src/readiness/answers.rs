use std::time::Duration;

use crate::limits::{BUSY_FOR, UNANSWERED};
use parlance_store::StoreError;

/// The outcome of a request to the store.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Answered,
    /// It is overloaded, or reports an internal failure.
    Busy,
    /// Any other error, or no answer.
    Failed(String),
}

impl From<Result<(), StoreError>> for Answer {
    fn from(result: Result<(), StoreError>) -> Self {
        match result {
            Ok(()) => Self::Answered,
            Err(StoreError::Overloaded) => Self::Busy,
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Judges one of the store's tables by its answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    failed: u32,
    /// How long it has been busy without a success.
    busy: Duration,
    missing: Option<String>,
}

impl Answers {
    /// Counts an answer that arrived `elapsed` after the last one. Returns why the table counts as missing, if so.
    pub(super) fn count(&mut self, answer: Answer, elapsed: Duration) -> Option<&str> {
        match answer {
            Answer::Answered => *self = Self::default(),
            Answer::Busy => {
                self.busy += elapsed;
                if self.busy >= BUSY_FOR {
                    let seconds = BUSY_FOR.as_secs();
                    self.missing = Some(format!("overloaded, without one answer for {seconds} seconds"));
                }
            }
            Answer::Failed(why) => {
                self.failed += 1;
                self.busy += elapsed;
                if self.failed >= UNANSWERED {
                    self.missing = Some(why);
                }
            }
        }
        self.missing.as_deref()
    }

    /// Whether all recent requests were answered.
    pub(super) fn is_well(&self) -> bool {
        self.failed == 0 && self.busy == Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::Answer::{Answered, Busy};
    use super::*;

    fn failed() -> Answer {
        Answer::Failed("no answer".into())
    }

    /// Applies these answers, a second apart, and checks whether the table is missing then.
    fn check(answers: &[(usize, Answer)], missing: bool) {
        let mut table = Answers::default();
        for (times, answer) in answers {
            for _ in 0..*times {
                table.count(answer.clone(), Duration::from_secs(1));
            }
        }
        assert_eq!(table.missing.is_some(), missing, "{answers:?}");
    }

    #[test]
    fn two_failures_in_a_row_show() {
        check(&[(1, failed())], false);
        check(&[(1, failed()), (1, Answered), (1, failed())], false);
        check(&[(2, failed())], true);
        check(&[(2, failed()), (1, Answered)], false);
    }

    #[test]
    fn busy_without_one_success_shows_after_a_while() {
        check(&[(9, Busy)], false);
        check(&[(10, Busy)], true);
        check(&[(9, Busy), (1, Answered), (9, Busy)], false);
        check(&[(10, Busy), (1, Answered)], false);
    }
}
