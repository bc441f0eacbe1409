//! Codec vectors as one JSON file, to attach to a bLIP or a pull request.
//!
//! The file is a list of objects, as the specifications' own vector files are, and needs nothing of
//! this project to be read:
//!
//! | field | is |
//! |---|---|
//! | `name`, `description` | of the vector |
//! | `operation`, `input` | what is done with what; 64-bit numbers are decimal strings, bytes lower-case hex |
//! | `valid` | `true`: `expected` must come out, and may have more fields; `false`: it must be refused |
//! | `expected` | values, field by field |
//! | `form` | JSON pointer into `expected` to what stands there in the place of a value: `any`, `absent`, `hex`, `hex(32)` (bytes), `between(1, 9)`, `bit(55)` or `unset(54)` (of a feature bit field), or `{"contains": VALUE}` for a list with such an element |
//! | `reason`, `rule` | why it must be refused, and the requirement that says so |
//! | `any_of` | in the place of `valid`: alternatives that the text allows, each with `because` |
//! | `requirements`, `needs`, `spec`, `source` | ids that it covers; dialects it is about; specification and revision; where the expectation comes from |
//!
//! [`read`] takes such a file back, into the same checks.

use crate::bindings::escape;
use crate::case::{Alternative, Body, Case, Codec, ErrorPattern, Expect, Origin, Provenance};
use crate::matchers::Pattern;
use lnconform_yaml::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// What an answer must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    valid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    form: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// One vector of the file. The fields of a single verdict stand beside the others, so that a reader
/// finds `valid` where upstream's files have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    description: String,
    operation: String,
    input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    form: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    any_of: Vec<Verdict>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requirements: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spec: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Provenance>,
}

/// What was written, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The file, JSON with a line end.
    pub json: String,
    /// Vectors in it.
    pub written: usize,
    /// Ids of cases that a file cannot hold, each with why.
    pub left_out: Vec<(String, &'static str)>,
}

/// Writes codec cases, by id. `says` gives the paraphrase of a requirement, which is the reason of a
/// vector that must be refused; without one, its description is.
pub fn write(cases: &[&Case], says: impl Fn(&str) -> Option<String>) -> Exported {
    let mut sorted: Vec<&Case> = cases.to_vec();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    let mut vectors = Vec::new();
    let mut left_out = Vec::new();
    for case in sorted {
        match vector(case, &says) {
            Ok(vector) => vectors.push(vector),
            Err(why) => left_out.push((case.id.clone(), why)),
        }
    }
    // Strings, numbers and lists of them are always JSON.
    let mut json = serde_json::to_string_pretty(&vectors).unwrap_or_default();
    json.push('\n');
    Exported {
        json,
        written: vectors.len(),
        left_out,
    }
}

fn vector(case: &Case, says: &dyn Fn(&str) -> Option<String>) -> Result<Vector, &'static str> {
    let Body::Codec(codec) = &case.body else {
        return Err("a scenario needs live nodes");
    };
    if !codec.implementations.is_empty() {
        return Err("it is about named implementations");
    }
    let mut vector = Vector {
        name: case.id.clone(),
        description: case.description.clone(),
        operation: codec.operation.clone(),
        input: codec.input.clone(),
        valid: None,
        expected: None,
        form: Map::new(),
        reason: None,
        rule: None,
        kind: None,
        code: None,
        message: None,
        any_of: Vec::new(),
        requirements: case.covers.clone(),
        needs: case.needs.clone(),
        spec: case.spec.clone(),
        source: case.provenance.clone(),
    };
    if let Expect::OneOf(alternatives) = &codec.expect {
        for one in alternatives {
            let mut verdict = verdict(&one.expect, case, says)?;
            verdict.because = Some(one.because.clone());
            vector.any_of.push(verdict);
        }
        return Ok(vector);
    }
    let verdict = verdict(&codec.expect, case, says)?;
    Ok(Vector {
        valid: Some(verdict.valid),
        expected: verdict.expected,
        form: verdict.form,
        reason: verdict.reason,
        rule: verdict.rule,
        kind: verdict.kind,
        code: verdict.code,
        message: verdict.message,
        ..vector
    })
}

