//! Requests, answers and the `hello` exchange.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// One request: `{"id": 7, "op": "amp.child", "params": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Drawn at random below 2^53; the answer carries it back.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub id: u64,
    /// The operation's name, such as `bolt12.offer.decode`.
    pub op: String,
    /// The operation's parameters; absent means none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub params: Value,
}

fn is_empty(params: &Value) -> bool {
    match params {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// One answer: the request's id and exactly one of `result`, `error` and `unsupported`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// The id of the request that is answered.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub id: u64,
    /// What was answered.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What an adapter answers to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The operation's result, a JSON object (an array for `graph.channels` and `channel.list`).
    Result(Value),
    /// The operation ran and refused its input, or failed.
    Error(OpError),
    /// The implementation lacks the operation, or the dialect asked for.
    Unsupported(Unsupported),
}

/// A structured refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpError {
    /// Which kind of failure.
    pub kind: ErrorKind,
    /// The implementation's own words.
    pub message: String,
    /// Id of the requirement that rejected. The reference always gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// BOLT 4 failure code, flags included (16399 is PERM|15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Index of the hop that failed, 0 for the first, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<u32>,
    /// Failure data, lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// The kinds of [`OpError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Wrong from the bytes alone, signatures included; also a missing or ill-typed param.
    Invalid,
    /// Well formed, but refused by time, state or policy.
    Rejected,
    /// A payment failed; `code` and `hop` say how, where known.
    PaymentFailed,
    /// A deadline inside the adapter ran out.
    Timeout,
    /// A fault of the adapter or of the node it drives.
    Internal,
}

impl ErrorKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::Rejected => "rejected",
            ErrorKind::PaymentFailed => "payment-failed",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        }
    }
}

impl OpError {
    /// An error of `kind` with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            rule: None,
            code: None,
            hop: None,
            data: None,
        }
    }

    /// [`ErrorKind::Invalid`]: wrong from the bytes alone, or a param that is missing or ill-typed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::Rejected`]: well formed, refused by time, state or policy.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// [`ErrorKind::Internal`]: a fault of the adapter or its node.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// [`ErrorKind::Timeout`]: a deadline inside the adapter ran out.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// Names the requirement that rejected.
    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}

/// Why an operation is not available.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsupported {
    /// In words, for the report.
    pub reason: String,
    /// Where the implementation tracks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
}

/// Params of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HelloParams {
    /// Highest protocol version that the harness speaks.
    pub protocol: u32,
    /// Name and version of the harness.
    pub harness: String,
}

/// Result of `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Who answers.
    pub implementation: Implementation,
    /// Highest protocol version the adapter speaks that is not above the one asked.
    pub protocol: u32,
    /// Operations it answers, `hello` and `shutdown` left out.
    pub operations: Vec<String>,
    /// Dialects it speaks, such as `trampoline/pr-836`.
    #[serde(default)]
    pub dialects: Vec<String>,
}

/// Identity of an implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Implementation {
    /// Such as `ldk-node`.
    pub name: String,
    /// The implementation's own version string.
    pub version: String,
    /// Programming language.
    #[serde(default)]
    pub language: String,
    /// Where its source is.
    #[serde(default)]
    pub source: String,
}

/// Why a line is not a request; the adapter notes it on standard error and goes on.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or not an object with an integer `id` and a string `op`.
    #[error("not a request: {0}")]
    Json(#[from] serde_json::Error),
    /// The id is above 2^53.
    #[error("not a request: id {0} is above 2^53")]
    Id(u64),
}

/// Why a line is not an answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResponseError {
    /// The line is not UTF-8.
    #[error("the line is not UTF-8")]
    Utf8,
    /// The line is not JSON.
    #[error("the line is not JSON: {0}")]
    Json(String),
    /// The line is JSON, but not an answer of this protocol.
    #[error("the line is not an answer: {0}")]
    Shape(String),
}

/// Reads one request.
///
/// # Errors
/// [`RequestError`] when the line is not one.
pub fn parse_request(line: &[u8]) -> Result<Request, RequestError> {
    let request: Request = serde_json::from_slice(line)?;
    if request.id > crate::MAX_ID {
        return Err(RequestError::Id(request.id));
    }
    Ok(request)
}

