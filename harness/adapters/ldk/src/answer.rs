//! What an operation of this crate returns.

use lnconform_protocol::{Answer, OpError, Unsupported};
use serde_json::Value;

/// Why an operation has no result.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It refused, or failed.
    Error(OpError),
    /// LDK lacks it, for this input at least.
    Unsupported(String),
}

impl From<OpError> for Fail {
    fn from(e: OpError) -> Self {
        Fail::Error(e)
    }
}

pub(crate) type Outcome = Result<Value, Fail>;

/// The protocol's form of an outcome.
pub(crate) fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Ok(value) => Answer::Result(value),
        Err(Fail::Error(e)) => Answer::Error(e),
        Err(Fail::Unsupported(reason)) => Answer::Unsupported(Unsupported {
            reason,
            issue: None,
        }),
    }
}
