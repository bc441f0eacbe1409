//! Patterns for answers, and the comparison of an answer with what is expected of it.
//!
//! | written | matches |
//! |---|---|
//! | `$any` | anything that is there |
//! | `$absent` | only in an object: the field is not there |
//! | `$hex`, `$hex(32)` | lowercase hex, of that many bytes |
//! | `$between(1, 9)` | a number or a decimal string, both ends included |
//! | `$bit(55)` | a feature bit field, in hex, with that bit set |
//! | `$unset(54)` | a feature bit field, in hex, with that bit not set |
//! | `$preimage($received.payment_hash)` | hex whose SHA-256 is what is bound there |
//! | `$plus($before.0.outbound_msat, 5)` | that number and 5 more; with two numbers, between so many and so many more |
//! | `$minus($before.0.outbound_msat, 5)` | that number less 5; with two numbers, between so many and so many less |
//! | `$payee.node_id` | what is bound there, see [`crate::bindings`] |
//! | `{$contains: PATTERN}` | a list with at least one element that matches |
//! | `$$…` | a literal that begins with a dollar |
//! | an object | every field of the pattern is there and matches; others are ignored |
//! | a list | a list of the same length, each element matching |
//! | anything else | the same value |

pub use crate::bindings::Bindings;
use crate::bindings::{Reference, literal, short};
use crate::case::{ErrorPattern, Expect};
use lnconform_protocol::Answer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Anything that is there.
    Any,
    /// The field is not there.
    Absent,
    /// Lowercase hex; so many bytes, where given.
    Hex(Option<usize>),
    /// A number or decimal string, both ends included.
    Between(u64, u64),
    /// A feature bit field with this bit set.
    Bit(usize),
    /// A feature bit field without this bit.
    Unset(usize),
    /// The preimage, in hex, of the hash that is bound under a name.
    Preimage(Reference),
    /// What is bound under a name.
    Reference(Reference),
    /// A number or decimal string beside the one that is bound under a name.
    Offset {
        /// The number to start from.
        from: Reference,
        /// Less than it, not more.
        minus: bool,
        /// The least difference.
        least: u64,
        /// The greatest difference.
        most: u64,
    },
    /// A list with at least one such element.
    Contains(Box<Pattern>),
    /// Exactly this string, number or boolean.
    Literal(Value),
    /// A list of the same length.
    List(Vec<Pattern>),
    /// An object with at least these fields.
    Object(Vec<(String, Pattern)>),
}

/// Why a pattern cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Where in the pattern, key by key.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What was meant, or what to do.
    pub help: Option<String>,
}

/// Where an answer and a pattern part.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Dotted path into the answer; empty for the whole.
    pub path: String,
    /// What was expected there, as written in the vector; references by what they stand for.
    pub want: Value,
    /// What was there; `None` where nothing was.
    pub got: Option<Value>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.path.is_empty() {
            "the answer"
        } else {
            &self.path
        };
        match &self.got {
            Some(got) => write!(f, "{place} is {}, not {}", short(got), short(&self.want)),
            None if self.want == "$absent" => write!(f, "{place} is there"),
            None => write!(f, "{place} is missing; expected {}", short(&self.want)),
        }
    }
}

