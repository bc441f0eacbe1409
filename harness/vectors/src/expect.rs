//! Reads `expect`.
//!
//! | written | expects |
//! |---|---|
//! | `{}` | any result |
//! | `{field: PATTERN, …}` | a result with these fields; see [`crate::matchers`] |
//! | `[PATTERN, …]` | a result that is a list |
//! | `{result: PATTERN}` | the same, spelt out; for a result with a field called like a key of this table |
//! | `{error: {kind, rule, code, message}}` | an error; each of the four only where given |
//! | `{one_of: [{because: SENTENCE, …}, …]}` | any of these, each with the sentence that allows it |
//! | `{observe: [paths]}` | nothing: the answer is only observed |
//!
//! `observe: [paths]` beside any of them names what goes into the snapshot.

use crate::case::{Alternative, ErrorPattern, Expect};
use crate::matchers::Pattern;
use serde_json::{Map, Value};

/// A mistake inside a value, with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub path: Vec<String>,
    pub message: String,
    pub help: Option<String>,
}

impl Fault {
    pub fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|s| (*s).to_owned()).collect(),
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same below `path`.
    #[must_use]
    pub fn below(mut self, path: &[&str]) -> Self {
        self.path.splice(0..0, path.iter().map(|s| (*s).to_owned()));
        self
    }
}

/// What stands in an `expect`.
pub(crate) struct Read {
    pub expect: Expect,
    pub observe: Vec<String>,
    /// It holds `$fill`.
    pub unfilled: bool,
}

/// Reads an `expect`, with paths counted from it.
pub(crate) fn read(value: &Value) -> Result<Read, Fault> {
    let mut unfilled = false;
    let (expect, observe) = match value {
        Value::Object(map) => {
            let observe = match map.get("observe") {
                None => Vec::new(),
                Some(v) => paths(v).ok_or_else(|| {
                    Fault::new(
                        &["observe"],
                        "`observe` is a list of dotted paths into the answer",
                    )
                })?,
            };
            let only_observed = map.len() == 1 && map.contains_key("observe");
            let expect = if only_observed {
                Expect::Observe
            } else {
                body(map, &[], &mut unfilled)?
            };
            (expect, observe)
        }
        Value::Array(_) => (pattern(value, &[], &mut unfilled)?, Vec::new()),
        Value::String(s) if s == "$fill" => {
            unfilled = true;
            (Expect::Result(value.clone()), Vec::new())
        }
        _ => {
            return Err(
                Fault::new(&[], "`expect` is a mapping of the answer's fields")
                    .help("`{}` takes any result, `{error: {}}` any error"),
            );
        }
    };
    Ok(Read {
        expect,
        observe,
        unfilled,
    })
}

fn paths(value: &Value) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|v| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned))
        .collect()
}

/// The fields without `observe` and `because`.
fn body(map: &Map<String, Value>, at: &[&str], unfilled: &mut bool) -> Result<Expect, Fault> {
    let in_alternative = !at.is_empty();
    let is_side = |k: &str| k == "observe" && !in_alternative || k == "because" && in_alternative;
    let fields: Vec<(&String, &Value)> = map.iter().filter(|(k, _)| !is_side(k)).collect();
    let under = |key: &'static str| at.iter().copied().chain([key]).collect::<Vec<_>>();
    for key in ["error", "one_of", "result"] {
        let Some(value) = map.get(key) else { continue };
        if let Some((other, _)) = fields.iter().find(|(k, _)| *k != key) {
            return Err(Fault::new(
                &under(key),
                format!("`{key}` and `{other}` stand side by side"),
            )
            .help(format!(
                "a result with a field `{key}` is written {{result: {{…}}}}"
            )));
        }
        return match key {
            "error" => error(value, &under("error")).map(Expect::Error),
            "one_of" if in_alternative => {
                Err(Fault::new(&under("one_of"), "`one_of` inside `one_of`")
                    .help("list all alternatives in one"))
            }
            "one_of" => one_of(value, unfilled).map(Expect::OneOf),
            _ => pattern(value, &under("result"), unfilled),
        };
    }
    let rest: Map<String, Value> = fields
        .into_iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    pattern(&Value::Object(rest), at, unfilled)
}

fn error(value: &Value, at: &[&str]) -> Result<ErrorPattern, Fault> {
    const KEYS: [&str; 4] = ["kind", "rule", "code", "message"];
    const KINDS: [&str; 5] = [
        "invalid",
        "rejected",
        "payment-failed",
        "timeout",
        "internal",
    ];
    let Value::Object(map) = value else {
        return Err(Fault::new(at, "`error` is a mapping").help("`error: {}` takes any error"));
    };
    for key in map.keys() {
        if !KEYS.contains(&key.as_str()) {
            let path: Vec<&str> = at.iter().copied().chain([key.as_str()]).collect();
            return Err(Fault::new(&path, format!("unknown key `{key}`")).help(
                match lnconform_yaml::suggest(key, KEYS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys here: {}", KEYS.join(", ")),
                },
            ));
        }
    }
    let pattern: ErrorPattern = serde_json::from_value(value.clone()).map_err(|e| {
        Fault::new(at, e.to_string()).help("`code` is a number, the others are strings")
    })?;
    if let Some(kind) = &pattern.kind
        && !KINDS.contains(&kind.as_str())
    {
        let path: Vec<&str> = at.iter().copied().chain(["kind"]).collect();
        return Err(
            Fault::new(&path, format!("there is no error kind `{kind}`")).help(
                match lnconform_yaml::suggest(kind, KINDS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("kinds: {}", KINDS.join(", ")),
                },
            ),
        );
    }
    Ok(pattern)
}

