use std::fmt::Debug;

use parlance_proto::error::Failure;
use tonic::{Code, Status};

/// An error of an operation.
pub trait Refused {
    /// In the contract's form.
    fn failure(self) -> Failure;
}

impl Refused for Failure {
    fn failure(self) -> Failure {
        self
    }
}

impl Refused for Status {
    fn failure(self) -> Failure {
        Failure::from_status(&self)
    }
}

/// The code and the stable reason of an operation that must have failed.
pub fn refused<T: Debug, E: Refused>(result: Result<T, E>) -> (Code, String) {
    match result {
        Ok(answer) => panic!("was not refused: {answer:?}"),
        Err(error) => {
            let failure = error.failure();
            (failure.code, failure.reason)
        }
    }
}