const MATCHERS: [&str; 10] = [
    "any", "absent", "hex", "between", "bit", "unset", "contains", "preimage", "plus", "minus",
];

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A matcher that does not parse, with its path in `value`.
    pub fn compile(value: &Value) -> Result<Self, PatternError> {
        Self::at(value, &mut Vec::new(), false)
    }

    fn at(value: &Value, path: &mut Vec<String>, in_object: bool) -> Result<Self, PatternError> {
        let fail = |path: &[String], message: String, help: Option<String>| {
            Err(PatternError {
                path: path.to_vec(),
                message,
                help,
            })
        };
        Ok(match value {
            Value::String(text) => match literal(text) {
                Some(plain) => Self::Literal(Value::String(plain.to_owned())),
                None => match matcher(text) {
                    Ok(Self::Absent) if !in_object => {
                        let help = "put it on a field of an object".to_owned();
                        return fail(
                            path,
                            "`$absent` has no field to be absent here".into(),
                            Some(help),
                        );
                    }
                    Ok(pattern) => pattern,
                    Err((message, help)) => return fail(path, message, help),
                },
            },
            Value::Array(list) => {
                let mut patterns = Vec::with_capacity(list.len());
                for (i, v) in list.iter().enumerate() {
                    path.push(i.to_string());
                    patterns.push(Self::at(v, path, false)?);
                    path.pop();
                }
                Self::List(patterns)
            }
            Value::Object(map) => {
                if let Some(inner) = map.get("$contains") {
                    if map.len() > 1 {
                        let help = "`$contains` stands alone in its mapping".to_owned();
                        return fail(path, "`$contains` has keys beside it".into(), Some(help));
                    }
                    path.push("$contains".into());
                    let inner = Self::at(inner, path, false)?;
                    path.pop();
                    return Ok(Self::Contains(Box::new(inner)));
                }
                let mut fields = Vec::with_capacity(map.len());
                for (k, v) in map {
                    path.push(k.clone());
                    if k.starts_with('$') {
                        let help = "the only key of that kind is `$contains`".to_owned();
                        return fail(path, format!("`{k}` is no field of an answer"), Some(help));
                    }
                    fields.push((k.clone(), Self::at(v, path, true)?));
                    path.pop();
                }
                Self::Object(fields)
            }
            Value::Null => {
                let help = "a field that must not be there is `$absent`".to_owned();
                return fail(path, "answers hold no nulls".into(), Some(help));
            }
            other => Self::Literal(other.clone()),
        })
    }

    /// Compares an answer with the pattern.
    ///
    /// # Errors
    /// The first [`Mismatch`], in the order of the pattern.
    pub fn matches(&self, got: &Value, bindings: &Bindings) -> Result<(), Box<Mismatch>> {
        self.compare(got, bindings, &mut String::new())
    }

    fn compare(
        &self,
        got: &Value,
        bindings: &Bindings,
        path: &mut String,
    ) -> Result<(), Box<Mismatch>> {
        let miss = |path: &str, want: Value| {
            Err(Box::new(Mismatch {
                path: path.to_owned(),
                want,
                got: Some(got.clone()),
            }))
        };
        match self {
            Self::Any => Ok(()),
            Self::Object(fields) => {
                let Value::Object(map) = got else {
                    return miss(path, self.shown(bindings));
                };
                let base = path.len();
                for (key, pattern) in fields {
                    if base > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    match (pattern, map.get(key)) {
                        (Self::Absent, None) => {}
                        (pattern, Some(value)) => pattern.compare(value, bindings, path)?,
                        (pattern, None) => {
                            return Err(Box::new(Mismatch {
                                path: path.clone(),
                                want: pattern.shown(bindings),
                                got: None,
                            }));
                        }
                    }
                    path.truncate(base);
                }
                Ok(())
            }
            Self::List(patterns) => {
                let Value::Array(list) = got else {
                    return miss(path, self.shown(bindings));
                };
                if list.len() != patterns.len() {
                    return miss(path, self.shown(bindings));
                }
                let base = path.len();
                for (i, (pattern, value)) in patterns.iter().zip(list).enumerate() {
                    if base > 0 {
                        path.push('.');
                    }
                    path.push_str(&i.to_string());
                    pattern.compare(value, bindings, path)?;
                    path.truncate(base);
                }
                Ok(())
            }
            Self::Contains(pattern) => {
                let fits = |v: &Value| pattern.compare(v, bindings, &mut String::new()).is_ok();
                match got {
                    Value::Array(list) if list.iter().any(fits) => Ok(()),
                    _ => miss(path, self.shown(bindings)),
                }
            }
            Self::Preimage(reference) => match bindings.lookup(reference) {
                Ok(hash) if sha256(got).is_some_and(|h| Some(h.as_str()) == hash.as_str()) => {
                    Ok(())
                }
                _ => miss(path, self.shown(bindings)),
            },
            Self::Reference(reference) => match bindings.lookup(reference) {
                Ok(want) if want == got => Ok(()),
                _ => miss(path, self.shown(bindings)),
            },
            Self::Offset { from, .. } => {
                let base = bindings.lookup(from).ok().and_then(number);
                let ends = base.and_then(|base| self.ends(base));
                match (ends, number(got)) {
                    (Some((low, high)), Some(n)) if (low..=high).contains(&n) => Ok(()),
                    _ => miss(path, self.shown(bindings)),
                }
            }
            leaf => {
                if leaf.fits(got) {
                    Ok(())
                } else {
                    miss(path, self.shown(bindings))
                }
            }
        }
    }

    /// Leaf patterns that need no bindings.
    fn fits(&self, got: &Value) -> bool {
        match self {
            Self::Hex(length) => got.as_str().is_some_and(|s| {
                s.len() % 2 == 0
                    && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                    && length.is_none_or(|n| s.len() == 2 * n)
            }),
            Self::Between(low, high) => number(got).is_some_and(|n| (*low..=*high).contains(&n)),
            Self::Bit(bit) => has_bit(got, *bit) == Some(true),
            Self::Unset(bit) => has_bit(got, *bit) == Some(false),
            Self::Literal(want) => want == got,
            _ => false,
        }
    }

    /// Least and greatest of what an [`Pattern::Offset`] from `base` takes; `None` where it takes
    /// nothing that a 64-bit number holds.
    fn ends(&self, base: u64) -> Option<(u64, u64)> {
        match self {
            Self::Offset {
                minus: false,
                least,
                most,
                ..
            } => Some((base.checked_add(*least)?, base.saturating_add(*most))),
            Self::Offset {
                minus: true,
                least,
                most,
                ..
            } => Some((base.saturating_sub(*most), base.checked_sub(*least)?)),
            _ => None,
        }
    }

    /// The pattern as a person reads it: as written, references by what they stand for.
    pub fn shown(&self, bindings: &Bindings) -> Value {
        match self {
            Self::Any => json!("$any"),
            Self::Absent => json!("$absent"),
            Self::Hex(None) => json!("$hex"),
            Self::Hex(Some(n)) => json!(format!("$hex({n})")),
            Self::Between(a, b) => json!(format!("$between({a}, {b})")),
            Self::Bit(n) => json!(format!("$bit({n})")),
            Self::Unset(n) => json!(format!("$unset({n})")),
            Self::Reference(r) => bindings
                .lookup(r)
                .cloned()
                .unwrap_or_else(|_| json!(r.to_string())),
            Self::Preimage(r) => match bindings.lookup(r) {
                Ok(hash) => json!(format!(
                    "$preimage({})",
                    hash.as_str().unwrap_or("no string")
                )),
                Err(_) => json!(format!("$preimage({r})")),
            },
            Self::Offset {
                from,
                minus,
                least,
                most,
            } => {
                let base = bindings.lookup(from).ok().and_then(number);
                match base.and_then(|base| self.ends(base)) {
                    Some((low, high)) if low == high => json!(low.to_string()),
                    Some((low, high)) => json!(format!("$between({low}, {high})")),
                    None => {
                        let name = if *minus { "minus" } else { "plus" };
                        json!(format!("${name}({from}, {least}, {most})"))
                    }
                }
            }
            Self::Contains(p) => json!({"$contains": p.shown(bindings)}),
            Self::Literal(v) => v.clone(),
            Self::List(l) => l.iter().map(|p| p.shown(bindings)).collect(),
            Self::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(k, p)| (k.clone(), p.shown(bindings)))
                    .collect(),
            ),
        }
    }

    /// Calls `visit` with each reference inside, and its path in the pattern.
    pub fn references(&self, visit: &mut impl FnMut(&[String], &Reference)) {
        self.walk(&mut Vec::new(), visit);
    }

    fn walk(&self, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Reference)) {
        match self {
            Self::Reference(r) | Self::Preimage(r) | Self::Offset { from: r, .. } => visit(path, r),
            Self::Contains(p) => {
                path.push("$contains".into());
                p.walk(path, visit);
                path.pop();
            }
            Self::List(list) => {
                for (i, p) in list.iter().enumerate() {
                    path.push(i.to_string());
                    p.walk(path, visit);
                    path.pop();
                }
            }
            Self::Object(fields) => {
                for (k, p) in fields {
                    path.push(k.clone());
                    p.walk(path, visit);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

fn sha256(value: &Value) -> Option<String> {
    let bytes = lnconform_protocol::params::hex_bytes(value.as_str()?)?;
    Some(hex::encode(Sha256::digest(bytes)))
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64(),
        Value::String(s) if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) => {
            s.parse().ok()
        }
        _ => None,
    }
}

/// Whether a bit of a feature bit field is set; `None` for what is no such field.
fn has_bit(field: &Value, bit: usize) -> Option<bool> {
    let bytes = lnconform_protocol::params::hex_bytes(field.as_str()?)?;
    let byte = bytes.iter().rev().nth(bit / 8).unwrap_or(&0);
    Some(byte >> (bit % 8) & 1 == 1)
}

/// Reads a string that begins with a dollar.
fn matcher(text: &str) -> Result<Pattern, (String, Option<String>)> {
    let body = &text[1..];
    let (name, args) = match body.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(args) => (
                name,
                Some(args.split(',').map(str::trim).collect::<Vec<_>>()),
            ),
            None => return Err((format!("`{text}` lacks its closing parenthesis"), None)),
        },
        None => (body, None),
    };
    let wrong = |form: &str| {
        Err((
            format!("`{text}` does not parse"),
            Some(format!("it is written `{form}`")),
        ))
    };
    let int = |s: &str| {
        if s.bytes().all(|b| b.is_ascii_digit()) {
            s.parse::<u64>().ok()
        } else {
            None
        }
    };
    match (name, args.as_deref()) {
        ("any", None) => Ok(Pattern::Any),
        ("absent", None) => Ok(Pattern::Absent),
        ("any", Some(_)) => wrong("$any"),
        ("absent", Some(_)) => wrong("$absent"),
        ("hex", None) => Ok(Pattern::Hex(None)),
        ("hex", Some([n])) => match int(n).and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n <= lnconform_protocol::MAX_LINE => Ok(Pattern::Hex(Some(n))),
            _ => wrong("$hex(32)"),
        },
        ("hex", _) => wrong("$hex(32)"),
        ("between", Some([a, b])) => match (int(a), int(b)) {
            (Some(a), Some(b)) if a <= b => Ok(Pattern::Between(a, b)),
            (Some(a), Some(b)) => Err((
                format!("`{text}` matches nothing: {a} is above {b}"),
                Some("swap the ends".into()),
            )),
            _ => wrong("$between(1, 9)"),
        },
        ("between", _) => wrong("$between(1, 9)"),
        ("bit", Some([n])) => match int(n) {
            Some(n) if n < 1 << 16 => Ok(Pattern::Bit(usize::try_from(n).unwrap_or_default())),
            _ => wrong("$bit(55)"),
        },
        ("bit", _) => wrong("$bit(55)"),
        ("unset", Some([n])) => match int(n) {
            Some(n) if n < 1 << 16 => Ok(Pattern::Unset(usize::try_from(n).unwrap_or_default())),
            _ => wrong("$unset(54)"),
        },
        ("unset", _) => wrong("$unset(54)"),
        ("preimage", Some([of])) => match Reference::parse(of) {
            Some(reference) => Ok(Pattern::Preimage(reference)),
            None => wrong("$preimage($received.payment_hash)"),
        },
        ("preimage", _) => wrong("$preimage($received.payment_hash)"),
        ("plus" | "minus", Some([of, numbers @ ..])) => {
            let form = if name == "plus" {
                "$plus($before.0.outbound_msat, 5)"
            } else {
                "$minus($before.0.outbound_msat, 5)"
            };
            let ends = match numbers {
                [one] => int(one).map(|n| (n, n)),
                [a, b] => int(a).zip(int(b)).filter(|(a, b)| a <= b),
                _ => None,
            };
            match (Reference::parse(of), ends) {
                (Some(from), Some((least, most))) => Ok(Pattern::Offset {
                    from,
                    minus: name == "minus",
                    least,
                    most,
                }),
                _ => wrong(form),
            }
        }
        ("plus", None) => wrong("$plus($before.0.outbound_msat, 5)"),
        ("minus", None) => wrong("$minus($before.0.outbound_msat, 5)"),
        ("contains", _) => wrong("{$contains: …}"),
        ("fill", _) => Err((
            "`$fill` is not filled yet".into(),
            Some("run `lnconform fill` with this file".into()),
        )),
        (_, Some(_)) => Err((
            format!("there is no matcher `${name}(…)`"),
            Some(match lnconform_yaml::suggest(name, MATCHERS) {
                Some(near) => format!("did you mean `${near}`?"),
                None => {
                    "matchers: $any, $absent, $hex, $hex(32), $between(1, 9), $bit(55), $plus(…)"
                        .into()
                }
            }),
        )),
        (_, None) => Reference::parse(text)
            .map(Pattern::Reference)
            .ok_or_else(|| {
                (
                    format!("`{text}` is neither a matcher nor a reference"),
                    Some("a literal dollar is `$$`".into()),
                )
            }),
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected.
    Mismatch {
        /// What was expected, whole.
        want: Value,
        /// What was answered, whole.
        got: Value,
        /// Where they part, in one line.
        message: String,
    },
    /// The implementation lacks the operation; its reason.
    Unsupported(String),
}

