//! Names for what live nodes drew themselves: `$payee.node_id`, `$payment`.
//!
//! A reference is a whole string: `$` and a name, then dotted fields. In a list a number is an
//! index; one that is not below the list's length names a record by its type, as in
//! `$received.records.65537.value`, since nodes add records of their own.
//! `$$` at the beginning of a string is a literal dollar.
//!
//! `$x` alone is the field `x` of the result bound as `x`, where it has one, else the whole
//! result: after `bind: payment`, `{"payment": "p1"}` makes `$payment` the id `p1`.

use serde_json::{Map, Value};

/// Names that belong to matchers and to the harness; no role and no binding may take them.
pub const RESERVED: [&str; 16] = [
    "any", "absent", "hex", "between", "bit", "unset", "contains", "preimage", "plus", "minus",
    "fill", "input", "chain", "codec", "harness", "run",
];

/// What stands below `$run` in a scenario, so that a vector needs no literal time or nonce:
///
/// | reference | value |
/// |---|---|
/// | `$run.now` | the time at which the step begins, in seconds, a decimal string |
/// | `$run.past` | 8 days before that: outside every window of some days |
/// | `$run.future` | 3 hours after it |
/// | `$run.chain_hash` | hash of regtest's first block, 32 bytes in the order of the wire |
/// | `$run.nonce` | 32 bytes drawn from the seed of the check |
/// | `$run.nonce-2` | 32 others, for a second payment |
pub const RUN_FIELDS: [&str; 6] = ["now", "past", "future", "chain_hash", "nonce", "nonce-2"];

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name: a role, or the `bind` of an earlier step.
    pub name: String,
    /// The fields below it.
    pub path: Vec<String>,
}

impl Reference {
    /// Reads `$name.field.0`; `None` when `text` has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('$')?.split('.');
        let name = parts.next().filter(|n| is_name(n))?;
        let path: Vec<String> = parts.map(str::to_owned).collect();
        let field = |f: &String| {
            !f.is_empty()
                && f.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        path.iter().all(field).then(|| Self {
            name: name.to_owned(),
            path,
        })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${}", self.name)?;
        self.path.iter().try_for_each(|p| write!(f, ".{p}"))
    }
}

/// Whether a role or a binding may be called so: a letter, then letters, digits, `_` and `-`.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The literal that a string stands for, if it is no reference: `$$5` is `$5`.
pub(crate) fn literal(text: &str) -> Option<&str> {
    match text.strip_prefix('$') {
        None => Some(text),
        Some(rest) if rest.starts_with('$') => Some(rest),
        Some(_) => None,
    }
}

/// Writes a value so that [`Bindings::resolve`] and a pattern take it literally.
pub fn escape(value: &Value) -> Value {
    match value {
        Value::String(s) if s.starts_with('$') => Value::String(format!("${s}")),
        Value::Array(list) => list.iter().map(escape).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), escape(v))).collect())
        }
        other => other.clone(),
    }
}

/// Values under names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings(Map<String, Value>);

impl Bindings {
    /// Nothing bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds `name`; an earlier value is replaced.
    pub fn bind(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }

    /// The whole value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// What a reference stands for.
    ///
    /// # Errors
    /// When the name is not bound or has no such field.
    pub fn lookup(&self, reference: &Reference) -> Result<&Value, String> {
        let Some(whole) = self.0.get(&reference.name) else {
            return Err(format!(
                "{reference}: nothing is bound as `{}`",
                reference.name
            ));
        };
        if reference.path.is_empty() {
            return Ok(whole.get(&reference.name).unwrap_or(whole));
        }
        let mut at = whole;
        for field in &reference.path {
            let next = match at {
                Value::Array(list) => element(list, field),
                other => other.get(field),
            };
            at =
                next.ok_or_else(|| format!("{reference}: there is no `{field}` in {}", short(at)))?;
        }
        Ok(at)
    }

    /// Replaces every reference inside `value`, and `$$` by `$`.
    ///
    /// # Errors
    /// When a reference has nothing behind it, or a string begins with `$` and is no reference.
    pub fn resolve(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => match (literal(text), Reference::parse(text)) {
                (Some(plain), _) => Value::String(plain.to_owned()),
                (None, Some(reference)) => self.lookup(&reference)?.clone(),
                (None, None) => {
                    return Err(format!(
                        "`{text}` is no reference; a literal dollar is `$$`"
                    ));
                }
            },
            Value::Array(list) => Value::Array(
                list.iter()
                    .map(|v| self.resolve(v))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| Ok((k.clone(), self.resolve(v)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }
}

/// An element by its index, else the record of that type.
fn element<'a>(list: &'a [Value], field: &str) -> Option<&'a Value> {
    let by_index = field.parse::<usize>().ok().and_then(|i| list.get(i));
    by_index.or_else(|| list.iter().find(|v| v["type"] == field))
}

/// A value on one line, cut to a readable length.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn bound() -> Bindings {
        let mut b = Bindings::new();
        b.bind("payee", json!({"node_id": "02aa", "list": [{"x": "1"}]}));
        b.bind("payment", json!({"payment": "p1"}));
        b
    }

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let got = bound().resolve(&json!({"to": "$payee.node_id", "l": ["$payment", "$payee.list.0.x"], "n": 5, "d": "$$5"}));
        assert_eq!(
            got.unwrap(),
            json!({"to": "02aa", "l": ["p1", "1"], "n": 5, "d": "$5"})
        );
        assert_eq!(
            bound().resolve(&json!("$payee")).unwrap()["node_id"],
            "02aa"
        );
    }

    #[test]
    fn a_record_is_found_by_its_type() {
        let mut b = Bindings::new();
        let record = |kind: &str, value: &str| json!({"type": kind, "value": value});
        b.bind(
            "r",
            json!([
                record("106823", "01"),
                record("65537", "aa"),
                record("1", "bb")
            ]),
        );
        let at = |text: &str| b.resolve(&json!(text));
        assert_eq!(at("$r.65537.value").unwrap(), "aa");
        // An index goes first.
        assert_eq!(at("$r.1.value").unwrap(), "aa");
        assert!(at("$r.65538.value").unwrap_err().contains("`65538`"));
    }

    #[test]
    fn what_is_not_bound_is_named() {
        for (text, want) in [
            ("$payer.node_id", "nothing is bound as `payer`"),
            ("$payee.nodeid", "there is no `nodeid`"),
            ("$payee.list.1", "there is no `1`"),
            ("$5", "no reference"),
            ("$", "no reference"),
        ] {
            let error = bound().resolve(&json!(text)).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            "[$a-z0-9.()]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z$]{1,4}", inner), 0..4)
                    .prop_map(|kv| Value::Object(kv.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_escaped_value_resolves_to_itself(value in any_value()) {
            prop_assert_eq!(Bindings::new().resolve(&escape(&value)).unwrap(), value);
        }

        #[test]
        fn resolving_never_panics(value in any_value()) {
            let _ = bound().resolve(&value);
        }
    }
}
