//! Reading what a node answers: JSON of which no field is certain.

use lnconform_protocol::OpError;
use serde_json::Value;

/// Entries of an array; anything else has none.
pub fn entries(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A whole number, as JSON's or in decimal digits; anything else is 0.
pub fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    }
}

/// The sum of what a node says; it ends at the largest number, however much that is.
pub fn sum(amounts: impl IntoIterator<Item = u64>) -> u64 {
    amounts.into_iter().fold(0, u64::saturating_add)
}

/// A text that every answer of `node` to `call` has; `what` is its name.
///
/// # Errors
/// `internal`, as the node's fault, where it is none.
pub fn need<'a>(value: &'a Value, node: &str, call: &str, what: &str) -> Result<&'a str, OpError> {
    value
        .as_str()
        .ok_or_else(|| OpError::internal(format!("{node}'s answer to {call} has no {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_protocol::ErrorKind;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_empty_or_zero_or_named() {
        assert_eq!(entries(&json!([1])), [json!(1)]);
        assert!(entries(&json!({"a": 1})).is_empty());
        for (value, want) in [
            (json!(5), 5),
            (json!("18446744073709551615"), u64::MAX),
            (json!("x"), 0),
            (json!(-1), 0),
            (Value::Null, 0),
        ] {
            assert_eq!(number(&value), want, "{value}");
        }
        assert_eq!(sum([1, 2]), 3);
        assert_eq!(sum([u64::MAX, 2]), u64::MAX);
        let answer = json!({"a": "b", "n": 5});
        assert_eq!(need(&answer["a"], "node", "getinfo", "a").unwrap(), "b");
        let e = need(&answer["n"], "node", "getinfo", "n").unwrap_err();
        assert_eq!(
            (e.kind, &e.message[..]),
            (ErrorKind::Internal, "node's answer to getinfo has no n")
        );
    }
}