/// An expectation with its patterns compiled.
#[derive(Clone, Debug, PartialEq)]
pub enum Checker {
    /// A result that matches.
    Result(Pattern),
    /// An error.
    Error(ErrorPattern),
    /// Any of these.
    OneOf(Vec<Checker>),
    /// Nothing is asserted.
    Observe,
}

impl Checker {
    /// Compiles the patterns of an expectation.
    ///
    /// # Errors
    /// A matcher that does not parse; what the loader has passed always compiles.
    pub fn compile(expect: &Expect) -> Result<Self, PatternError> {
        Ok(match expect {
            // `{}` is any result, a list too.
            Expect::Result(Value::Object(map)) if map.is_empty() => Self::Result(Pattern::Any),
            Expect::Result(v) => Self::Result(Pattern::compile(v)?),
            Expect::Error(e) => Self::Error(e.clone()),
            Expect::OneOf(list) => Self::OneOf(
                list.iter()
                    .map(|a| Self::compile(&a.expect))
                    .collect::<Result<_, _>>()?,
            ),
            Expect::Observe => Self::Observe,
        })
    }

    /// Compares an answer.
    pub fn check(&self, answer: &Answer, bindings: &Bindings) -> Verdict {
        if let Answer::Unsupported(u) = answer {
            return Verdict::Unsupported(u.reason.clone());
        }
        match self.verdict(answer, bindings) {
            Ok(()) => Verdict::Pass,
            Err(message) => Verdict::Mismatch {
                want: self.want(bindings),
                got: answer_value(answer),
                message,
            },
        }
    }