fn verdict(
    expect: &Expect,
    case: &Case,
    says: &dyn Fn(&str) -> Option<String>,
) -> Result<Verdict, &'static str> {
    match expect {
        Expect::Result(pattern) => {
            let mut form = Map::new();
            let expected = literal(pattern, "", &mut form)?;
            Ok(Verdict {
                valid: true,
                expected,
                form,
                ..Verdict::default()
            })
        }
        Expect::Error(error) => {
            let reason = error.rule.as_deref().and_then(says);
            Ok(Verdict {
                valid: false,
                reason: Some(reason.unwrap_or_else(|| case.description.clone())),
                rule: error.rule.clone(),
                kind: error.kind.clone(),
                code: error.code,
                message: error.message.clone(),
                ..Verdict::default()
            })
        }
        Expect::OneOf(_) => Err("its alternatives have alternatives"),
        Expect::Observe => Err("it asserts nothing"),
    }
}

/// A pattern as values; where it has none, nothing, and the form is noted under its pointer.
fn literal(
    pattern: &Value,
    at: &str,
    form: &mut Map<String, Value>,
) -> Result<Option<Value>, &'static str> {
    const UNTOLD: &str = "it compares with what only a run knows";
    match pattern {
        Value::String(text) => {
            let compiled = Pattern::compile(pattern);
            // `$absent` compiles only on a field of an object, which the loader has checked.
            if text == "$absent" {
                form.insert(at.to_owned(), "absent".into());
                return Ok(None);
            }
            match compiled.map_err(|_| UNTOLD)? {
                Pattern::Literal(value) => Ok(Some(value)),
                Pattern::Any
                | Pattern::Hex(_)
                | Pattern::Between(..)
                | Pattern::Bit(_)
                | Pattern::Unset(_) => {
                    form.insert(at.to_owned(), text[1..].into());
                    Ok(None)
                }
                _ => Err(UNTOLD),
            }
        }
        Value::Array(list) => {
            let mut values = Vec::with_capacity(list.len());
            for (index, one) in list.iter().enumerate() {
                let value = literal(one, &format!("{at}/{index}"), form)?;
                values.push(value.unwrap_or(Value::Null));
            }
            Ok(Some(Value::Array(values)))
        }
        Value::Object(map) => {
            if let Some(inner) = map.get("$contains") {
                let mut none = Map::new();
                let value = literal(inner, "", &mut none)?;
                let (Some(value), true) = (value, none.is_empty()) else {
                    return Err("it looks for an element of which not all is known");
                };
                form.insert(at.to_owned(), serde_json::json!({"contains": value}));
                return Ok(None);
            }
            let mut values = Map::new();
            for (key, one) in map {
                let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                if let Some(value) = literal(one, &pointer, form)? {
                    values.insert(key.clone(), value);
                }
            }
            Ok(Some(Value::Object(values)))
        }
        other => Ok(Some(other.clone())),
    }
}

/// Whether a file is one of these: JSON by its name.
pub fn is_export(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json")
}

/// Reads a file of exported vectors. Their ids begin with the file's name without `.json`.
///
/// # Errors
/// What is no such file, a vector without a verdict or with two, a name that is no id, and one that
/// stands there twice.
pub fn read(file: &Path, text: &str) -> Result<Vec<Case>, Diagnostic> {
    let wrong = |message: String| {
        Diagnostic::new(file, message)
            .help("`lnconform export FILTER --format bolt-json` writes such a file")
    };
    let vectors: Vec<Vector> =
        serde_json::from_str(text).map_err(|e| wrong(format!("is no file of vectors: {e}")))?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut cases: Vec<Case> = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let name = vector.name.clone();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.+?=&".contains(c);
        let id = format!("{stem}/{name}");
        if name.is_empty() || !id.chars().all(plain) {
            return Err(wrong(format!(
                "{id:?} is no id: letters, digits and `/-_.+` make one"
            )));
        }
        if cases.iter().any(|c| c.id == id) {
            return Err(wrong(format!("`{name}` stands there twice")));
        }
        let case = case(file, id, vector).map_err(|why| wrong(format!("`{name}`: {why}")))?;
        cases.push(case);
    }
    Ok(cases)
}