#[derive(Deserialize)]
struct LooseResponse {
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    unsupported: Option<Value>,
}

/// Tells `"result": null` (present) from no `result` at all.
fn present<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(de).map(Some)
}

/// Reads one answer. Unknown keys beside the three are ignored; none or several of the three,
/// a missing or ill-typed id, and a malformed error are [`ResponseError`]s.
///
/// # Errors
/// [`ResponseError`] when the line is not an answer.
pub fn parse_response(line: &[u8]) -> Result<Response, ResponseError> {
    let text = std::str::from_utf8(line).map_err(|_| ResponseError::Utf8)?;
    let loose: LooseResponse = serde_json::from_str(text).map_err(|e| {
        if e.is_data() {
            ResponseError::Shape(e.to_string())
        } else {
            ResponseError::Json(e.to_string())
        }
    })?;
    let id = match loose.id {
        None => return Err(ResponseError::Shape("it has no id".into())),
        Some(v) => v
            .as_u64()
            .ok_or_else(|| ResponseError::Shape(format!("its id is {v}, not a whole number")))?,
    };
    let answer = match (loose.result, loose.error, loose.unsupported) {
        (Some(v), None, None) => Answer::Result(v),
        (None, Some(v), None) => Answer::Error(
            serde_json::from_value(v)
                .map_err(|e| ResponseError::Shape(format!("its error is malformed: {e}")))?,
        ),
        (None, None, Some(v)) => Answer::Unsupported(
            serde_json::from_value(v)
                .map_err(|e| ResponseError::Shape(format!("its unsupported is malformed: {e}")))?,
        ),
        (None, None, None) => {
            return Err(ResponseError::Shape(
                "it has none of result, error and unsupported".into(),
            ));
        }
        _ => {
            return Err(ResponseError::Shape(
                "it has more than one of result, error and unsupported".into(),
            ));
        }
    };
    Ok(Response { id, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_form_is_read_and_written() {
        for (line, answer) in [
            (
                r#"{"id":1,"result":{}}"#,
                Answer::Result(serde_json::json!({})),
            ),
            (
                r#"{"id":1,"error":{"kind":"payment-failed","message":"m","code":16399}}"#,
                Answer::Error(OpError {
                    code: Some(16399),
                    ..OpError::new(ErrorKind::PaymentFailed, "m")
                }),
            ),
            (
                r#"{"id":1,"unsupported":{"reason":"none"}}"#,
                Answer::Unsupported(Unsupported {
                    reason: "none".into(),
                    issue: None,
                }),
            ),
        ] {
            let response = Response { id: 1, answer };
            assert_eq!(parse_response(line.as_bytes()).unwrap(), response);
            assert_eq!(serde_json::to_string(&response).unwrap(), line);
        }
    }

    #[test]
    fn what_is_not_an_answer_says_why() {
        for (line, want) in [
            (&b"\xff"[..], "UTF-8"),
            (b"{", "not JSON"),
            (b"[]", "not an answer"),
            (b"{}", "no id"),
            (br#"{"id":"1","result":{}}"#, "not a whole number"),
            (br#"{"id":-1,"result":{}}"#, "not a whole number"),
            (br#"{"id":1}"#, "none of"),
            (
                br#"{"id":1,"result":{},"error":{"kind":"invalid","message":""}}"#,
                "more than one",
            ),
            (
                br#"{"id":1,"error":{"kind":"odd","message":""}}"#,
                "malformed",
            ),
            (br#"{"id":1,"error":{"kind":"invalid"}}"#, "malformed"),
        ] {
            let error = parse_response(line).unwrap_err().to_string();
            assert!(error.contains(want), "{error} does not say {want}");
        }
    }

    #[test]
    fn a_request_needs_an_integer_id_and_a_string_op() {
        assert!(parse_request(br#"{"id":1,"op":"hello"}"#).is_ok());
        for line in [
            "",
            "[]",
            "1",
            "{}",
            r#"{"id":1}"#,
            r#"{"op":"x"}"#,
            r#"{"id":1.5,"op":"x"}"#,
        ] {
            assert!(parse_request(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse_request(br#"{"id":9007199254740993,"op":"x"}"#).is_err());
    }
}