    fn verdict(&self, answer: &Answer, bindings: &Bindings) -> Result<(), String> {
        match (self, answer) {
            (Self::Observe, _) => Ok(()),
            (Self::Result(pattern), Answer::Result(got)) => {
                pattern.matches(got, bindings).map_err(|m| m.to_string())
            }
            (Self::Result(_), Answer::Error(e)) => Err(format!(
                "an error was answered: {}: {}",
                e.kind.as_str(),
                e.message
            )),
            (Self::Error(_), Answer::Result(_)) => {
                Err("it was accepted; an error was expected".into())
            }
            (Self::Error(want), Answer::Error(got)) => error_matches(want, got),
            (Self::OneOf(list), answer) => {
                let mut why = Vec::new();
                for checker in list {
                    match checker.verdict(answer, bindings) {
                        Ok(()) => return Ok(()),
                        Err(message) => why.push(message),
                    }
                }
                why.dedup();
                Err(format!(
                    "none of the {} allowed answers: {}",
                    list.len(),
                    why.join("; ")
                ))
            }
            (_, Answer::Unsupported(u)) => Err(u.reason.clone()),
        }
    }

    fn want(&self, bindings: &Bindings) -> Value {
        match self {
            Self::Result(p) => json!({"result": p.shown(bindings)}),
            Self::Error(e) => json!({"error": e}),
            Self::OneOf(list) => {
                json!({"one_of": list.iter().map(|c| c.want(bindings)).collect::<Vec<_>>()})
            }
            Self::Observe => json!({}),
        }
    }
}