fn case(file: &Path, id: String, vector: Vector) -> Result<Case, String> {
    let expect = match (vector.valid, vector.any_of.as_slice()) {
        (Some(valid), []) => expect(Verdict {
            because: None,
            valid,
            expected: vector.expected,
            form: vector.form,
            reason: vector.reason,
            rule: vector.rule,
            kind: vector.kind,
            code: vector.code,
            message: vector.message,
        })?,
        (None, [_, ..]) => {
            let mut alternatives = Vec::new();
            for one in vector.any_of {
                alternatives.push(Alternative {
                    because: one.because.clone().unwrap_or_default(),
                    expect: expect(one)?,
                });
            }
            Expect::OneOf(alternatives)
        }
        _ => return Err("either `valid` or `any_of` says what must come out".to_owned()),
    };
    // What the loader demands of a vector's pattern holds here as well.
    if let Expect::Result(pattern) = &expect {
        Pattern::compile(pattern).map_err(|e| e.to_string())?;
    }
    Ok(Case {
        id,
        file: file.to_owned(),
        line: 1,
        description: vector.description,
        spec: vector.spec,
        covers: vector.requirements,
        tags: Vec::new(),
        needs: vector.needs,
        provenance: vector.source,
        origin: Origin::Added,
        body: Body::Codec(Codec {
            operation: vector.operation,
            input: vector.input,
            expect,
            implementations: Vec::new(),
            observe: Vec::new(),
        }),
    })
}

fn expect(verdict: Verdict) -> Result<Expect, String> {
    if !verdict.valid {
        if verdict.expected.is_some() {
            return Err("what must be refused has no `expected`".to_owned());
        }
        return Ok(Expect::Error(ErrorPattern {
            kind: verdict.kind,
            rule: verdict.rule,
            code: verdict.code,
            message: verdict.message,
        }));
    }
    let mut pattern = escape(
        &verdict
            .expected
            .unwrap_or_else(|| Value::Object(Map::new())),
    );
    for (pointer, form) in verdict.form {
        let matcher = match form {
            Value::String(text) => Value::String(format!("${text}")),
            Value::Object(mut map) if map.len() == 1 && map.contains_key("contains") => {
                let inner = map.remove("contains").unwrap_or_default();
                serde_json::json!({"$contains": escape(&inner)})
            }
            _ => return Err(format!("`form` of `{pointer}` is none that is known")),
        };
        put(&mut pattern, &pointer, matcher)
            .ok_or_else(|| format!("`form` names `{pointer}`, which has no place in `expected`"))?;
    }
    Ok(Expect::Result(pattern))
}

