//! JSON Schema of the protocol, generated from the types.

use crate::message::{Hello, HelloParams, Request, Response};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// The four shapes a line of the protocol can have.
#[derive(JsonSchema)]
#[schemars(title = "lnconform adapter protocol, version 1")]
#[allow(dead_code)]
struct Protocol {
    /// A line the harness writes.
    request: Request,
    /// A line the adapter writes.
    response: Response,
    /// `params` of the request `hello`.
    hello_params: HelloParams,
    /// `result` of the answer to `hello`.
    hello_result: Hello,
}

/// The schema that `lnconform schema adapter` prints; `docs/schema/adapter.json` is its copy.
pub fn adapter() -> Value {
    schema_for!(Protocol).to_value()
}