fn answer_value(answer: &Answer) -> Value {
    // An answer is plain data; it always has a JSON form.
    serde_json::to_value(answer).unwrap_or_default()
}

/// A crash or a deadline inside the adapter is no rejection: kinds `internal` and `timeout` count
/// only where they are asked for.
fn error_matches(want: &ErrorPattern, got: &lnconform_protocol::OpError) -> Result<(), String> {
    let kind = got.kind.as_str();
    let said = || format!("{kind}: {}", short(&Value::String(got.message.clone())));
    match &want.kind {
        Some(wanted) if wanted != kind => {
            return Err(format!(
                "the error's kind is {kind}, not {wanted} ({})",
                said()
            ));
        }
        None if matches!(kind, "internal" | "timeout") => {
            return Err(format!("it broke instead of refusing ({})", said()));
        }
        _ => {}
    }
    if let (Some(wanted), Some(rule)) = (&want.rule, &got.rule)
        && wanted != rule
    {
        return Err(format!(
            "it was refused by {rule}, not by {wanted} ({})",
            said()
        ));
    }
    if let Some(wanted) = want.code
        && got.code != Some(wanted)
    {
        return Err(match got.code {
            Some(code) => format!("the failure code is {code}, not {wanted} ({})", said()),
            None => format!(
                "the error has no failure code; expected {wanted} ({})",
                said()
            ),
        });
    }
    if let Some(part) = &want.message
        && !got.message.contains(part.as_str())
    {
        return Err(format!("the message does not say `{part}` ({})", said()));
    }
    Ok(())
}