/// Puts a value where a JSON pointer points: a new field of an object, or an element that is there.
fn put(root: &mut Value, pointer: &str, value: Value) -> Option<()> {
    if pointer.is_empty() {
        *root = value;
        return Some(());
    }
    let (parent, last) = pointer.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    match root.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) => *list.get_mut(last.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Options, Root, Vectors};
    use serde_json::json;

    fn codec(id: &str, expect: Expect) -> Case {
        Case {
            id: id.into(),
            file: "v.yaml".into(),
            line: 1,
            description: format!("About {id}."),
            spec: Some("party@1".into()),
            covers: vec!["party/hello".into()],
            tags: vec![],
            needs: vec![],
            provenance: Some(Provenance::Text("Section 1".into())),
            origin: Origin::BuiltIn,
            body: Body::Codec(Codec {
                operation: "party.greet".into(),
                input: json!({"to": "$5"}),
                expect,
                implementations: vec![],
                observe: vec![],
            }),
        }
    }

    fn examples() -> Vec<Case> {
        let result = json!({"a": "$hex(2)", "b/c~": "$any", "list": ["x", "$between(1, 9)"],
            "gone": "$absent", "literal": "$$5", "more": {"$contains": {"n": 1}}, "deep": {"bits": "$bit(31)"}});
        let error = |rule: &str| {
            Expect::Error(ErrorPattern {
                rule: Some(rule.into()),
                ..ErrorPattern::default()
            })
        };
        vec![
            codec("v/wrong", error("party/hello")),
            codec("v/right", Expect::Result(result)),
            codec("v/unknown-rule", error("party/unknown")),
            codec(
                "v/free",
                Expect::OneOf(vec![
                    Alternative {
                        because: "It may.".into(),
                        expect: Expect::Result(json!({})),
                    },
                    Alternative {
                        because: "It may not.".into(),
                        expect: Expect::Error(ErrorPattern::default()),
                    },
                ]),
            ),
            codec("v/seen", Expect::Observe),
            codec("v/bound", Expect::Result(json!({"a": "$payee.node_id"}))),
            codec(
                "v/part",
                Expect::Result(json!({"a": {"$contains": "$any"}})),
            ),
        ]
    }

    fn says(rule: &str) -> Option<String> {
        (rule == "party/hello").then(|| "Say hello.".to_owned())
    }

    /// What a check is, without where it was read.
    fn check(case: &Case) -> (&str, &Option<String>, &[String], &[String], &Body) {
        (
            &case.description,
            &case.spec,
            &case.covers,
            &case.needs,
            &case.body,
        )
    }

    #[test]
    fn the_file_is_for_everybody() {
        let cases = examples();
        let exported = write(&cases.iter().collect::<Vec<_>>(), says);
        insta::assert_snapshot!(exported.json);
        assert_eq!(
            exported.left_out,
            [
                (
                    "v/bound".to_owned(),
                    "it compares with what only a run knows"
                ),
                (
                    "v/part".to_owned(),
                    "it looks for an element of which not all is known"
                ),
                ("v/seen".to_owned(), "it asserts nothing"),
            ]
        );
        // The order of the cases does not matter.
        let back: Vec<&Case> = cases.iter().rev().collect();
        assert_eq!(write(&back, says), exported);
    }

    #[test]
    fn what_is_read_back_is_the_same_check() {
        let mut cases = examples();
        cases.truncate(4);
        let exported = write(&cases.iter().collect::<Vec<_>>(), says);
        let back = read(Path::new("dir/theirs.json"), &exported.json).unwrap();
        assert_eq!(back.len(), cases.len());
        for case in &cases {
            let one = back
                .iter()
                .find(|b| b.id == format!("theirs/{}", case.id))
                .unwrap();
            assert_eq!(check(one), check(case));
        }
    }

    #[test]
    fn every_codec_vector_of_ours_survives_the_way_there_and_back() {
        let set = Vectors::load(&[Root::Embedded], &[], &Options::default()).unwrap();
        let codec: Vec<&Case> = set
            .cases
            .iter()
            .filter(|c| matches!(c.body, Body::Codec(_)))
            .collect();
        let exported = write(&codec, |_| None);
        let back = read(Path::new("x.json"), &exported.json).unwrap();
        assert_eq!(exported.written, back.len());
        assert_eq!(exported.written + exported.left_out.len(), codec.len());
        assert!(
            exported.written * 100 > codec.len() * 95,
            "{:?}",
            exported.left_out
        );
        let by_id: std::collections::HashMap<_, _> =
            codec.iter().map(|c| (format!("x/{}", c.id), c)).collect();
        for one in &back {
            let (Body::Codec(a), Body::Codec(b)) = (&one.body, &by_id[&one.id].body) else {
                panic!("{} is no codec case any more", one.id);
            };
            // What goes into a snapshot is the harness's own matter.
            assert_eq!(
                (&a.operation, &a.input, &a.expect),
                (&b.operation, &b.input, &b.expect),
                "{}",
                one.id
            );
        }
    }

    #[test]
    fn what_is_no_such_file_is_said() {
        let wrong = |text: &str| read(Path::new("x.json"), text).unwrap_err().to_string();
        assert!(
            wrong("{}").starts_with("x.json: is no file of vectors: "),
            "{}",
            wrong("{}")
        );
        let vector = |more: &str| {
            format!(
                "[{{\"name\": \"a\", \"description\": \"\", \"operation\": \"o\", \"input\": {{}}{more}}}]"
            )
        };
        let cases = [
            ("", "either `valid` or `any_of`"),
            (
                ", \"valid\": true, \"any_of\": [{\"valid\": false}]",
                "either `valid` or `any_of`",
            ),
            (
                ", \"valid\": false, \"expected\": {}",
                "must be refused has no `expected`",
            ),
            (
                ", \"valid\": true, \"form\": {\"/a/b\": \"any\"}",
                "`form` names `/a/b`",
            ),
            (
                ", \"valid\": true, \"form\": {\"/a\": 1}",
                "is none that is known",
            ),
            (
                ", \"valid\": true, \"form\": {\"/a\": \"hex(x)\"}",
                "does not parse",
            ),
            (", \"other\": 1", "unknown field `other`"),
        ];
        for (more, want) in cases {
            let text = wrong(&vector(more));
            assert!(text.contains(want), "{text}");
        }
        let one = vector(", \"valid\": true");
        let twice = format!("{},{}", &one[..one.len() - 1], &one[1..]);
        assert!(wrong(&twice).contains("`a` stands there twice"));
        assert!(wrong(&one.replace("\"a\"", "\"a b\"")).contains("is no id"));
    }
}
