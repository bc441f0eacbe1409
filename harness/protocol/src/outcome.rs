//! What an operation of an adapter returns before it is an answer.

use crate::{Answer, OpError, Unsupported};
use serde_json::Value;

/// Why an operation has no result.
#[derive(Debug)]
pub enum Fail {
    /// It refused, or failed.
    Error(OpError),
    /// The implementation lacks it, for this input at least; the reason in words.
    Unsupported(String),
}

impl From<OpError> for Fail {
    fn from(e: OpError) -> Self {
        Fail::Error(e)
    }
}

/// The result of an operation.
pub type Outcome = Result<Value, Fail>;

/// The protocol's form of an outcome.
pub fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Ok(value) => Answer::Result(value),
        Err(Fail::Error(e)) => Answer::Error(e),
        Err(Fail::Unsupported(reason)) => Answer::Unsupported(Unsupported {
            reason,
            issue: None,
        }),
    }
}