/// Compares an answer with an expectation; [`Checker`] does the same with the patterns compiled
/// once.
pub fn check_answer(expect: &Expect, answer: &Answer, bindings: &Bindings) -> Verdict {
    match Checker::compile(expect) {
        Ok(checker) => checker.check(answer, bindings),
        Err(e) => Verdict::Mismatch {
            want: Value::Null,
            got: answer_value(answer),
            message: format!("the expectation cannot be read: {e}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Alternative;
    use lnconform_protocol::{ErrorKind, OpError, Unsupported};
    use proptest::prelude::*;

    fn check(pattern: Value, got: Value) -> Result<(), String> {
        let mut bindings = Bindings::new();
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        bindings.bind("payee", json!({"node_id": "02aa", "hash": of_nothing}));
        Pattern::compile(&pattern)
            .unwrap()
            .matches(&got, &bindings)
            .map_err(|m| m.to_string())
    }

    #[test]
    fn each_matcher_passes_on_right_and_fails_on_wrong() {
        for (pattern, right, wrong) in [
            (
                json!({"a": "$any"}),
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
            ),
            (json!({"a": "$absent"}), json!({}), json!({"a": ""})),
            (json!("$hex"), json!("00ff"), json!("00f")),
            (json!("$hex"), json!(""), json!("00FF")),
            (json!("$hex(2)"), json!("00ff"), json!("00ff00")),
            (json!("$between(2, 4)"), json!("4"), json!("5")),
            (json!("$between(2, 4)"), json!(2), json!(1)),
            (json!("$between(2, 4)"), json!("2"), json!("+3")),
            (json!("$bit(9)"), json!("0200"), json!("0002")),
            (json!("$unset(9)"), json!("0002"), json!("0200")),
            (json!("$unset(9)"), json!("00"), json!("not hex")),
            (
                json!("$bit(55)"),
                json!("80000000000000"),
                json!("800000000000"),
            ),
            (json!("$payee.node_id"), json!("02aa"), json!("02ab")),
            (json!("$preimage($payee.hash)"), json!(""), json!("00")),
            (
                json!("$payee.gone"),
                json!("$payee.gone1"),
                json!("$payee.gone"),
            ),
            (
                json!({"$contains": {"a": 1}}),
                json!([{"a": 2}, {"a": 1}]),
                json!([{"a": 2}]),
            ),
            (json!(["$any", 1]), json!([0, 1]), json!([0, 1, 2])),
            (json!("$$x"), json!("$x"), json!("$$x")),
            (json!(5), json!(5), json!("5")),
            (json!({}), json!({"a": 1}), json!([])),
        ] {
            if pattern != "$payee.gone" {
                assert_eq!(check(pattern.clone(), right), Ok(()), "{pattern}");
            }
            assert!(
                check(pattern.clone(), wrong.clone()).is_err(),
                "{pattern} matched {wrong}"
            );
        }
    }

    #[test]
    fn a_number_is_held_against_an_earlier_one() {
        let mut bindings = Bindings::new();
        bindings.bind(
            "before",
            json!([{"msat": "500"}, {"msat": u64::MAX.to_string(), "name": "x"}]),
        );
        let check = |pattern: &str, got: Value| {
            let pattern = Pattern::compile(&json!(pattern)).unwrap();
            pattern.matches(&got, &bindings).map_err(|m| m.to_string())
        };
        check("$plus($before.0.msat, 50)", json!("550")).unwrap();
        check("$plus($before.0.msat, 0)", json!(500)).unwrap();
        check("$plus($before.0.msat, 10, 20)", json!("510")).unwrap();
        check("$plus($before.0.msat, 10, 20)", json!("520")).unwrap();
        check("$minus($before.0.msat, 10, 20)", json!("480")).unwrap();
        check("$minus($before.0.msat, 10, 20)", json!("490")).unwrap();
        check("$minus($before.0.msat, 10, 600)", json!("0")).unwrap();
        for (pattern, got, want) in [
            ("$plus($before.0.msat, 50)", json!("551"), "not \"550\""),
            (
                "$plus($before.0.msat, 10, 20)",
                json!("509"),
                "$between(510, 520)",
            ),
            (
                "$plus($before.0.msat, 10, 20)",
                json!("521"),
                "$between(510, 520)",
            ),
            (
                "$minus($before.0.msat, 10, 20)",
                json!("491"),
                "$between(480, 490)",
            ),
            (
                "$minus($before.0.msat, 10, 20)",
                json!("479"),
                "$between(480, 490)",
            ),
            ("$minus($before.0.msat, 501)", json!("0"), "$minus("),
            ("$plus($before.1.msat, 1)", json!("0"), "$plus("),
            ("$plus($before.1.name, 1)", json!("1"), "$plus("),
            ("$plus($later.msat, 1)", json!("1"), "$plus("),
            ("$plus($before.0.msat, 1)", json!({}), "not \"501\""),
        ] {
            let error = check(pattern, got).unwrap_err();
            assert!(error.contains(want), "{pattern}: {error}");
        }
        for wrong in [
            "$plus",
            "$minus",
            "$plus()",
            "$plus($before)",
            "$plus(before, 1)",
            "$plus($before, -1)",
            "$minus($before, 2, 1)",
            "$plus($before, 1, 2, 3)",
        ] {
            let error = Pattern::compile(&json!(wrong)).unwrap_err();
            let help = error.help.unwrap_or_default();
            assert!(
                help.contains("$before.0.outbound_msat, 5)"),
                "{wrong}: {help}"
            );
        }
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        insta::assert_snapshot!(
            [
                check(json!({"a": {"b": [1, "$hex(2)"]}}), json!({"a": {"b": [1, "00"]}})),
                check(json!({"a": {"b": 1}}), json!({"a": {}})),
                check(json!({"a": "$absent"}), json!({"a": 5})),
                check(json!({"to": "$payee.node_id"}), json!({"to": "03"})),
                check(json!([1]), json!([])),
            ]
            .map(Result::unwrap_err)
            .join("\n"),
            @r#"
        a.b.1 is "00", not "$hex(2)"
        a.b is missing; expected 1
        a is 5, not "$absent"
        to is "03", not "02aa"
        the answer is [], not [1]
        "#
        );
    }

    #[test]
    fn matchers_that_do_not_parse_say_how_they_are_written() {
        let errors = [
            json!("$hex(x)"),
            json!("$hexx(3)"),
            json!("$between(1)"),
            json!("$between(9, 1)"),
            json!("$any()"),
            json!("$bit(-1)"),
            json!("$unset(-1)"),
            json!("$between(1, 2"),
            json!("$"),
            json!("$absent"),
            json!({"a": [null]}),
            json!({"$contain": 1}),
            json!({"$contains": 1, "b": 2}),
            json!("$fill"),
            json!("$preimage(x)"),
        ]
        .map(|p| {
            let e = Pattern::compile(&p).unwrap_err();
            format!(
                "{p}: [{}] {}; {}",
                e.path.join("."),
                e.message,
                e.help.unwrap_or_default()
            )
        })
        .join("\n");
        insta::assert_snapshot!(errors);
    }

    fn error(kind: ErrorKind, rule: Option<&str>) -> Answer {
        Answer::Error(OpError {
            rule: rule.map(str::to_owned),
            ..OpError::new(kind, "said so")
        })
    }

    #[test]
    fn an_expected_error_compares_what_is_given() {
        let want = |kind: Option<&str>, rule: Option<&str>, code| {
            Expect::Error(ErrorPattern {
                kind: kind.map(str::to_owned),
                rule: rule.map(str::to_owned),
                code,
                message: None,
            })
        };
        let pass = |e: &Expect, a: &Answer| check_answer(e, a, &Bindings::new()) == Verdict::Pass;
        let any = want(None, None, None);
        let result = Expect::Result(json!({}));
        assert!(
            pass(&result, &Answer::Result(json!([])))
                && !pass(&result, &error(ErrorKind::Invalid, None))
        );
        assert!(pass(&any, &error(ErrorKind::Invalid, None)));
        assert!(pass(&any, &error(ErrorKind::Rejected, Some("r"))));
        assert!(!pass(&any, &Answer::Result(json!({}))));
        // A crash is no rejection.
        assert!(!pass(&any, &error(ErrorKind::Internal, None)));
        assert!(!pass(&any, &error(ErrorKind::Timeout, None)));
        assert!(pass(
            &want(Some("internal"), None, None),
            &error(ErrorKind::Internal, None)
        ));
        assert!(!pass(
            &want(Some("invalid"), None, None),
            &error(ErrorKind::Rejected, None)
        ));
        let rule = want(None, Some("r"), None);
        assert!(
            pass(&rule, &error(ErrorKind::Invalid, None)),
            "no rule was answered"
        );
        assert!(pass(&rule, &error(ErrorKind::Invalid, Some("r"))));
        assert!(!pass(&rule, &error(ErrorKind::Invalid, Some("other"))));
        assert!(!pass(
            &want(None, None, Some(15)),
            &error(ErrorKind::PaymentFailed, None)
        ));
        let part = Expect::Error(ErrorPattern {
            message: Some("so".into()),
            ..Default::default()
        });
        assert!(pass(&part, &error(ErrorKind::Invalid, None)));
        let part = Expect::Error(ErrorPattern {
            message: Some("no".into()),
            ..Default::default()
        });
        assert!(!pass(&part, &error(ErrorKind::Invalid, None)));
    }

    #[test]
    fn alternatives_observations_and_unsupported() {
        let one_of = Expect::OneOf(vec![
            Alternative {
                because: "a".into(),
                expect: Expect::Result(json!({"v": 1})),
            },
            Alternative {
                because: "b".into(),
                expect: Expect::Error(ErrorPattern::default()),
            },
        ]);
        let b = Bindings::new();
        assert_eq!(
            check_answer(&one_of, &Answer::Result(json!({"v": 1})), &b),
            Verdict::Pass
        );
        assert_eq!(
            check_answer(&one_of, &error(ErrorKind::Invalid, None), &b),
            Verdict::Pass
        );
        match check_answer(&one_of, &Answer::Result(json!({"v": 2})), &b) {
            Verdict::Mismatch { want, got, message } => {
                assert_eq!(want["one_of"][0]["result"]["v"], 1);
                assert_eq!(got, json!({"result": {"v": 2}}));
                assert!(message.contains("none of the 2"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        let gone = Answer::Unsupported(Unsupported {
            reason: "none".into(),
            issue: None,
        });
        assert_eq!(
            check_answer(&Expect::Observe, &gone, &b),
            Verdict::Unsupported("none".into())
        );
        assert_eq!(
            check_answer(&Expect::Observe, &error(ErrorKind::Internal, None), &b),
            Verdict::Pass
        );
    }

    proptest! {
        #[test]
        fn every_value_matches_itself_escaped_and_any(value in crate::bindings::tests::any_value()) {
            prop_assume!(!has_dollar_key(&value));
            let b = Bindings::new();
            let literal = Pattern::compile(&crate::bindings::escape(&value)).unwrap();
            prop_assert!(literal.matches(&value, &b).is_ok());
            prop_assert!(Pattern::Any.matches(&value, &b).is_ok());
            prop_assert_eq!(literal.shown(&b), value);
        }

        #[test]
        fn compiling_never_panics(value in crate::bindings::tests::any_value()) {
            if let Ok(p) = Pattern::compile(&value) {
                let _ = p.matches(&value, &Bindings::new());
            }
        }
    }

    fn has_dollar_key(value: &Value) -> bool {
        match value {
            Value::Array(l) => l.iter().any(has_dollar_key),
            Value::Object(m) => m
                .iter()
                .any(|(k, v)| k.starts_with('$') || has_dollar_key(v)),
            _ => false,
        }
    }
}