fn one_of(value: &Value, unfilled: &mut bool) -> Result<Vec<Alternative>, Fault> {
    let list = value.as_array().filter(|l| l.len() > 1).ok_or_else(|| {
        Fault::new(
            &["one_of"],
            "`one_of` is a list of two alternatives or more",
        )
    })?;
    let mut alternatives = Vec::with_capacity(list.len());
    for (i, alternative) in list.iter().enumerate() {
        let i = i.to_string();
        let at = ["one_of", &i];
        let because = alternative
            .get("because")
            .and_then(Value::as_str)
            .filter(|s| !s.trim().is_empty());
        let (Value::Object(map), Some(because)) = (alternative, because) else {
            return Err(Fault::new(&at, "an alternative lacks its `because`")
                .help("say which sentence of the text allows it"));
        };
        alternatives.push(Alternative {
            because: because.to_owned(),
            expect: body(map, &at, unfilled)?,
        });
    }
    Ok(alternatives)
}

fn pattern(value: &Value, at: &[&str], unfilled: &mut bool) -> Result<Expect, Fault> {
    if holds_fill(value) {
        *unfilled = true;
        return Ok(Expect::Result(value.clone()));
    }
    match Pattern::compile(value) {
        Ok(_) => {}
        Err(e) => {
            return Err(Fault {
                path: e.path,
                message: e.message,
                help: e.help,
            }
            .below(at));
        }
    }
    numbers(value, "").map_err(|f| f.below(at))?;
    Ok(Expect::Result(value.clone()))
}

pub(crate) fn holds_fill(value: &Value) -> bool {
    match value {
        Value::String(s) => s == "$fill",
        Value::Array(l) => l.iter().any(holds_fill),
        Value::Object(m) => m.values().any(holds_fill),
        _ => false,
    }
}

/// Numbers as the protocol has them: up to 32 bits as numbers, everything above and everything
/// that could be above as decimal strings, bytes as hex strings, no nulls. YAML reads an unquoted
/// `00` or `1e3` as a number, which would make a negative case pass for the wrong reason.
pub(crate) fn numbers(value: &Value, field: &str) -> Result<(), Fault> {
    match value {
        Value::Number(n) => {
            let quote = format!("quote it: \"{n}\"");
            if n.as_u64().is_none_or(|n| n > u64::from(u32::MAX)) {
                return Err(
                    Fault::new(&[], format!("{n} is no whole number below 2^32"))
                        .help("64-bit values are decimal strings; quote it"),
                );
            }
            if crate::mutate::holds_decimal(field) || field == "value" {
                return Err(
                    Fault::new(&[], format!("`{field}` is a string, not the number {n}"))
                        .help(quote),
                );
            }
            if crate::mutate::holds_bytes(field) {
                return Err(Fault::new(
                    &[],
                    format!("`{field}` is hex, but YAML reads the number {n} here"),
                )
                .help("quote it"));
            }
            Ok(())
        }
        Value::Null => Err(Fault::new(&[], "nothing stands here")
            .help("leave an absent field out; empty bytes are \"\"")),
        Value::Array(list) => {
            // Only types are listed by 64-bit values; `features: [8, 14]` is a list of bits.
            let field = if field == "known" { field } else { "" };
            list.iter()
                .enumerate()
                .try_for_each(|(i, v)| numbers(v, field).map_err(|f| f.below(&[&i.to_string()])))
        }
        Value::Object(map) => map
            .iter()
            .try_for_each(|(k, v)| numbers(v, k).map_err(|f| f.below(&[k]))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_form_is_read() {
        let expect = |v: Value| read(&v).unwrap().expect;
        assert_eq!(expect(json!({})), Expect::Result(json!({})));
        assert_eq!(
            expect(json!({"a": 1, "observe": ["a"]})),
            Expect::Result(json!({"a": 1}))
        );
        assert_eq!(
            read(&json!({"a": 1, "observe": ["a"]})).unwrap().observe,
            ["a"]
        );
        assert_eq!(expect(json!([1])), Expect::Result(json!([1])));
        assert_eq!(
            expect(json!({"result": {"error": 1}})),
            Expect::Result(json!({"error": 1}))
        );
        assert_eq!(
            expect(json!({"error": {}})),
            Expect::Error(ErrorPattern::default())
        );
        assert_eq!(expect(json!({"observe": []})), Expect::Observe);
        match expect(json!({"one_of": [{"because": "a", "v": 1}, {"because": "b", "error": {}}]})) {
            Expect::OneOf(list) => {
                assert_eq!(list[0].expect, Expect::Result(json!({"v": 1})));
                assert_eq!(list[1].expect, Expect::Error(ErrorPattern::default()));
            }
            other => panic!("{other:?}"),
        }
        assert!(read(&json!("$fill")).unwrap().unfilled);
        assert!(read(&json!({"a": ["$fill"]})).unwrap().unfilled);
    }
}
